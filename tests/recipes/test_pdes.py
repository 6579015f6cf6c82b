import pytest
import torch

from ups.data.symmetries import augment
from ups.models.residual_nets import ParametersAlone
from ups.recipes import pdes
from ups.solvers.equations import AllenCahn
from ups.solvers.solve import solve
from ups.streams import stream


@pytest.mark.parametrize("recipe", [pdes.advection, pdes.heat, pdes.kuramoto_sivashinsky, pdes.fisher_kpp])
def test_the_symmetries_of_a_recipe_are_those_of_its_equation(recipe):
    """A transformed trajectory is again a solution: solving from its first frame gives the others."""
    run = recipe()
    data = run.data.model_copy(update={"num_trajectories": 6, "num_frames": 4})
    batch = augment(data.load(), run.training.symmetries, stream(0, "draw"))
    params = dict(zip(batch.fields.params, batch.params.double().unbind(1), strict=True))
    times = torch.arange(4) * batch.fields.dt
    again = solve(
        data.equation_class(**params), batch.values[:, 0].double(), times, batch.fields.grid.extent[0]
    )
    torch.testing.assert_close(again.float(), batch.values, rtol=1e-3, atol=1e-3)


def test_the_symmetries_of_the_steady_recipe_lead_to_rest_as_well():
    run = pdes.steady()
    data = run.data.model_copy(update={"num_trajectories": 6})
    batch = augment(data.load(), run.corrector_training.symmetries, stream(0, "draw"))
    times = torch.tensor([0.0, batch.fields.dt])
    again = solve(AllenCahn(batch.params[:, 0]), batch.values[:, 0].double(), times, 1.0)
    torch.testing.assert_close(again.float(), batch.values, rtol=0, atol=2e-2)


def test_the_two_steady_recipes_differ_in_what_the_prior_is_told():
    alone, told = pdes.steady(), pdes.steady_from_initial()
    assert alone.corrector.network == ParametersAlone(network=told.corrector.network)
    assert told.model_copy(update={"corrector": alone.corrector}) == alone
