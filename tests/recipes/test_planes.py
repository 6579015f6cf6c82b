import duckdb
import pytest
import torch

from ups.config import override
from ups.data.symmetries import augment
from ups.recipes import planes
from ups.runs.pipeline import run
from ups.solvers.solve import solve
from ups.streams import stream

RECIPES = [planes.heat, planes.heat_walled, planes.fisher_kpp, planes.fisher_kpp_walled]
SMALL = [
    "data.num_trajectories=40",
    "data.num_frames=16",
    "data.num_cells=[12, 10]",
    "operator.modes=3",
    "operator.width=8",
    "operator.num_blocks=1",
    "solver_cells=[6, 12]",
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
def test_the_symmetries_of_a_recipe_are_those_of_its_equation(recipe, tmp_path):
    settings = override(recipe(), SMALL)
    data = settings.data.load(tmp_path).window(0, 3)
    moved = augment(data, settings.training.symmetries, stream(0, "augment"))
    kind = settings.data.equation_class(
        **dict(zip(data.fields.params, data.params.double().unbind(1), strict=True))
    )
    times = data.fields.dt * torch.arange(3, dtype=torch.float64)
    again = solve(kind, moved.values[:, 0].double(), times, data.fields.grid)
    assert (moved.values - data.values).abs().amax((1, 2, 3, 4)).gt(1e-3).float().mean() > 0.6
    torch.testing.assert_close(again.float(), moved.values, rtol=0, atol=1e-4)


def test_between_walls_the_operator_learns_and_the_report_shows_it(tmp_path):
    """Hundreds of times in a minute at full size (`docs/studies/planes.md`); here in seconds, on a small one."""
    budget = [
        "training.updates=250",
        "training.num_validations=2",
        "training.unroll=[[0, 1]]",
        "baselines={}",
    ]
    folder = tmp_path / "run"
    run(override(planes.heat_walled(), [*SMALL, *budget]), folder)
    query = (
        f"select stepper, avg(value) from '{folder}/rows.parquet' "
        "where protocol = 'pdebench' and metric = 'nrmse' group by stepper"
    )
    error = dict(duckdb.sql(query).fetchall())
    (solver,) = [value for name, value in error.items() if name.startswith("solver")]
    assert solver <= error["operator"]
    assert error["operator"] < error["persistence"] / 2
    report = (folder / "report.html").read_text()
    assert "on the plane" in report
    assert (folder / "figures" / "planes_0.png").exists()
    assert "data:image/webp;base64," in report
    assert "(figures/animation_0.webp)" in (folder / "report.md").read_text()
