import pytest
import torch

from ups.data.symmetries import augment
from ups.recipes import pdes
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
    again = solve(data.equation_class(**params), batch.values[:, 0].double(), times, batch.fields.extent[0])
    torch.testing.assert_close(again.float(), batch.values, rtol=1e-3, atol=1e-3)
