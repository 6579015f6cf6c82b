"""Outcomes of steady problems: how often does an ensemble end where the truth does?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ups.evaluation.evaluate import forecast
from ups.evaluation.ladder import Rung
from ups.evaluation.protocols import FROM_INITIAL
from ups.streams import stream
from ups.types import Trajectory

OUTCOMES = ("below 0", "above 0", "fronts")

Shares = Float[Tensor, "outcome"]


def outcome(frames: Float[Tensor, "*batch cell"]) -> Int[Tensor, "*batch"]:
    """Return the place in `OUTCOMES` of each frame: negative everywhere, positive everywhere, or both signs."""
    below, above = (frames < 0).all(-1), (frames > 0).all(-1)
    return torch.where(below, 0, torch.where(above, 1, 2))


def shares(frames: Float[Tensor, "*batch cell"]) -> Shares:
    """Return how often each outcome occurs; the shares add up to 1."""
    counts = torch.bincount(outcome(frames).flatten(), minlength=len(OUTCOMES))
    return counts.double() / counts.sum()


def compare_outcomes(rungs: Sequence[Rung], test: Trajectory, seed: int) -> list[str]:
    """Return, for each value of the parameters, the outcomes of the truth and of every ensemble in words.

    An ensemble is off by the total variation distance of its shares from the truth's. The law of the truth itself
    would be off by chance, on average by the number in brackets: a distance of that size is no finding.
    """
    ensembles = [rung for rung in rungs if rung.num_members > 1]
    forecasts = {
        rung.name: forecast(
            rung.stepper,
            test,
            FROM_INITIAL,
            num_members=rung.num_members,
            generator=stream(seed, f"outcomes/{rung.name}", device=test.values.device),
        )[:, :, -1, 0]
        for rung in ensembles
    }
    lines = []
    for values in torch.unique(test.params, dim=0):
        mine = (test.params == values).all(1)
        truth = shares(test.values[mine, -1, 0])
        named = ", ".join(
            f"{name} = {value:g}" for name, value in zip(test.fields.params, values.tolist(), strict=True)
        )
        expected = sampling_distance(truth, int(mine.sum()))
        texts = [f"{int(mine.sum())} problems with {named}: truth {_words(truth)}"]
        for name, frames in forecasts.items():
            found = shares(frames[:, mine])
            distance = (found - truth).abs().sum().item() / 2
            texts.append(f"{name} {_words(found)}, off by {distance:.2f} ({expected:.2f} by chance)")
        lines.append("; ".join(texts))
    return lines


def sampling_distance(law: Shares, num: int) -> float:
    """Return about how far, in total variation, the shares of `num` independent draws are from their law.

    Half of the sum of the mean sizes of normal deviations, sqrt(2 p (1 - p) / (pi num)).
    """
    return (law * (1 - law) / (2 * torch.pi * num)).sqrt().sum().item()


def _words(found: Shares) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in zip(OUTCOMES, found.tolist(), strict=True))
