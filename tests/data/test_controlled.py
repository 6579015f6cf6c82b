import pytest
import torch
from pydantic import ValidationError

from ups.config import override
from ups.data.controlled import Controlled
from ups.data.splits import split
from ups.data.windows import draw_windows
from ups.streams import stream
from ups.types import UserError

SMALL = {"num_trajectories": 40, "num_frames": 9, "num_cells": (32,)}


@pytest.fixture(scope="module")
def burgers(cache):
    source = Controlled(**SMALL)
    return source, source.load()


def test_each_frame_carries_the_action_that_leads_to_the_next(burgers):
    source, data = burgers
    assert data.actions.shape == (40, 9, 2)
    assert data.fields.actions == ("actuator_0", "actuator_1")
    assert data.actions.abs().max() <= 1
    start = source.refined(data.values[:, 3])
    assert torch.allclose(source.kept(start).float(), data.values[:, 3], atol=1e-4)
    made = source.answers(start, data.actions[:, 3:6])
    assert torch.allclose(made.float(), data.values[:, 4:7], atol=2e-3)
    other = source.answers(start, data.actions[:, 2:5])
    assert (other - made).abs().max() > 0.1


def test_random_actions_are_held_and_feedback_calms(cache):
    held = Controlled(**SMALL | {"num_frames": 17, "policy": {"feedback": 0, "hold": 4}}).load().actions
    for first in (0, 4, 8, 12):
        assert torch.equal(held[:, first], held[:, first + 3])
    assert not torch.equal(held[:, 3], held[:, 4])
    sizes = {}
    for share in (0.0, 1.0):
        policy = {"feedback": share, "gain": 4.0}
        data = Controlled(
            **SMALL | {"equation": "heat", "nu": 0.01, "num_frames": 31, "policy": policy}
        ).load()
        sizes[share] = data.values[:, -1].square().mean().item()
    assert sizes[1.0] < 0.5 * sizes[0.0]


def test_more_trajectories_begin_with_those_that_there_were(cache):
    few, many = (Controlled(**SMALL | {"num_trajectories": n}).load() for n in (10, 40))
    assert torch.equal(few.values, many.values[:10])
    assert torch.equal(few.actions, many.actions[:10])


def test_a_flow_is_steered_on_a_plane_and_keeps_its_mean(cache):
    source = Controlled(
        equation="vorticity", nu=0.01, num_cells=(16, 16), num_trajectories=2, num_frames=4, dt=0.2
    )
    data = source.load()
    assert data.values.isfinite().all()
    assert data.values.mean((3, 4)).abs().max() < 0.02
    assert data.fields.conserved == ("vorticity",)


def test_actions_go_where_their_frames_go(burgers):
    _, data = burgers
    parts = split(data)
    windows = draw_windows(parts.train, 5, 4, stream(0, "windows"))
    assert windows.actions.shape == (5, 4, 2)
    assert parts.test.actions.shape[0] == len(parts.test)
    for row in range(5):
        first = (data.values == windows.values[row, 0]).flatten(2).all(2).nonzero()[0]
        assert torch.equal(windows.actions[row], data.actions[first[0], first[1] : first[1] + 4])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["equation=vorticity"], "lives on 2 axes"),
        (["num_cells=[8,8]"], "lives on 1 axis"),
        (["actuators.width=0.5"], "width"),
        (["policy.hold=0"], "hold"),
        (["nu=-1"], "nu"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(changes, said):
    with pytest.raises((UserError, ValidationError), match=said) as found:
        override(Controlled(), changes)
    assert "\n" not in str(found.value)
