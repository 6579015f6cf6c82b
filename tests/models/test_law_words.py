from dataclasses import replace

import torch

from lines import on_line
from ups.models.law_terms import CARRIED, SQUARED_GRADIENT, WAVE, Term, library
from ups.models.law_words import written
from ups.models.normalizer import Normalizer, fit_normalizer
from ups.models.spectral_law import SpectralLaw
from ups.solvers.modes import Modes
from ups.types import WALL, Axis, Field, Fields, Grid, Trajectory


def law_of(fields, values):
    law = SpectralLaw(Modes(fields.grid), library(fields), len(fields.names), len(fields.params))
    for term, numbers in values.items():
        place = law.terms.index(term)
        law.coefficients[place] = torch.tensor(numbers, dtype=torch.float64)
        law.kept[place] = True
    return law


def test_a_law_is_written_in_physical_units():
    fields = on_line(dt=0.1, cells=16)
    normalizer = Normalizer(1, 0)
    normalizer.std.fill_(2.0)
    values = {
        Term(0, (0,), "bilaplacian"): [-0.1],
        Term(0, (0, 0), "d0"): [-0.1],
        Term(0, (0, 0, 0), "1"): [0.4],
        Term(0, SQUARED_GRADIENT, "mean"): [0.3],
    }
    first, last = written(law_of(fields, values), fields, normalizer, 1.234e-5)
    assert first == "u_t = - 1 u_xxxx - 0.5 (u^2)_x + 1 u^3 + 1.5 mean(|grad u|^2)"
    assert last.startswith("of 14 terms offered; leaves 1.2e-05 of a frame's change")


def test_parameters_stand_in_their_own_units():
    fields = on_line(dt=0.5, cells=16, params=("nu", "a"))
    nu, a = torch.tensor([0.01, 0.1, 1.0, 1.0]), torch.tensor([1.0, 2.0, 1.0, 2.0])
    data = Trajectory(torch.randn(4, 3, 1, 16), torch.stack([nu, a], 1), fields)
    normalizer = fit_normalizer(data)
    assert normalizer.param_is_log.tolist() == [True, False]
    mean, gain = normalizer.param_mean.double(), normalizer.param_gain.double()
    values = {
        Term(0, (0,), "laplacian"): [0.0, 0.5 * mean[0].exp().item(), 0.0],
        Term(0, (0,), "d0"): [-0.5 * mean[1].item(), 0.0, (-0.5 / gain[1]).item()],
    }
    (line, _) = written(law_of(fields, values), fields, normalizer, 0.1)
    assert line == "u_t = + (-1 a) u_x + (+1 nu) u_xx".removeprefix("u_t = + ").join(["u_t = ", ""])


def test_on_a_plane_and_with_two_fields_each_has_its_line():
    grid = Grid((Axis("x", 8, 1.0), Axis("y", 10, 1.0)))
    fields = Fields((Field("u"), Field("v")), grid, 1.0)
    values = {Term(0, (0,), "laplacian"): [0.25], Term(0, (0, 1), "d1"): [1.0], Term(1, (0,), "1"): [-2.0]}
    first, second, _ = written(law_of(fields, values), fields, Normalizer(2, 0), 0.1)
    assert first == "u_t = 0.25 lap u + 1 (u v)_y"
    assert second == "v_t = - 2 u"


def test_no_law_is_said_to_be_none():
    fields = on_line(cells=16)
    (line,) = written(law_of(fields, {}), fields, Normalizer(1, 0), 1.0)
    assert line.startswith("no law found")


def test_what_a_flow_carries_and_what_stirs_it_are_written_in_the_coordinates_of_the_grid():
    fields = Fields((Field("w"),), Grid((Axis("x", 16, 1.0), Axis("y", 16, 2.0))), 0.5)
    normalizer = Normalizer(1, 0)
    normalizer.std.fill_(2.0)
    values = {
        Term(0, (CARRIED, 0, 0), "1"): [-1.0],
        Term(0, (WAVE, 1, 1, -1), "1"): [0.025],
        Term(0, (WAVE, 0, 0, 2), "1"): [0.05],
    }
    first, last = written(law_of(fields, values), fields, normalizer, 1e-3)
    assert first == "w_t = - 1 (c . grad) w [curl c = w] + 0.2 cos(pi (2 y)) + 0.1 sin(pi (2 x - 1 y))"
    assert last.startswith("of 99 terms offered")
    law = law_of(fields, values)
    law.moves.fill_(False)  # what is carried and what stirs have no mean that would have to go
    assert next(written(law, fields, normalizer, 1e-3)) == first
    channel = replace(fields, grid=Grid((Axis("x", 16, 1.0, 0.5, WALL, WALL), Axis("y", 16, 2.0))))
    (line, _) = written(law_of(channel, {Term(0, (WAVE, 0, 3, 1), "1"): [0.25]}), channel, normalizer, 1e-3)
    assert line == "w_t = 1 cos(pi (1 y)) cos(3 pi (x - 0.5))"
