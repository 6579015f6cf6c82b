"""How one stage is trained: the budget, the optimizer, the watch over gradients, what is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from ups.config import Settings
from ups.data.symmetries import Symmetry

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Fit(Settings):
    """The settings of `ups.training.fit.fit`."""

    alternatives: ClassVar[tuple[str, ...]] = ("updates", "seconds")

    updates: PositiveInt | None = None
    """The budget as a number of updates; give this or `seconds`."""
    seconds: Positive | None = None
    """The budget as time, calibration and validations included; give this or `updates`. On a CPU it is CPU time of the
    main thread, which is wall time where nothing else runs."""
    batch_size: PositiveInt = 50
    """Windows in one update, over all processes."""
    batch_cells: PositiveInt | None = None
    """Cells of the frames of a batch, about, beyond which it has fewer windows: a large frame says as much as many
    small ones. Null: `batch_size` whatever the frames."""
    accumulation: PositiveInt = 1
    """Parts in which a batch passes through the network: less memory, the same gradient."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """Muon orthogonalizes the updates of matrices and leaves the rest to AdamW; AdamW takes all."""
    learning_rate: Positive = 2e-3
    """The peak learning rate."""
    warmup: NonNegativeInt = 100
    """Updates over which the learning rate rises linearly to its peak."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate over the budget: down to zero along a half cosine, or constant."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled decay of matrices and kernels; vectors (biases, norms) never decay."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decay of Adam's two moments."""
    clip: Positive | None = 1.0
    """Largest gradient norm; null does not clip."""
    ema_decay: Fraction = 0.999
    """Decay of the averaged weights, which are what is validated and kept; 0 keeps the last weights."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the network under autocast; weights, averages and losses stay float32."""
    compile: bool = False
    """Compile the loss with torch.compile."""
    unroll: tuple[tuple[Fraction, PositiveInt], ...] = ((0.0, 1), (0.5, 3), (0.8, 6))
    """Pairs (fraction of the budget, steps): from that fraction on, the loss runs over so many steps."""
    noise: Fraction = 0.0
    """Largest noise on the frames from which an operator or a baseline learns to forecast, in parts of the field's
    deviation; about 0.01 keeps long rollouts of a chaotic system among the states that it visits."""
    symmetries: tuple[Symmetry, ...] = ()
    """Exact symmetries of the data, drawn at random for each window."""
    num_validations: NonNegativeInt = 10
    """Validations, evenly spaced over the updates; the last one is at the end. Fewer where the budget is in seconds
    and so many would take more than a fifth of it."""
    patience: PositiveInt | None = None
    """Validations in a row without a better score after which the training stops, in whatever phase of `unroll`;
    null trains to the end. Where the stage is not scored, its held-out loss is the score, and the best is kept."""
    checkpoint_every_seconds: Positive = 30.0
    """Wall time between checkpoints: a killed run loses at most this."""
    log_every: PositiveInt = 10
    """Updates between two rows of the log."""
    warn_gradient: Positive = 100.0
    """Gradient norm, before clipping, above which the run says so."""
    skip_gradient: Positive = 1e4
    """Gradient norm, before clipping, above which an update is skipped; one that is not finite always is."""
    max_skips: NonNegativeInt = 50
    """Skipped updates after which the run stops with a reason."""

    def sized(self, cells: int) -> Fit:
        """Return the settings for frames of so many cells: `batch_size` as `batch_cells` bounds it."""
        if self.batch_cells is None:
            return self
        parts = max(1, min(self.batch_size, self.batch_cells // cells) // self.accumulation)
        return self.model_copy(update={"batch_size": parts * self.accumulation})

    @model_validator(mode="after")
    def _check(self) -> Fit:
        if (self.updates is None) == (self.seconds is None):
            raise ValueError(
                "the budget is either 'updates' or 'seconds': give one and set the other to null"
            )
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of accumulation {self.accumulation}"
            )
        if self.patience is not None and self.patience >= self.num_validations:
            raise ValueError(
                f"patience {self.patience} never ends: make it smaller than num_validations {self.num_validations}"
            )
        starts = [start for start, _ in self.unroll]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(
                "unroll starts at fraction 0 and its fractions increase, e.g. [[0, 1], [0.5, 3]]"
            )
        return self
