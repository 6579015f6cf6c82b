"""Has a student learned what it was taught? Its draws beside its teacher's, on windows that no stage was trained on.

The loss of a distillation does not tell: a student that agrees with itself has a loss of nothing, whatever it draws.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ups.models.corrector import Corrected
from ups.models.token_waves import mode_powers
from ups.statistics.bootstrap import paired_bootstrap
from ups.training.ensemble_stages import almost_fair_crps
from ups.training.residuals import part_of, spread_residuals
from ups.types import Trajectory

NUM_MEMBERS = 4
"""Draws for each window; a spread needs two, a score more."""

LEAST_POWER = 1e-4
"""Share of the power of the strongest mode below which a mode is not compared."""

LOST = 0.5
"""Part of the teacher's spread below which a student has lost what it was taught."""

WORSE = 1.1
"""Part of the teacher's CRPS above which a student has."""


@torch.no_grad()
def judge_student(
    student: Corrected, teacher: Corrected, held_out: Trajectory, generator: Generator
) -> dict[str, float]:
    """Return how a student's draws compare with its teacher's, on the residuals of held-out windows.

    - "spread of the teacher's": ratio of the standard deviations of the draws around their mean for each window.
    - "worst mode of the teacher's": largest |ratio of powers - 1| over the modes that the teacher draws.
    - "CRPS of the teacher's": ratio of the fair CRPS, with its 95 % interval over windows, "... low", "... high".
    - "teacher's CRPS of colored noise's": the same ratio of the teacher to Gaussian draws of the residual's spectrum:
      about 1 is a teacher that knows no more than that.
    """
    given, truth = next(
        spread_residuals(teacher.emulator, held_out, part_of(teacher.emulator.codec.num_tokens))
    )

    def draws(corrected: Corrected) -> Float[Tensor, "member window *state"]:
        return torch.stack([
            corrected.gain(corrected.correction.draw(given, generator)) for _ in range(NUM_MEMBERS)
        ])

    mine, theirs = draws(student), draws(teacher)
    spectrum = teacher.correction.spectrum
    colored = torch.stack([spectrum.sample(len(truth), generator) for _ in range(NUM_MEMBERS)])
    powers = [mode_powers(each.flatten(0, 1), teacher.gain.waves).mean(0) for each in (mine, theirs)]
    seen = powers[1] >= LEAST_POWER * powers[1].max()
    scores = [_scores(each, truth) for each in (mine, theirs, colored)]
    ratio = paired_bootstrap(scores[0][None], scores[1][None])
    taught = paired_bootstrap(scores[1][None], scores[2][None])
    return {
        "spread of the teacher's": (_spread(mine) / _spread(theirs).clamp(min=1e-30)).item(),
        "worst mode of the teacher's": (powers[0] / powers[1] - 1)[seen].abs().max().item(),
        "CRPS of the teacher's": 1 - ratio.mean,
        "CRPS of the teacher's, low": 1 - ratio.high,
        "CRPS of the teacher's, high": 1 - ratio.low,
        "teacher's CRPS of colored noise's": 1 - taught.mean,
        "teacher's CRPS of colored noise's, high": 1 - taught.low,
    }


def explain_student(found: dict[str, float]) -> list[str]:
    """Return in words what `judge_student` found."""
    spread, mode = found["spread of the teacher's"], found["worst mode of the teacher's"]
    crps, low, high = (found[f"CRPS of the teacher's{end}"] for end in ("", ", low", ", high"))
    lost = spread < LOST or low > WORSE
    verdict = ": it has lost what it was taught" if lost else ""
    lines = [
        f"draws with {spread:.0%} of its teacher's spread, {mode:.0%} off at the worst mode, and has {crps:.3f} "
        f"[{low:.3f}, {high:.3f}] of its CRPS{verdict}"
    ]
    taught = found["teacher's CRPS of colored noise's"]
    if found["teacher's CRPS of colored noise's, high"] >= 1:
        lines.append(
            f"its teacher has {taught:.3f} of the CRPS of colored noise, not told apart from having learned nothing: "
            "there was nothing to be taught"
        )
    return lines


def _spread(draws: Float[Tensor, "member window *state"]) -> Float[Tensor, ""]:
    return draws.var(0).mean().sqrt()


def _scores(
    draws: Float[Tensor, "member window *state"], truth: Float[Tensor, "window *state"]
) -> np.ndarray:
    """Return the fair CRPS of each window, averaged over its numbers."""
    return almost_fair_crps(draws, truth, 1.0).flatten(1).mean(1).double().cpu().numpy()
