"""An operator that is a law in waves, read off the data: nothing is trained."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from ups.config import Settings
from ups.models.autoencoder import Codec, IdentityPatches
from ups.models.law_search import Pairs, obey_another_law, read_law, take_steps_for
from ups.models.law_terms import library
from ups.models.linear_map import LinearMap
from ups.models.normalizer import Normalizer
from ups.models.spectral_law import SpectralLaw
from ups.models.waves import means_that_move, require_scalars
from ups.progress import Progress
from ups.solvers.modes import Modes
from ups.solvers.split import Split
from ups.types import Fields, Trajectory, UserError

LEAST_POWER = 1e-10
"""Share of the power of all waves that one has if the data have it: five digits of the deviation."""

HELD_OUT = 10
"""One in so many trajectories is kept from the regression, to choose the steps of the integrator on."""

NUMBERS = 2**14
"""Cells of all the pairs of frames from which a law is read, about."""

MOST_FRAMES = 1024
"""Frames, about, that tell which waves the data have."""

FIRST_FRAMES = 5
"""Frames of a trajectory, at most, that may be of another kind than the rest: white noise on cells, say."""

LEAST_PAIRS, MOST_PAIRS = 3, 64
"""Pairs of frames from which a law is read; the cells of few large ones say as much."""

MOST_ROLLED = 128
"""Trajectories, at most, that a law has to survive, those among them that it was read off."""

WELL = 0.05
"""Share of a frame's change that a law may leave before the best linear map is tried beside it."""

PAIRED = 2**22
"""Cells of all the pairs of frames that a linear map is fitted to, about."""

LEAST_PAIRED, MOST_PAIRED = 128, 4096
"""Pairs of frames that a linear map is fitted to."""

LEAST_LEFT = 1e-6
"""Smallest unit of what the network adds, in parts of the deviation of the field."""


class LawOperator(nn.Module):
    """z' = law(z), fitted to pairs of frames of the training data.

    Where no law is found, or one that leaves more than the best linear map of each wave, that map stands in for it; the
    identity where a rollout of it is worse than persistence.

    `change_unit` and `left_unit` are the sizes of what the law does in a frame and of what it leaves, for a network
    that learns the rest.
    """

    conserved: Tensor
    origin: Tensor
    param_unit: Tensor
    is_linear: Tensor
    change_unit: Tensor
    left_unit: Tensor
    left: Tensor

    def __init__(self, settings: Law, fields: Fields) -> None:
        super().__init__()
        self.settings = settings
        num_fields, num_params = len(fields.names), len(fields.params)
        self.modes = Modes(fields.grid)
        self.law = SpectralLaw(self.modes, library(fields), num_fields, num_params)
        conserved = torch.tensor([field.conserved for field in fields.each])
        self.register_buffer("conserved", conserved, persistent=False)
        self.register_buffer("origin", torch.zeros(num_fields))
        self.register_buffer("param_unit", torch.zeros(num_params))
        self.register_buffer("change_unit", torch.ones(num_fields))
        self.register_buffer("left_unit", torch.ones(num_fields))
        self.register_buffer("left", torch.tensor(1.0))
        self.linear = LinearMap(self.modes, num_fields, num_params)
        self.register_buffer("is_linear", torch.tensor(False))
        self.register_load_state_dict_pre_hook(_without_a_linear_map)

    @torch.no_grad()
    def start_from(
        self, codec: Codec, train: Trajectory, normalizer: Normalizer, progress: Progress | None = None
    ) -> None:
        """Read the law off normalized trajectories."""
        self.origin.copy_(normalizer.mean / normalizer.std)
        is_log = normalizer.param_is_log & (normalizer.param_gain > 0)
        self.param_unit.copy_(torch.where(is_log, 1 / normalizer.param_gain, 0.0))
        frames = train.values
        seen = frames.flatten(0, 1)[:: max(1, frames.shape[0] * frames.shape[1] // MOST_FRAMES)]
        power = self.modes.forth(seen.double()).abs().square().sum(0)
        self.law.band.copy_(self.modes.band(power, LEAST_POWER))
        moves = means_that_move(frames) & ~self.conserved
        self.law.moves.copy_(moves)
        self.law.band[(slice(None), *(0,) * len(self.modes.shape))] = moves
        held_out = torch.arange(len(frames)) % HELD_OUT == HELD_OUT - 1
        known, unknown = self._parts(train, held_out, first=0)
        early = None
        if train.values.shape[1] > 2 * FIRST_FRAMES:
            later = self._parts(train, held_out, first=FIRST_FRAMES)
            if obey_another_law(self.law, known, later[0]):
                early, (known, unknown) = known, later
        self.left.fill_(read_law(self.law, known, unknown, progress))
        if early is not None:
            take_steps_for(self.law, early)
        if not self._survives(train.select(slice(0, MOST_ROLLED))):
            self._forget()
        if self.left > WELL:
            self._try_linear(train)
        made = self._made(known.before, known.params)
        around = [0, *range(2, made.ndim)]
        for unit, part in ((self.change_unit, made - known.before), (self.left_unit, known.after - made)):
            unit.copy_(part.square().mean(around).sqrt().clamp(min=LEAST_LEFT))

    def _forget(self) -> None:
        self.law.kept.fill_(False)
        self.law.coefficients.zero_()
        self.left.fill_(1.0)

    def _try_linear(self, train: Trajectory) -> None:
        """Let the best linear map stand in, if it leaves less and survives."""
        steps = train.values.shape[1] - 1
        count = min(len(train) * steps, MOST_PAIRED, max(LEAST_PAIRED, PAIRED // train.values[0, 0].numel()))
        places = _spread(count, len(train) * steps)
        which, frame = places // steps, places % steps
        before, after = (self._physical(train.values[which, frame + k]) for k in (0, 1))
        params = self._plain(train.params[which])
        self.linear.fit(before, after, params, self.law.moves)
        missed = (self.linear(before, params) - after).norm() / (after - before).norm()
        if not missed < self.left:
            return
        self.is_linear.fill_(True)
        if self._survives(train.select(slice(0, MOST_ROLLED))):
            self._forget()
            self.left.copy_(missed)
        else:
            self.is_linear.fill_(False)

    def _survives(self, some: Trajectory) -> bool:
        """Return whether the law forecasts whole trajectories better than persistence does."""
        state, error, still = some.values[:, 0], 0.0, 0.0
        for truth in some.values[:, 1:].unbind(1):
            state = self.frame(state, some.params)
            error += (state - truth).square().mean().item()
            still += (some.values[:, 0] - truth).square().mean().item()
        return error < still  # NaN never is

    def _parts(self, train: Trajectory, held_out: Tensor, first: int) -> tuple[Pairs, Pairs]:
        """Return the pairs to fit to, and those of the trajectories that are kept from it, where there are any."""
        train = train.window(first, train.values.shape[1] - first)
        known, unknown = (self._pairs(train, places.nonzero()[:, 0]) for places in (~held_out, held_out))
        return known, unknown if len(unknown.before) else known

    def _pairs(self, train: Trajectory, trajectories: Tensor) -> Pairs:
        """Return pairs of frames spread evenly over some trajectories and all times."""
        steps = train.values.shape[1] - 1
        whole = len(trajectories) * steps
        count = min(whole, MOST_PAIRS, max(LEAST_PAIRS, NUMBERS // train.values[0, 0].numel()))
        places = _spread(count, whole)
        which, frame = trajectories[places // steps], places % steps
        frame[::4] = 0  # from where forecasts start, and where a law is hardest to integrate
        before, after = (self._physical(train.values[which, frame + k]).double() for k in (0, 1))
        return Pairs(before, after, self._plain(train.params[which]).double())

    def _plain(self, params: Float[Tensor, "batch param"]) -> Float[Tensor, "batch param"]:
        """Return the parameters in which a law is affine: themselves in some unit, not their logarithms."""
        return torch.where(self.param_unit > 0, (params * self.param_unit).exp(), params)

    def _physical(self, frames: Float[Tensor, "batch field *grid"]) -> Float[Tensor, "batch field *grid"]:
        """Return normalized frames with the zero of the physical field as zero."""
        return frames + self.across(self.origin)

    def across(self, numbers: Float[Tensor, " field"]) -> Float[Tensor, "field *one"]:
        """Return one number a field, shaped to broadcast over frames."""
        return numbers[(..., *(None,) * len(self.modes.shape))]

    def frame(
        self, frame: Float[Tensor, "batch field *grid"], params: Float[Tensor, "batch param"]
    ) -> Tensor:
        """Return the normalized frame one frame later."""
        made = self._made(self._physical(frame).float(), self._plain(params).float())
        return made - self.across(self.origin)

    def _made(
        self, frame: Float[Tensor, "batch field *grid"], params: Float[Tensor, "batch param"]
    ) -> Tensor:
        return self.linear(frame, params) if self.is_linear else self.law(frame, params)

    def split(self, params: Float[Tensor, "batch param"]) -> Split:
        """Return the law as a linear part and the rest, of frames in parts of the deviation, in frames of time."""
        return self.law.split(self._plain(params).double())

    def forward(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens one training step later; `dt` can be nothing else."""
        return self.frame(z.mT.unflatten(2, self.modes.grid.shape), params).flatten(2).mT


def _spread(count: int, whole: int) -> Int[Tensor, " place"]:
    """Return places in a row of trajectories by a golden stride: an even one could meet one time of each alone."""
    return (torch.arange(count) * 0.6180339887498949 % 1 * whole).long()


def _without_a_linear_map(law: nn.Module, numbers: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Load a law that was saved before there was a linear map as one that has none."""
    for name in ("is_linear", "linear.matrix", "linear.offset"):
        numbers.setdefault(prefix + name, torch.zeros_like(law.get_buffer(name)))


class Law(Settings):
    """A law in waves that is read off the data, and nothing else."""

    kind: Literal["law"] = "law"

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> LawOperator:
        """Return the operator; see `require_cells`."""
        require_cells(codec, fields, "operator.kind=law")
        return LawOperator(self, fields)


def require_cells(codec: Codec, fields: Fields, who: str) -> None:
    """See that states are the cells themselves, and that these have waves.

    Raises:
        UserError: the codec compresses, or an axis is neither periodic nor between walls.
    """
    if codec.settings != IdentityPatches(patch_size=1):
        raise UserError(
            f"{who} works on the cells themselves, not on '{codec.settings.kind}' tokens: set codec.kind=identity "
            "codec.patch_size=1"
        )
    require_scalars(fields, who)
