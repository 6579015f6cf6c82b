import pytest
import torch

from lines import on_line
from ups.data.simulated import Simulated
from ups.models import law_search
from ups.models.law_search import Pairs, read_law
from ups.models.law_terms import SQUARED_GRADIENT, Term, is_forcing, library
from ups.models.spectral_law import SpectralLaw
from ups.solvers.modes import Modes
from ups.streams import stream

D, D2, D3, D4 = "d0", "laplacian", "ddd0", "bilaplacian"


def law_for(fields):
    return SpectralLaw(Modes(fields.grid), library(fields), len(fields.names), len(fields.params))


def pairs_of(values, params, frames):
    before, after = (values[:, [f + k for f in frames]].flatten(0, 1).double() for k in (0, 1))
    return Pairs(before, after, params.repeat_interleave(len(frames), 0).double())


def read(data, frames=(0, 4, 9)):
    law = law_for(data.fields)
    train, held_out = data.select(slice(0, 24)), data.select(slice(24, None))
    params = torch.zeros(len(data), len(data.fields.params))
    known, unknown = (pairs_of(part.values, params[: len(part)], frames) for part in (train, held_out))
    return law, read_law(law, known, unknown)


def found(law, dt):
    """Return the coefficients per unit of time of the terms that are kept."""
    return {
        (*term.factor, term.derivative): value / dt
        for term, value, kept in zip(law.terms, law.coefficients[:, 0].tolist(), law.kept, strict=True)
        if kept
    }


@pytest.mark.parametrize(
    ("how", "truth"),
    [
        ({"equation": "advection", "speed": 0.4}, {(0, D): -0.4}),
        ({"equation": "heat", "nu": 0.01}, {(0, D2): 0.01}),
        ({"equation": "fisher_kpp", "nu": 0.005, "rho": 2}, {(0, D2): 0.005, (0, "1"): 2, (0, 0, "1"): -2}),
        ({"equation": "allen_cahn", "nu": 0.01}, {(0, D2): 0.01, (0, "1"): 1, (0, 0, 0, "1"): -1}),
        ({"equation": "kuramoto_sivashinsky"}, {(0, D2): -1, (0, D4): -1, (0, 0, D): -0.5}),
        ({"equation": "swift_hohenberg"}, {(0, D2): -2, (0, D4): -1, (0, "1"): -0.3, (0, 0, 0, "1"): -1}),
    ],
)
def test_the_terms_and_coefficients_of_an_equation_are_found(how, truth, tmp_path):
    data = Simulated(num_trajectories=30, num_cells=64, num_frames=11, **how).load(tmp_path)
    law, left = read(data)
    assert left < 1e-2
    assert found(law, data.fields.dt) == {
        term: pytest.approx(value, rel=0.01) for term, value in truth.items()
    }


def test_two_fields_that_drive_each_other(monkeypatch):
    fields = on_line(("u", "v"), cells=32)
    truth = {
        Term(0, (0,), D2): 1e-3,
        Term(0, (0,), "1"): 0.1,
        Term(0, (1,), "1"): -0.1,
        Term(0, (0, 0, 0), "1"): -0.1,
        Term(1, (1,), D2): 5e-3,
        Term(1, (0,), "1"): 0.05,
        Term(1, (1,), "1"): -0.05,
    }
    maker = law_for(fields)
    for term, value in truth.items():
        maker.coefficients[maker.terms.index(term), 0] = value
    maker.kept.fill_(True)
    maker.scheme.copy_(torch.tensor([4, 8]))
    before = torch.randn(40, 2, 6, generator=stream(0, "waves"), dtype=torch.float64)
    before = torch.fft.irfft(before.to(torch.complex128), n=32) * 8
    after = maker(before, torch.zeros(40, 0, dtype=torch.float64)).float().double()
    pairs = Pairs(before, after, torch.zeros(40, 0, dtype=torch.float64))
    law = law_for(fields)
    assert read_law(law, Pairs(*(p[:30] for p in pairs)), Pairs(*(p[30:] for p in pairs))) < 1e-4
    kept = {term: law.coefficients[k, 0].item() for k, term in enumerate(law.terms) if law.kept[k]}
    assert kept == {term: pytest.approx(value, rel=0.01) for term, value in truth.items()}


def test_a_coefficient_follows_the_parameter_to_values_that_were_not_seen(tmp_path):
    fields = on_line(params=("nu",), cells=64)
    waves = torch.fft.irfft(torch.randn(45, 6, generator=stream(0, "waves")) + 0j, n=64)[:, None].double()
    nu = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64).repeat(15)[:, None]
    decay = torch.exp(-0.01 * nu[:, :, None] * (2 * torch.pi * torch.arange(33)) ** 2)
    after = torch.fft.irfft(torch.fft.rfft(waves) * decay, n=64)
    law = law_for(fields)
    pairs = Pairs(waves, after, nu)
    read_law(law, Pairs(*(p[:30] for p in pairs)), Pairs(*(p[30:] for p in pairs)))
    (place,) = law.kept.nonzero()[:, 0].tolist()
    assert law.terms[place] == Term(0, (0,), D2)
    constant, slope = law.coefficients[place].tolist()
    assert constant + 3.0 * slope == pytest.approx(0.03, rel=1e-3)


def test_a_mean_that_is_held_is_seen(tmp_path):
    """|grad u|^2 without its mean, as benchmarks solve Kuramoto and Sivashinsky's equation."""
    fields = on_line(cells=64, extent=32.0)
    maker = law_for(fields)
    truth = {(0, D2): -0.1, (0, D4): -0.1, (*SQUARED_GRADIENT, "1"): -0.05, (*SQUARED_GRADIENT, "mean"): 0.05}
    for (*factor, derivative), value in truth.items():
        maker.coefficients[maker.terms.index(Term(0, tuple(factor), derivative)), 0] = value
    maker.kept.fill_(True)
    before = (
        3
        * torch.fft.irfft(torch.randn(40, 12, generator=stream(0, "waves")) + 0j, n=64)[:, None].double()
        * 8
    )
    after = maker(before, torch.zeros(40, 0, dtype=torch.float64))
    pairs = Pairs(before, after, torch.zeros(40, 0, dtype=torch.float64))
    law = law_for(fields)
    read_law(law, Pairs(*(p[:30] for p in pairs)), Pairs(*(p[30:] for p in pairs)))
    assert found(law, 1.0) == {term: pytest.approx(value, rel=0.01) for term, value in truth.items()}


def test_frames_that_have_nothing_to_do_with_each_other_have_no_law():
    draws = torch.randn(2, 40, 1, 32, generator=stream(0, "noise"), dtype=torch.float64)
    law = law_for(on_line(cells=32))
    pairs = Pairs(*draws, torch.zeros(40, 0, dtype=torch.float64))
    left = read_law(law, Pairs(*(p[:30] for p in pairs)), Pairs(*(p[30:] for p in pairs)))
    assert left > 0.6  # what regresses to the mean: u_t = -u has half of the change of independent frames
    assert law.kept.sum() <= 3


def test_the_pruning_is_what_makes_it_simple(tmp_path, monkeypatch):
    monkeypatch.setattr(
        law_search, "_simplified", lambda fit, fitted, kept, floor: (fitted.coefficients, kept.clone())
    )
    data = Simulated(equation="heat", num_trajectories=30, num_cells=64, num_frames=11).load(tmp_path)
    law, _ = read(data)
    assert law.kept[[not is_forcing(term) for term in law.terms]].all()


def test_where_frames_are_near_a_regression_finds_the_terms_and_all_others_are_never_tried(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(law_search, "_of_all_terms", None)
    for how in ({"equation": "fisher_kpp", "nu": 0.005, "rho": 2}, {"equation": "kuramoto_sivashinsky"}):
        data = Simulated(num_trajectories=30, num_cells=64, num_frames=11, **how).load(tmp_path)
        law, left = read(data)
        assert law.kept.sum() == 3
        assert left < 1e-5


def test_the_regression_changes_the_time_and_not_the_law(tmp_path, monkeypatch):
    how = {"equation": "allen_cahn", "nu": 0.01, "num_trajectories": 30, "num_cells": 64, "num_frames": 11}
    data = Simulated(**how).load(tmp_path)
    quick, _ = read(data)
    monkeypatch.setattr(law_search, "_of_few_terms", lambda *_: None)
    thorough, left = read(data)
    assert left < 1e-5
    assert torch.equal(quick.kept, thorough.kept)
    torch.testing.assert_close(quick.coefficients, thorough.coefficients, rtol=1e-5, atol=1e-7)


def test_the_rates_of_terms_are_those_of_the_step(tmp_path):
    """A law of one term over a frame that changes little is the frame and its rate."""
    data = Simulated(equation="heat", num_trajectories=3, num_cells=64, num_frames=3).load(tmp_path)
    law = law_for(data.fields)
    law.kept.fill_(True)
    w = data.values[:, 1].double()
    rates = law.rates(w)
    for place in range(len(law.terms)):
        coefficients = torch.zeros_like(law.coefficients)
        coefficients[place, 0] = size = 1e-6 / max(1.0, rates[place].abs().max().item())
        stepped = law.step(w, torch.zeros(3, 0).double(), coefficients[:, :1]) - w
        torch.testing.assert_close(stepped[:, 0] / size, rates[place], rtol=1e-3, atol=1e-3)


def planes(tmp_path, **how):
    return Simulated(num_trajectories=6, num_frames=9, **how).load(tmp_path)


def read_plane(data, frames):
    law = law_for(data.fields)
    law.moves.fill_(not data.fields.conserved)
    if data.fields.conserved:
        law.band[:, 0, 0] = False
    parts = data.select(slice(0, 4)), data.select(slice(4, None))
    params = torch.zeros(4, len(data.fields.params))
    return law, read_law(law, *(pairs_of(part.values, params[: len(part)], frames) for part in parts))


def test_a_stirred_flow_in_a_plane_tells_its_viscosity_and_what_stirs_it(tmp_path):
    data = planes(tmp_path, equation="vorticity", num_cells=(32, 32), nu=2e-3, strength=0.1)
    law, left = read_plane(data, (1, 4, 7))
    assert left < 1e-3
    assert found(law, 1.0) == {
        (0, D2): pytest.approx(2e-3, rel=0.01),
        (-2, 0, 0, "1"): pytest.approx(-1, rel=0.01),
        (-3, 0, 1, 1, "1"): pytest.approx(0.1, rel=0.01),
        (-3, 1, 1, 1, "1"): pytest.approx(0.1, rel=0.01),
    }


def test_a_flow_that_its_cells_hardly_resolve_is_still_one_of_waves(tmp_path):
    data = planes(tmp_path, equation="vorticity", num_cells=(32, 32), nu=1e-3)
    law, left = read_plane(data, (0, 3, 6))
    assert not law.on_cells
    assert not law.aliased
    assert left < 1e-3


def test_what_is_not_forced_is_offered_no_forcing(tmp_path):
    law, left = read_plane(planes(tmp_path, equation="vorticity", num_cells=(32, 32), strength=0), (1, 4))
    assert left < 1e-3
    assert {term[0] for term in found(law, 1.0)} == {0, -2}


def test_data_of_a_scheme_on_cells_are_read_on_cells(tmp_path):
    data = planes(tmp_path, equation="fitzhugh_nagumo", num_cells=(24, 24), boundary="wall")
    law, left = read_plane(data, (2, 5))
    assert law.on_cells
    assert left < 1e-3
    read = found(law, data.fields.dt)
    for term, value in {(0, D2): 1e-3, (0, 0, 0, "1"): -1, (1, "1"): -1}.items():
        assert read[term] == pytest.approx(value, rel=0.01), term
    waves = read_plane(planes(tmp_path, equation="allen_cahn", num_cells=(24, 24)), (2, 5))[0]
    assert not waves.on_cells


def test_a_search_that_takes_too_much_is_given_up_and_says_that_there_is_no_law(tmp_path, monkeypatch):
    data = planes(tmp_path, equation="vorticity", num_cells=(16, 16))
    monkeypatch.setattr(law_search, "MOST_WORK", 1.0)
    monkeypatch.setattr(law_search, "_of_few_terms", lambda law, *_: setattr(law, "work", 2.0))
    law, left = read_plane(data, (1, 4, 7))
    assert left == 1.0
    assert not law.kept.any()
    frame = data.values[:2, 3].double()
    torch.testing.assert_close(law(frame, data.params[:2].double()), frame, rtol=0, atol=1e-12)
