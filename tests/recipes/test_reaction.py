import torch

from ups.config import override
from ups.data.symmetries import augment
from ups.recipes import reaction
from ups.solvers.solve import solve
from ups.streams import stream


def test_the_symmetries_are_those_of_two_substances_between_walls(tmp_path):
    settings = override(
        reaction.reference(), ["data.num_cells=[16, 16]", "data.num_frames=3", "data.num_trajectories=8"]
    )
    data = settings.data.load(tmp_path)
    assert data.fields.names == ("activator", "inhibitor")
    moved = augment(data, settings.training.symmetries, stream(0, "augment"))
    times = data.fields.dt * torch.arange(3, dtype=torch.float64)
    again = solve(settings.data.equation_class(), moved.values[:, 0].double(), times, data.fields.grid)
    assert (moved.values - data.values).flatten(1).abs().amax(1).gt(1e-2).float().mean() > 0.4
    torch.testing.assert_close(again.float(), moved.values, rtol=0, atol=1e-4)
