"""How a forecast is searched for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from ups.config import Settings
from ups.search.rewards import RewardName

Positive = Annotated[float, Field(gt=0, le=1e6)]


class SearchSettings(Settings):
    """Candidates for every frame, the reward that chooses among them, and what it may cost."""

    candidates_from: tuple[str, ...] = ()
    """Rungs that draw candidates in equal parts, a deterministic one a single one: of corrector, student,
    colored_noise, operator; or a stochastic baseline. Empty takes the student, or the corrector where there is none."""
    num_candidates: Annotated[int, Field(ge=1, le=1024)] = 8
    """Candidates for each frame; 1 searches nothing."""
    beam: PositiveInt = 1
    """Candidates that are continued, to see where they lead."""
    horizon: PositiveInt = 1
    """Frames that a candidate is judged by; 1 is its own alone."""
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """What a reward one frame later counts."""
    max_calls: PositiveInt | None = None
    """Calls of networks a frame, at most: operator, corrector or student, decoder and critic; null sets no bound."""
    clear: Positive | None = None
    """Look ahead for no trajectory whose best candidate leads by more than so many standard deviations of the
    candidates' rewards; null always looks."""
    rewards: dict[RewardName, Positive] = {}
    """Weights of rewards, each in units of what it varies by among candidates; empty takes the one that knows most of
    the error on validation data."""
    correction_steps: PositiveInt = 2
    """Newton steps of the rung that lowers each frame's residual, where the equation is known."""
    force: bool = False
    """Search even where calibration says that it cannot pay."""

    @model_validator(mode="after")
    def _fits(self) -> SearchSettings:
        if self.beam > self.num_candidates:
            raise ValueError(f"beam={self.beam} is wider than num_candidates={self.num_candidates}")
        if self.horizon > 1 and self.beam == 1:
            raise ValueError(
                f"horizon={self.horizon} looks ahead of one candidate alone: set beam to 2 or more"
            )
        if len(set(self.candidates_from)) < len(self.candidates_from):
            raise ValueError("candidates_from names a rung twice")
        return self
