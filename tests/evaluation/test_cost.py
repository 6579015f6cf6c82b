import math
import time
from dataclasses import dataclass

import pytest
import torch
from known_steppers import Roll, advected
from torch import nn

from ups.evaluation import cost
from ups.evaluation.cost import Cost, cost_rows, measure_cost, num_parameters


@dataclass(frozen=True)
class Slow(Roll):
    """Sleeps 2 ms a step, whatever the batch."""

    def advance(self, state, generator=None):
        time.sleep(2e-3)
        return super().advance(state, generator)


class Hungry(Roll):
    def advance(self, state, generator=None):
        torch.ones(64 * 2**20)  # 256 MiB, touched and let go
        return super().advance(state, generator)


class Network(nn.Module):
    num_context = 1

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight  # shared: counted once

    def encode(self, context, params): ...

    def advance(self, state, generator=None): ...

    def decode(self, state): ...


@dataclass(frozen=True)
class Wrapped(Roll):
    inner: object = None
    others: tuple = ()


def test_time_per_frame_is_shared_by_the_batch_and_not_by_a_single_trajectory():
    cost = measure_cost(Slow(), advected(num=6), num_frames=4, num_repeats=3)
    assert 2.0 < cost.ms_per_frame_single < 8.0
    assert 2.0 / 6 < cost.ms_per_frame < 8.0 / 6


def test_an_ensemble_costs_its_members_and_advances_no_more_states_than_fit_the_batch():
    seen = []

    class Watching(Roll):
        def advance(self, state, generator=None):
            seen.append(len(state))
            return super().advance(state, generator)

    measure_cost(Watching(), advected(num=6), batch_size=4, num_frames=2, num_repeats=1, num_members=2)
    assert seen == [4] * 4 + [2] * 2  # two trajectories of two members, then one of two


def test_the_time_of_an_ensemble_is_that_of_all_its_members():
    cost = measure_cost(Slow(), advected(num=6), num_frames=4, num_repeats=3, num_members=64)
    assert 2.0 < cost.ms_per_frame < 8.0, "one trajectory of 64 members fills the batch"
    assert 2.0 < cost.ms_per_frame_single < 8.0


def test_peak_memory_sees_what_a_step_takes_for_a_moment_and_forgets_it_afterwards():
    data = advected()
    before, hungry, after = (measure_cost(kind(), data, num_frames=2) for kind in (Roll, Hungry, Roll))
    if math.isnan(before.peak_memory_mib):
        pytest.skip("the kernel does not let a process reset its peak")
    assert 0 <= before.peak_memory_mib < 64, "what the process held before is not the forecast's"
    assert 250 < hungry.peak_memory_mib < 400
    assert after.peak_memory_mib < 64


def test_parameters_are_counted_once_also_inside_wrappers():
    network = Network()
    assert num_parameters(Roll()) == 0
    assert num_parameters(network) == 12 + 4 + 3
    assert num_parameters(Wrapped(inner=Wrapped(inner=network), others=(network, nn.Linear(2, 2)))) == 19 + 6


def test_costs_are_rows_of_no_trajectory_and_what_is_unknown_has_no_row():
    columns = cost_rows("stepper", Cost(1.5, 2.5, math.nan, 10), training_seconds=60.0)
    assert columns["metric"].tolist() == [
        "ms_per_frame",
        "ms_per_frame_single",
        "num_parameters",
        "training_seconds",
    ]
    assert columns["value"].tolist() == [1.5, 2.5, 10.0, 60.0]
    assert set(columns["protocol"]) == {"cost"}
    assert set(columns["trajectory"]) == {-1}


def test_what_takes_long_is_timed_over_fewer_frames_and_once(monkeypatch):
    frames = []

    class Watched(Slow):
        def advance(self, state, generator=None):
            frames.append(len(state))
            return super().advance(state, generator)

    monkeypatch.setattr(cost, "LONGEST", 0.001)  # less than a frame of it
    measured = measure_cost(Watched(), advected(num=2), num_frames=20, num_repeats=5)
    assert (
        len(frames) == 4
    )  # one to warm up, one to see how long it takes, one of a batch, one of a trajectory alone
    assert measured.ms_per_frame_single > 1
