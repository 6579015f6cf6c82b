"""What a study will take, said before it begins: every training that its cells do not share, and its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch

from ups.config import digest
from ups.reports.wording import duration
from ups.runs.settings import Run
from ups.runs.show import estimates
from ups.studies.study import BASE, Study, cells
from ups.training.settings import Fit


class Training(NamedTuple):
    """One training; cells in which it has the same key share it."""

    key: str
    rung: str
    how: Fit


def trainings(settings: Run) -> Iterator[Training]:
    """Yield what a run trains, codec first, each with the digest of all that its weights depend on."""
    parts = {"codec": (settings.codec, settings.codec_training)}
    hows = {"codec": settings.codec_training}
    for spec in settings.rungs:
        under = [part for name in spec.on for part in parts[name]]
        parts[spec.name] = (*under, *spec.made_from, spec.training)
        if spec.training is not None:
            hows[spec.name] = spec.training
    for rung, how in hows.items():
        plain = [part and part.model_dump(mode="json") for part in parts[rung]]
        yield Training(digest([settings.data.model_dump(mode="json"), settings.seed, rung, plain]), rung, how)


def say(study: Study, at_once: int) -> str:
    """Say how many runs and trainings there are, and about how long the trainings take on this machine.

    The time of an update is that of the base, measured here; where a variant's network is another, it is a guess.
    """
    one = study.settings(BASE, study.seeds[0])
    number = len(study.seeds) * len(study.assignments)
    if not isinstance(one, Run):
        return f"{number} runs, {at_once} at a time"
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // at_once))  # as many as a cell will have
    try:
        timed = {each.name: each for each in estimates(one) if each.updates}
    finally:
        torch.set_num_threads(threads)
    found = {
        training.key: training
        for cell in cells(study)
        for training in trainings(study.settings(*cell))
        if training.rung in timed
    }
    seconds = sum(
        training.how.seconds
        or (training.how.updates or 0) * timed[training.rung].seconds / timed[training.rung].updates
        for training in found.values()
    )
    counts = Counter(training.rung for training in found.values())
    each = ", ".join(f"{name} {times}" for name, times in counts.items())
    return (
        f"{number} runs, {at_once} at a time; {len(found)} trainings, what runs share counted once ({each}): about "
        f"{duration(seconds / at_once)}, and the measuring of each run, which the time left will show"
    )
