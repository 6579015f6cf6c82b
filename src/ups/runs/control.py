"""Control by a world model of a finished run, in the true solver, beside the solver's own plans and none."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from ups.config import Settings, override, validate
from ups.control.episodes import Episodes, Outcome, Task, models, outcomes, play
from ups.control.planner import Planner
from ups.data.controlled import Controlled
from ups.evaluation.examples import save_arrays
from ups.files import written_whole
from ups.progress import bar
from ups.reports.drawing import log_axis, look, new_figure, tidy
from ups.runs.pipeline import load as load_data
from ups.runs.saved import load, open_run
from ups.runs.settings import Run
from ups.streams import stream
from ups.types import UserError

FOLDER = "control"
"""In a run folder: what came of control."""

ROOM = 1.2
"""Times the largest field of the training data that the bound is set to where none is given."""


class Control(Settings):
    """Episodes of control: from frames of test trajectories towards late frames of others."""

    stepper: str = "world"
    """The rung to plan in: world, or world_mean."""
    num_episodes: PositiveInt = 20
    """At most as many as there are test trajectories; each begins at another frame of one if there are fewer."""
    num_frames: PositiveInt = 30
    """Actions that are carried out."""
    bound: Annotated[float, Field(gt=0)] | None = None
    """Largest size of the field that is safe; null: 1.2 times that of the training data."""
    planner: Planner = Planner()
    """How plans are made."""
    with_solver: bool = True
    """Plan in the solver too, which shows what a perfect model would reach."""
    seed: NonNegativeInt = 0
    """Of the plans."""


def control(run_dir: Path, assignments: Sequence[str]) -> str:
    """Play the episodes, write `control/` in the run folder (json, npz, png), and return what came of it.

    Raises:
        UserError: the run is not finished, its system has no actions or no solver, or a setting is not valid.
    """
    how = override(Control(), assignments)
    made = open_run(run_dir)
    run = validate(Run, made.settings)
    if not isinstance(run.data, Controlled):
        raise UserError(f"{run_dir}: control needs a system that takes actions, data.kind=controlled")
    model = load(run_dir, how.stepper)
    if not getattr(model, "takes_actions", False):
        raise UserError(f"{run_dir}: {how.stepper} takes no actions; stepper=world")
    splits, source = load_data(run), run.data
    test = splits.test.values
    if how.num_episodes > len(test) * (test.shape[1] - 1):
        raise UserError(f"{run_dir}: num_episodes={how.num_episodes}, the test split starts fewer")
    places = np.arange(how.num_episodes)
    # one trajectory after the other from frame 0, then from frames further on
    row, frame = places % len(test), (places // len(test)) * 7 % (test.shape[1] - 1)
    bound = how.bound or ROOM * splits.train.values.abs().max().item()
    task = Task(
        source,
        source.refined(test[row, frame]),
        test[(row + 1) % len(test), -1 - frame],
        bound,
        how.num_frames,
    )
    played: dict[str, Episodes] = {}
    for name, planner in models(model, source).items():
        if name == "solver" and not how.with_solver:
            continue
        with bar(f"steering: {name}") as progress:
            draws = stream(how.seed, f"control/{name}")
            played[name] = play(task, planner, how.planner, draws, progress)
    found = outcomes(played, bound)
    _write(run_dir / FOLDER, how, played, found, bound, source.dt)
    sys.stderr.write(f"figure: {run_dir / FOLDER / 'control.png'}\n")
    return _said(found, how, bound)


def _said(found: Mapping[str, Outcome], how: Control, bound: float) -> str:
    lines = [
        f"{how.num_episodes} episodes of {how.num_frames} actions; cost: mean square distance from the target"
    ]
    for name, outcome in found.items():
        gain = outcome.taken_off
        share = (
            ""
            if name == "no control"
            else (
                f", {100 * gain.mean:.3g} % less than without [{100 * gain.low:.3g}, {100 * gain.high:.3g}]"
            )
        )
        lines.append(
            f"{name:12} {outcome.cost:.4g}{share}; beyond the bound of {bound:.3g} in {outcome.num_unsafe} episodes"
        )
    return "\n".join(lines)


def _write(
    folder: Path,
    how: Control,
    played: Mapping[str, Episodes],
    found: Mapping[str, Outcome],
    bound: float,
    dt: float,
) -> None:
    folder.mkdir(exist_ok=True)
    record = {
        "settings": how.model_dump(mode="json"),
        "bound": bound,
        "outcomes": {name: outcome._asdict() for name, outcome in found.items()},
    }
    with written_whole(folder / "control.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1))
    arrays = {}
    for name, episodes in played.items():
        for part, values in episodes._asdict().items():
            arrays[f"{part}/{name}"] = values.cpu().numpy()
    save_arrays(folder / "control.npz", arrays)
    with look():
        figure = new_figure(3.2)
        axes = figure.add_subplot()
        for name, episodes in played.items():
            costs = episodes.costs.cpu().numpy()
            times = dt * (1 + np.arange(costs.shape[1]))
            (line,) = axes.plot(times, costs.mean(0), label=name)
            low, high = np.quantile(costs, [0.1, 0.9], axis=0)
            axes.fill_between(times, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        axes.set(xlabel="time", ylabel="mean square distance")
        log_axis(axes, "y")
        tidy(axes)
        axes.set_title("Distance from the target: mean and central 80 % of the episodes")
        axes.legend()
        with written_whole(folder / "control.png") as temporary:
            figure.savefig(temporary, format="png", dpi=120)
