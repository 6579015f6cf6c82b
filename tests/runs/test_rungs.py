from dataclasses import fields, replace

import pytest
import torch

from tiny_recipe import kicked, tiny
from ups.config import override
from ups.models.baselines import Persistence
from ups.models.flux_law import FluxLaw
from ups.models.refined import Refined
from ups.recipes import burgers
from ups.runs.pipeline import ground, load, rehearse
from ups.runs.rungs import Below, SolverSpec
from ups.solvers.equations import FisherKPP
from ups.types import UserError


@pytest.fixture(scope="module")
def law_run(cache):
    settings = override(
        burgers.quick(), ["data.num_trajectories=40", "data.num_cells=64", "data.num_frames=18"]
    )
    return settings.model_copy(update={"codec": Refined(), "operator": FluxLaw()})


@pytest.fixture(scope="module")
def below(law_run):
    return ground(law_run, load(law_run))


def spec(settings, name):
    return next(each for each in settings.rungs if each.name == name)


def test_no_rung_can_see_the_test_split():
    assert {each.name for each in fields(Below)} == {
        "train",
        "validation",
        "normalizer",
        "codec",
        "seed",
        "steppers",
    }


def test_what_is_under_a_rung_is_added_and_nothing_else_changes(below):
    more = below.under("a", Persistence())
    assert set(more.steppers) == {"a"}
    assert below.steppers == {}
    assert more.train is below.train


def test_the_operator_starts_where_the_law_ends_and_leaves_it_alone(law_run, below):
    law_spec, operator_spec = spec(law_run, "law"), spec(law_run, "operator")
    law = law_spec.build(below)
    law_spec.prepare(law, below)
    law = law_spec.calibrate(law, None, below).stepper
    operator = operator_spec.build(below)
    assert not torch.equal(operator.operator.speed, law.operator.speed)
    operator_spec.prepare(operator, below.under("law", law))
    assert torch.equal(operator.operator.speed, law.operator.speed)
    kept = law.operator.speed.clone()
    assert law_spec.stage(law, below) is None
    assert not any(parameter.requires_grad for parameter in law.parameters())
    with torch.no_grad():
        for parameter in operator_spec.stage(operator, below).model.operator.parameters():
            parameter.add_(1.0)
        operator.operator.speed.add_(1.0)
    assert torch.equal(law.operator.speed, kept)


def test_a_law_is_read_from_the_training_split(law_run, below):
    other = replace(below, train=below.validation)
    found = []
    for known in (below, other):
        law = spec(law_run, "law").build(known)
        spec(law_run, "law").prepare(law, known)
        found.append(law.operator.speed)
    assert not torch.equal(*found)


def test_a_rung_that_does_not_fit_is_found_before_anything_is_trained(below, law_run):
    narrow = override(law_run, ["baselines.tuned_fno.modes=64"])
    with pytest.raises(UserError, match="modes=64"):
        rehearse(narrow.rungs, below)
    missing = SolverSpec(equation=FisherKPP, cells=(32,))
    with pytest.raises(UserError, match="lack"):
        rehearse((missing,), below)


def test_tables_call_a_rung_by_its_label(cache):
    settings = kicked()
    known = ground(settings, load(settings))
    steppers = {}
    for each in settings.rungs:
        steppers[each.label(each.build(known))] = each.name
        known = known.under(each.name, each.build(known))
    assert {
        "persistence",
        "operator",
        "solver, 32 cells",
        "operator + colored noise",
        "perfect ensemble",
    } <= set(steppers)
    assert spec(tiny(), "tuned_fno").label(Persistence()) == "tuned_fno"
