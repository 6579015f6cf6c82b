import pytest
import torch

from ups.control.episodes import Simulator, Task, models, outcomes, play
from ups.control.planner import Planner
from ups.data.controlled import Controlled
from ups.evaluation.rollout import rollout
from ups.streams import stream


@pytest.fixture(scope="module")
def system(cache):
    source = Controlled(equation="heat", nu=0.01, num_trajectories=8, num_frames=20, num_cells=(32,))
    return source, source.load()


def task(system, **changes):
    source, data = system
    start = source.refined(data.values[:4, 0])
    known = {"source": source, "start": start, "target": data.values[4:, -1], "bound": 9.0, "num_frames": 8}
    return Task(**known | changes)


def test_without_a_model_nothing_is_done_and_the_system_goes_its_own_way(system):
    asked = task(system)
    played = play(asked, None, Planner(), stream(0, "play"))
    assert (played.actions == 0).all()
    alone = system[0].answers(asked.start, torch.zeros(4, 8, 2))
    assert torch.allclose(played.frames, alone.float(), atol=1e-6)
    wanted = (alone.float() - asked.target[:, None]).square().flatten(2).mean(2)
    assert torch.allclose(played.costs, wanted, atol=1e-6)


def test_the_solver_in_the_controller_forecasts_what_happens_and_lowers_the_cost(system):
    asked = task(system)
    planner = Planner(num_plans=24)
    steered, idle = (play(asked, model, planner, stream(0, "play")) for model in (Simulator(system[0]), None))
    assert steered.costs[:, -1].mean() < 0.6 * idle.costs[:, -1].mean()
    assert steered.actions.abs().max() <= 1
    forecast = rollout(
        Simulator(system[0]),
        system[0].kept(asked.start[:, 0])[:, None, None].float(),
        torch.zeros(4, 0),
        8,
        actions=steered.actions,
    )[0]
    assert torch.allclose(forecast, steered.frames, atol=0.02)
    found = outcomes({"no control": idle, "solver": steered}, asked.bound)
    assert found["no control"].taken_off.mean == 0
    assert found["solver"].taken_off.mean > 0.2
    assert found["solver"].num_unsafe == 0
    assert outcomes({"no control": idle}, 1e-3)["no control"].num_unsafe == 4


def test_a_bound_keeps_the_field_small(system):
    asked = task(system, target=torch.full((4, 1, 32), 2.0))
    planner = Planner(num_plans=24)
    free = play(asked, Simulator(system[0]), planner, stream(0, "play"))
    largest = free.largest.max().item()
    bound = max(0.7 * largest, asked.start.abs().max().item())
    held = play(
        task(system, target=asked.target, bound=bound), Simulator(system[0]), planner, stream(0, "play")
    )
    assert (held.largest <= 1.05 * bound).all()


def test_controllers_by_name(system):
    assert list(models(Simulator(system[0]), system[0])) == ["no control", "world model", "solver"]
