"""How an ensemble is trained: CRPSForecast, by the almost fair CRPS of a few members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from einops import repeat
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.models.normalizer import Normalizer
from ups.training.stages import Loss, forecast_frames
from ups.types import Stepper, Trajectory


class NormalizedStepper(Stepper, Protocol):
    """A stepper that knows how much each field of its training data varies."""

    @property
    def normalizer(self) -> Normalizer:
        """The normalizer of the training split."""
        ...


def almost_fair_crps(
    members: Float[Tensor, "member *shape"], truth: Float[Tensor, "*shape"], fairness: float
) -> Float[Tensor, "*shape"]:
    """Continuous ranked probability score of two or more members, in every place, in units of the field.

    mean_i |x_i - y| - (1 - epsilon) sum_{i<j} |x_i - x_j| / (M (M - 1)) with epsilon = (1 - fairness) / M: `fairness`
    times the fair score plus the rest times the usual one, which divides by M^2. A score that is wholly fair is
    indifferent to one member going astray when all others hit the truth; a little less of it is not, and stays
    positive. Source: Lang et al. 2024, arXiv:2412.15832, equation 4.
    """
    num_members = len(members)
    accuracy = (members - truth).abs().mean(0)
    pairs = sum((members[i + 1 :] - members[i]).abs().sum(0) for i in range(num_members - 1))
    share = (num_members - 1 + fairness) / num_members  # 1 - epsilon
    return accuracy - share * pairs / (num_members * (num_members - 1))


@dataclass(frozen=True)
class CRPSForecast:
    """Train a stochastic stepper to forecast: all members in one batch, each with noise of its own.

    `unroll` holds pairs (fraction of the budget, steps). The loss is in units of each field's standard deviation in
    training: a weight that the truth itself decides, as a relative error has it, would reward a wrong distribution.
    The trivial predictor is persistence, whose score is its absolute error.

    Raises:
        ValueError: there are fewer than two members, which have no spread to learn.
    """

    name: str
    stepper: NormalizedStepper
    unroll: tuple[tuple[float, int], ...] = ((0.0, 1),)
    num_members: int = 2
    fairness: float = 0.95

    def __post_init__(self) -> None:
        if self.num_members < 2:
            raise ValueError(f"num_members={self.num_members}: a spread needs two members")

    @property
    def model(self) -> nn.Module:
        """The stepper, which is a module too."""
        return cast(nn.Module, self.stepper)

    def window(self, progress: float) -> int:
        """Return the context and the steps of the phase at `progress`."""
        return self.stepper.num_context + [steps for start, steps in self.unroll if start <= progress][-1]

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the almost fair CRPS of the forecast frames, averaged over frames, fields and cells."""
        num_context = self.stepper.num_context
        context, truth = batch.values[:, :num_context], batch.values[:, num_context:]
        contexts, params = (
            repeat(each, "batch ... -> (member batch) ...", member=self.num_members)
            for each in (context, batch.params)
        )
        frames = forecast_frames(self.stepper, contexts, params, truth.shape[1], generator)
        members = frames.float().unflatten(0, (self.num_members, -1))
        std = self.stepper.normalizer.std.view(-1, *[1] * (truth.ndim - 3))
        score = almost_fair_crps(members, truth, self.fairness) / std
        persistence = (context[:, -1:] - truth).abs() / std
        return score.flatten(1).mean(1), {"trivial": persistence.flatten(1).mean(1)}
