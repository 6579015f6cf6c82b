from dataclasses import replace

import pytest
import torch

from lines import on_line
from ups.data.simulated import Simulated
from ups.models.autoencoder import Convolutional, IdentityPatches
from ups.models.emulator import Emulator
from ups.models.law_operator import Law
from ups.models.law_words import written
from ups.models.normalizer import fit_normalizer
from ups.models.spectral_law import Term
from ups.solvers.modes import Modes
from ups.streams import stream
from ups.training.start import look_at
from ups.types import OPEN, Field, Fields, Trajectory, UserError, line


def emulator_of(data, settings=Law()):  # noqa: B008
    codec = IdentityPatches().build(data.fields, stream(0, "codec"))
    operator = settings.build(codec, data.fields, stream(0, "operator"))
    return Emulator(fit_normalizer(data), codec, operator, data.fields)


@pytest.fixture(scope="module")
def fronts(tmp_path_factory):
    """Fisher-KPP, whose field has a mean, under two rates of growth."""
    how = {"equation": "fisher_kpp", "rho": (1.0, 3.0), "nu": 0.005}
    return Simulated(num_trajectories=30, num_cells=48, num_frames=11, **how).load(
        tmp_path_factory.mktemp("fronts")
    )


@pytest.fixture(scope="module")
def chaos(tmp_path_factory):
    """Kuramoto-Sivashinsky, of which nobody says that its mean stays."""
    how = {"equation": "kuramoto_sivashinsky", "num_trajectories": 20, "num_cells": 64, "num_frames": 8}
    data = Simulated(**how).load(tmp_path_factory.mktemp("chaos"))
    return Trajectory(data.values, data.params, replace(data.fields, each=(Field("u"),)))


def test_a_rollout_follows_the_data_that_the_law_was_read_off(fronts):
    emulator = emulator_of(fronts.select(slice(0, 20)))
    look_at(emulator, fronts.select(slice(0, 20)))
    rest = fronts.select(slice(20, None))
    state = emulator.encode(rest.values[:, :1], rest.params)
    for frame in range(1, 11):
        state = emulator.advance(state)
        torch.testing.assert_close(emulator.decode(state), rest.values[:, frame], rtol=0, atol=1e-5)


def test_it_is_the_same_law_in_any_unit_of_the_field_and_from_any_zero(fronts):
    kept = []
    for factor in (1.0, 250.0):
        data = Trajectory(factor * fronts.values, fronts.params, fronts.fields)
        emulator = emulator_of(data)
        look_at(emulator, data)
        law = emulator.operator.law
        kept.append([law.terms[k] for k in law.kept.nonzero()[:, 0]])
    assert kept[0] == kept[1]
    assert {term.derivative for term in kept[0]} == {"laplacian", "1"}


def test_before_it_has_seen_data_it_is_the_identity_and_parameters_that_vary_by_decades_enter_as_they_are(
    tmp_path,
):
    how = {"equation": "heat", "nu": (0.001, 0.01, 0.1)}
    data = Simulated(num_trajectories=30, num_cells=32, num_frames=6, **how).load(tmp_path)
    emulator = emulator_of(data)
    state = emulator.encode(data.values[:, :1], data.params)
    torch.testing.assert_close(emulator.decode(emulator.advance(state)), data.values[:, 0], rtol=0, atol=1e-5)
    look_at(emulator, data)
    law = emulator.operator.law
    ((constant, slope),) = law.coefficients[law.kept].tolist()
    assert abs(constant) < 1e-6 * slope
    made = emulator.decode(emulator.advance(state))
    torch.testing.assert_close(made, data.values[:, 1], rtol=0, atol=1e-5)


def test_it_is_saved_and_restored_with_its_terms_and_its_integrator(fronts):
    first, second = emulator_of(fronts), emulator_of(fronts)
    look_at(first, fronts)
    second.load_state_dict(first.state_dict())
    state = first.encode(fronts.values[:3, :1], fronts.params[:3])
    assert torch.equal(first.advance(state)[0], second.advance(state)[0])
    assert second.operator.law.order == first.operator.law.order


def test_what_has_no_waves_is_refused_in_one_line():
    fields = on_line(cells=64)
    tokens = Convolutional(num_levels=1).build(fields, stream(0, "codec"))
    with pytest.raises(UserError, match=r"set codec\.kind=identity"):
        Law().build(tokens, fields, stream(0, "operator"))
    ends = on_line(cells=64, boundary=OPEN)
    with pytest.raises(UserError, match="periodic or lie between walls"):
        Law().build(IdentityPatches().build(ends, stream(0, "codec")), ends, stream(0, "operator"))


def test_a_mean_that_never_moves_in_the_data_is_kept_whether_they_say_so_or_not(chaos):
    emulator = emulator_of(chaos)
    assert not emulator.fields.conserved
    look_at(emulator, chaos)
    law = emulator.operator.law
    assert not law.moves.any()
    kept = {(law.terms[k].factor, law.terms[k].derivative) for k in law.kept.nonzero()[:, 0]}
    assert kept == {((0,), "laplacian"), ((0,), "bilaplacian"), ((0, 0), "d0")}
    law.coefficients[law.terms.index(Term(0, (0, 0), "1")), 0] = 0.5
    law.kept[law.terms.index(Term(0, (0, 0), "1"))] = True
    state = emulator.encode(chaos.values[:, :1], chaos.params)
    moved = emulator.decode(emulator.advance(state)).double() - chaos.values[:, 0].double()
    assert moved.abs().max() > 0.1
    assert moved.mean((1, 2)).abs().max() < 1e-6


def test_a_mean_that_moves_may_move(fronts):
    emulator = emulator_of(fronts)
    look_at(emulator, fronts)
    assert emulator.operator.law.moves.all()


def test_a_law_that_fails_in_a_rollout_is_none(tmp_path):
    """Shocks of a third of a cell: one frame ahead the right terms are found, in waves they blow up.

    The best linear map, which stands in, is better than nothing moving, and no more.
    """
    how = {"equation": "burgers", "nu": 0.0003, "num_trajectories": 20, "num_cells": 64, "num_frames": 21}
    data = Simulated(**how).load(tmp_path)
    emulator = emulator_of(data)
    look_at(emulator, data)
    operator = emulator.operator
    state = emulator.encode(data.values[:, :1], data.params)
    for _ in range(20):
        state = emulator.advance(state)
    made, truth = emulator.decode(state), data.values[:, 20]
    assert not operator.law.kept.any()
    assert operator.is_linear
    assert 0.5 < operator.left < 1
    assert (made - truth).norm() < (data.values[:, 0] - truth).norm()


def test_survival_is_judged_against_persistence(fronts):
    emulator = emulator_of(fronts)
    look_at(emulator, fronts)
    operator, rest = emulator.operator, fronts.select(slice(0, 4))
    normalized = emulator.normalizer.normalize(rest.values.flatten(0, 1)).unflatten(0, rest.values.shape[:2])
    some = Trajectory(normalized, emulator.normalizer.normalize_params(rest.params), fronts.fields)
    assert operator._survives(some)
    operator.law.coefficients.mul_(-1)
    assert not operator._survives(some)
    operator.law.coefficients.mul_(float("nan"))
    assert not operator._survives(some)


def test_where_no_law_of_the_library_holds_the_best_linear_map_stands_in():
    """Every wave turns and decays at a rate that no derivative has."""
    grid, generator = line(48), stream(0, "waves")
    modes = Modes(grid)
    number = torch.arange(25, dtype=torch.float64)
    factor = torch.exp(-0.02 * number**1.5 + 2j * torch.rand(25, generator=generator, dtype=torch.float64))
    factor[0] = 1
    factor[24] = 0.5  # the shortest wave is real
    first = torch.randn(30, 1, 48, generator=generator, dtype=torch.float64)
    spectrum = modes.forth(first) * torch.exp(-number / 4)
    values = torch.stack([modes.back(spectrum * factor**frame) for frame in range(8)], 1).float()
    fields = Fields((Field("u"),), grid, 0.1, ("nu",))
    data = Trajectory(values, torch.full((30, 1), 0.01), fields)
    emulator, rest = emulator_of(data.select(slice(0, 24))), data.select(slice(24, None))
    look_at(emulator, data.select(slice(0, 24)))
    operator = emulator.operator
    assert operator.is_linear
    assert operator.left < 1e-4
    words = list(written(operator.law, fields, emulator.normalizer, operator.left.item()))
    assert "in its place the best linear map of each wave" in words[-1]
    state = emulator.encode(rest.values[:, :1], rest.params)
    for frame in range(1, 8):
        state = emulator.advance(state)
        torch.testing.assert_close(emulator.decode(state), rest.values[:, frame], rtol=0, atol=1e-3)
    second = emulator_of(data.select(slice(0, 24)))
    second.load_state_dict(emulator.state_dict())
    state = emulator.encode(rest.values[:, :1], rest.params)
    assert torch.equal(emulator.advance(state)[0], second.advance(state)[0])


def test_a_law_that_holds_is_not_exchanged_for_a_linear_map(fronts):
    emulator = emulator_of(fronts)
    look_at(emulator, fronts)
    assert not emulator.operator.is_linear
    assert emulator.operator.law.kept.any()


def test_a_law_that_was_saved_before_there_was_a_linear_map_is_loaded(fronts):
    first, second = emulator_of(fronts), emulator_of(fronts)
    look_at(first, fronts)
    old = {name: value for name, value in first.state_dict().items() if "linear" not in name}
    second.load_state_dict(old)
    state = first.encode(fronts.values[:3, :1], fronts.params[:3])
    assert torch.equal(first.advance(state)[0], second.advance(state)[0])
