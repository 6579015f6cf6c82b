from dataclasses import replace

import pytest
import torch

from lines import on_its_grid, on_line
from ups.models.baselines import TunedFNO
from ups.models.misfits import misfits
from ups.models.normalizer import fit_normalizer
from ups.streams import stream
from ups.types import Grid

FIELDS = on_line(("u",), ("1",), 1.0, dt=0.05, params=("nu",), conserved=("u",), cells=32)


def data(nu=(0.001, 0.01), num_cells=32, extent=1.0, name="u", **changes):
    values = torch.randn(len(nu), 12, 1, num_cells, generator=stream(0, "data"))
    axis = replace(FIELDS.grid.axes[0], extent=extent)
    each = (replace(FIELDS.each[0], name=name),)
    fields = replace(FIELDS, grid=Grid((axis,)), each=each, **changes)
    return on_its_grid(values, torch.tensor(nu)[:, None], fields)


@pytest.fixture(scope="module")
def model():
    baseline = TunedFNO(num_context=2, width=8, modes=4)
    return baseline.build(FIELDS, fit_normalizer(data()), stream(0, "baseline"))


def test_the_training_data_fit(model):
    assert misfits(model, data()) == []
    assert misfits(model, data(nu=(0.005,))) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (data(num_cells=128), "the grid has 128 cells, trained on 32 (stride_space=4 fits)"),
        (data(num_cells=33), "the grid has 33 cells, trained on 32"),
        (data(dt=0.01), "dt is 0.01, trained on 0.05 (stride_time=5 fits)"),
        (data(dt=0.1), "dt is 0.1, trained on 0.05"),
        (data(extent=2.0), "the domain is 2 long, trained on 1"),
        (data(nu=(0.02,)), "nu is 0.02, trained on 0.001 to 0.01"),
        (data(nu=(0.0001, 0.005)), "nu is 0.0001 to 0.005, trained on 0.001 to 0.01"),
        (data(name="v"), "the fields are v, trained on u"),
        (data(params=("speed",)), "the parameters are ('speed',), trained on ('nu',)"),
    ],
)
def test_each_difference_is_said_with_what_would_fit(model, given, expected):
    assert misfits(model, given) == [expected]


def test_all_differences_are_said_at_once(model):
    assert len(misfits(model, data(num_cells=64, dt=0.1, nu=(1.0,)))) == 3
