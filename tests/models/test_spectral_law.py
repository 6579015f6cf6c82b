import math

import pytest
import torch

from lines import on_line
from ups.models.law_terms import Term, is_forcing, library
from ups.models.spectral_law import SpectralLaw, phi
from ups.solvers.equations import KuramotoSivashinsky
from ups.solvers.modes import Modes
from ups.solvers.solve import solve
from ups.streams import stream
from ups.types import WALL, Axis, Field, Fields, Grid

LAPLACIAN, SQUARE = Term(0, (0,), "laplacian"), Term(0, (0, 0), "d0")


def law_of(fields, values, scheme=(4, 4)):
    law = SpectralLaw(Modes(fields.grid), library(fields), len(fields.names), len(fields.params))
    for term, value in values.items():
        place = law.terms.index(term)
        law.coefficients[place, 0] = value
        law.kept[place] = True
    law.scheme.copy_(torch.tensor(scheme))
    return law


def go(law, frame):
    return law(frame, frame.new_zeros(len(frame), 0))


def waves(num_cells=64, extent=1.0, seed=0):
    x = 2 * math.pi * (torch.arange(num_cells, dtype=torch.float64) + 0.5) / num_cells
    size = torch.rand(3, 3, 1, generator=stream(seed, "size"), dtype=torch.float64)
    mode = torch.arange(1, 4)[:, None]
    return (size * torch.sin(mode * x + 7 * size)).sum(1)[:, None]


def test_linear_terms_are_exact_in_one_step():
    fields = on_line(extent=2.0, cells=64)
    terms = {LAPLACIAN: 0.01, Term(0, (0,), "d0"): -0.3, Term(0, (0,), "1"): -0.2}
    x = 2 * torch.arange(64, dtype=torch.float64) / 64
    wave = torch.sin(3 * math.pi * x)[None, None]
    moved = torch.sin(3 * math.pi * (x - 0.3))[None, None] * math.exp(-0.2 - 0.01 * (3 * math.pi) ** 2)
    torch.testing.assert_close(go(law_of(fields, terms, (2, 1)), wave), moved, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("order", "least", "most"), [(2, 3.5, 4.6), (4, 13.0, 18.0)])
def test_the_integrator_has_its_order(order, least, most):
    fields = on_line(conserved=("u",))
    terms = {LAPLACIAN: 0.01, SQUARE: -0.1}
    finest = go(law_of(fields, terms, (4, 256)), waves())
    coarse, fine = ((go(law_of(fields, terms, (order, steps)), waves()) - finest).norm() for steps in (8, 16))
    assert least < coarse / fine < most


def test_it_agrees_with_the_solver_of_kuramoto_and_sivashinsky():
    fields = on_line(extent=22.0, conserved=("u",))
    terms = {LAPLACIAN: -0.5, Term(0, (0,), "bilaplacian"): -0.5, SQUARE: -0.25}
    truth = solve(KuramotoSivashinsky(), waves(), torch.tensor([0.0, 0.5]), 22.0)[:, 1]
    torch.testing.assert_close(go(law_of(fields, terms, (4, 32)), waves()), truth, rtol=0, atol=1e-6)


def test_between_walls_it_does_what_it_does_on_the_mirrored_domain():
    walled = Fields((Field("u"),), Grid((Axis("x", 12, 1.0), Axis("y", 10, 0.8, 0.0, WALL, WALL))), 1.0)
    whole = Fields((Field("u"),), Grid((Axis("x", 12, 1.0), Axis("y", 20, 1.6))), 1.0)
    terms = {
        LAPLACIAN: 0.002,
        Term(0, (0,), "1"): 0.3,
        Term(0, (0, 0), "1"): -0.3,
        Term(0, (-1, -1), "1"): 0.001,
    }
    frame = torch.rand(2, 1, 12, 10, generator=stream(0, "frame"), dtype=torch.float64)
    there = go(law_of(whole, terms), torch.cat([frame, frame.flip(3)], 3))
    torch.testing.assert_close(go(law_of(walled, terms), frame), there[..., :10], rtol=0, atol=1e-12)


def test_no_odd_derivative_is_offered_along_walls_and_no_source_to_what_is_conserved():
    grid = Grid((Axis("x", 12, 1.0), Axis("y", 10, 0.8, 0.0, WALL, WALL)))
    terms = library(Fields((Field("u", conserved=True),), grid, 1.0))
    assert {term.derivative for term in terms if not is_forcing(term)} == {
        "d0",
        "ddd0",
        "laplacian",
        "bilaplacian",
    }
    law = SpectralLaw(Modes(grid), terms, 1, 0)
    law.coefficients.normal_(std=1e-7, generator=stream(0, "law"))
    law.kept.fill_(True)
    frame = torch.rand(2, 1, 12, 10, generator=stream(0, "frame"), dtype=torch.float64)
    torch.testing.assert_close(go(law, frame).mean((2, 3)), frame.mean((2, 3)), rtol=0, atol=1e-14)


def test_waves_that_no_data_show_grow_no_faster_than_those_that_they_show():
    law = law_of(on_line(), {Term(0, (0,), "bilaplacian"): 1e-6, Term(0, (0,), "1"): 0.1})
    law.band[:, 6:] = False
    x = torch.arange(64, dtype=torch.float64) / 64
    low, high = (torch.sin(2 * math.pi * mode * x)[None, None] for mode in (5, 30))
    grown = math.exp(0.1 + 1e-6 * (10 * math.pi) ** 4)
    torch.testing.assert_close(go(law, low), grown * low, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(go(law, high), grown * high, rtol=1e-9, atol=1e-9)


def test_what_is_prepared_once_follows_the_coefficients():
    law = law_of(on_line(), {LAPLACIAN: 0.01, SQUARE: -0.1})
    before = go(law, waves())
    law.coefficients[law.terms.index(LAPLACIAN)] = 0.02
    assert (go(law, waves()) - before).abs().max() > 1e-3
    torch.testing.assert_close(go(law, waves().float()).double(), go(law, waves()), rtol=0, atol=1e-6)


def test_a_coefficient_is_affine_in_the_parameters():
    law = law_of(on_line(params=("nu",)), {LAPLACIAN: 0.01})
    law.coefficients[law.terms.index(LAPLACIAN), 1] = 0.005
    frame = waves()
    together = law(frame, torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64))
    for row, nu in enumerate((0.01, 0.015, 0.01)):
        alone = go(law_of(on_line(), {LAPLACIAN: nu}), frame[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-12)


def test_the_functions_of_the_integrator_keep_their_digits_and_their_slopes():
    size = torch.tensor([1e-9, 1e-3, 0.4, 0.99, 1.01, 7.0, 300.0], dtype=torch.float64)
    z = torch.cat([-size + 0j, 1j * size, -size + 1j * size])
    one = torch.expm1(z.real) / z.real
    torch.testing.assert_close(phi(z)[0][:7].real, one[:7], rtol=1e-13, atol=0)
    around = 2.5 * torch.exp(2j * math.pi * torch.arange(64, dtype=torch.float64) / 64)
    p = z[:, None] + around
    circles = [((p.exp() - 1) / p), ((p.exp() - 1 - p) / p**2), ((p.exp() - 1 - p - p**2 / 2) / p**3)]
    for own, circle in zip(phi(z), circles, strict=True):
        torch.testing.assert_close(own, circle.mean(1), rtol=1e-12, atol=1e-13)
    at_zero = torch.zeros((), dtype=torch.complex128, requires_grad=True)
    (slope,) = torch.autograd.grad(phi(at_zero)[1].real, at_zero)
    assert slope.real.item() == pytest.approx(1 / 6)


@pytest.mark.parametrize("factor", [(), (0,), (0, 0), (0, 0, 0), (-1, -1), (-3, 1, 2)])
def test_what_a_step_is_made_of_lies_where_its_input_lies(factor):
    law = SpectralLaw(Modes(on_line().grid), library(on_line()), 1, 0).to("meta")
    u = torch.empty(2, 1, 33, dtype=torch.complex64, device="meta")
    made = law._factor(factor, u)  # tensors of two devices do not meet in silence
    assert made.is_meta
    assert made.shape == (2, 33)
