import torch

from ups.config import override
from ups.recipes import vorticity
from ups.solvers.solve import solve

TINY = [
    "data.num_cells=[16, 16]",
    "data.solver_cells=[32, 32]",
    "data.num_frames=3",
    "data.num_trajectories=4",
]


def test_frames_are_every_second_sample_of_a_finer_flow(tmp_path):
    kept = override(vorticity.reference(), [*TINY, "data.nu=1e-2"]).data
    whole = override(kept, ["num_cells=[32, 32]"])
    data, fine = kept.load(tmp_path), whole.load(tmp_path)
    assert torch.equal(data.values, fine.values[..., ::2, ::2])
    centres = [[axis.centres()[0].item() for axis in each.fields.grid.axes] for each in (data, fine)]
    torch.testing.assert_close(*map(torch.tensor, centres))
    again = solve(
        kept.equation_class(0.01, 0.1), fine.values[:, 1].double(), torch.arange(2.0), fine.fields.grid
    )
    torch.testing.assert_close(again[:, 1].float(), fine.values[:, 2], rtol=0, atol=1e-6)
