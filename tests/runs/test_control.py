import json

import numpy as np
import pytest

from ups.runs.control import control
from ups.types import UserError


def test_a_finished_world_steers_its_system_and_says_what_came_of_it(world_run):
    said = control(
        world_run,
        [
            "num_episodes=3",
            "num_frames=3",
            "planner.num_plans=6",
            "planner.num_elites=2",
            "stepper=world_mean",
        ],
    )
    lines = said.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["no control", "world model", "solver"]
    assert "% less than without" in lines[2]
    record = json.loads((world_run / "control" / "control.json").read_text())
    assert record["outcomes"].keys() == {"no control", "world model", "solver"}
    arrays = np.load(world_run / "control" / "control.npz")
    assert arrays["actions/world model"].shape == (3, 3, 2)
    assert (world_run / "control" / "control.png").stat().st_size > 1000


def test_what_cannot_be_steered_is_one_line(world_run, tiny_run):
    for folder, asked, said in (
        (tiny_run, [], "needs a system that takes actions"),
        (world_run, ["stepper=operator"], "takes no actions"),
        (world_run, ["stepper=wrld"], "no trained rung"),
        (world_run, ["num_episodes=9999"], "starts fewer"),
        (world_run, ["planner.num_elites=99"], "not fewer"),
        (world_run, ["bound=-1"], "bound"),
    ):
        with pytest.raises(UserError, match=said) as found:
            control(folder, asked)
        assert "\n" not in str(found.value)
