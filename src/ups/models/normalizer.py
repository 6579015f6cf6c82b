"""Physical units to numbers of order one and back, by the statistics of the training split."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ups.types import Trajectory

LOG_SPAN = 3.0
"""A positive parameter whose largest value is more than this times its smallest is taken by its logarithm."""


class Normalizer(nn.Module):
    """Standardizes each field and each parameter; the statistics are buffers and are saved with the model.

    A field that is constant over the training split is centred only. A parameter that is constant there maps to
    0 whatever its value: a network cannot have learned what it never saw change.
    """

    mean: Tensor
    std: Tensor
    param_mean: Tensor
    param_gain: Tensor
    param_is_log: Tensor
    param_low: Tensor
    param_high: Tensor

    def __init__(self, num_fields: int, num_params: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_fields))
        self.register_buffer("std", torch.ones(num_fields))
        self.register_buffer("param_mean", torch.zeros(num_params))
        self.register_buffer("param_gain", torch.ones(num_params))  # 1 / std, or 0 for a constant
        self.register_buffer("param_is_log", torch.zeros(num_params, dtype=torch.bool))
        self.register_buffer("param_low", torch.zeros(num_params))
        self.register_buffer("param_high", torch.zeros(num_params))

    def normalize(self, values: Float[Tensor, "batch field *space"]) -> Float[Tensor, "batch field *space"]:
        """Return (values - mean) / std of each field."""
        return (values - self._per_field(self.mean, values)) / self._per_field(self.std, values)

    def denormalize(self, values: Float[Tensor, "batch field *space"]) -> Float[Tensor, "batch field *space"]:
        """Return values * std + mean of each field, the inverse of `normalize`."""
        return values * self._per_field(self.std, values) + self._per_field(self.mean, values)

    def normalize_params(self, params: Float[Tensor, "batch param"]) -> Float[Tensor, "batch param"]:
        """Return the parameters, or their logarithms, centred and scaled by the training split."""
        smallest = torch.finfo(params.dtype).tiny
        values = torch.where(self.param_is_log, params.clamp_min(smallest).log(), params)
        return (values - self.param_mean) * self.param_gain

    def param_ranges(self) -> list[tuple[float, float]]:
        """Return the lowest and highest value of each parameter in the training split."""
        return list(zip(self.param_low.tolist(), self.param_high.tolist(), strict=True))

    @staticmethod
    def _per_field(statistic: Tensor, values: Tensor) -> Tensor:
        return statistic.view(-1, *(1,) * (values.ndim - 2))


def fit_normalizer(train: Trajectory) -> Normalizer:
    """Return the normalizer of a training split; means and deviations are accumulated in float64."""
    normalizer = Normalizer(train.values.shape[2], train.params.shape[1])
    for field in range(train.values.shape[2]):
        values = train.values[:, :, field].double()
        normalizer.mean[field] = values.mean()
        if values.min() < values.max():
            normalizer.std[field] = values.std(correction=0)
    for param in range(train.params.shape[1]):
        values = train.params[:, param].double()
        low, high = values.min(), values.max()
        if low > 0 and high > LOG_SPAN * low:
            normalizer.param_is_log[param] = True
            values = values.log()
        normalizer.param_mean[param] = values.mean()
        normalizer.param_gain[param] = 1 / values.std(correction=0) if low < high else 0.0
        normalizer.param_low[param], normalizer.param_high[param] = low, high
    return normalizer
