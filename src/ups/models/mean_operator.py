"""The steady prior: a corrector on an operator that forecasts the mean and leaves all the rest to it.

A corrector learns p(truth - operator's forecast | state, forecast, parameters). If the forecast is the mean of the
data, this is the law of the next frame itself, up to a shift; on trajectories of two frames, the start and the rest
(`ups.data.steady`), it is the law of the steady state. What it is given is a setting of the corrector's network:
`residual_nets.ParametersAlone` sees the parameters, any other network sees the initial frame too. So the prior is
trained, judged, distilled, saved and scored by the code of the corrector; one step of the ladder is one jump to rest.
"Mean skill" then says how much of the steady state can be predicted, "structure learned" compares with Gaussian
states of the steady states' own spectrum.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.config import Settings
from ups.models.autoencoder import Codec, IdentityPatches
from ups.types import Fields, UserError


class MeanOperator(nn.Module):
    """Forecasts zero in normalized units, the mean of the training data; there is nothing to train."""

    def __init__(self, settings: Mean) -> None:
        super().__init__()
        self.settings = settings

    def forward(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return zeros."""
        return torch.zeros_like(z)


class Mean(Settings):
    """No operator: every forecast is the mean of the training data, for problems that have no next frame but rest."""

    kind: Literal["mean"] = "mean"

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> MeanOperator:
        """Return the operator.

        Raises:
            UserError: the tokens are not normalized values, so that zero is not their mean.
        """
        if not isinstance(codec.settings, IdentityPatches):
            raise UserError(
                "operator.kind=mean forecasts normalized values, but the codec is "
                f"'{codec.settings.kind}'; choose codec.kind=identity"
            )
        return MeanOperator(self)
