import pytest

from tiny_recipe import kicked, steady, tiny, world
from ups.config import override
from ups.models.flux_law import FluxLaw
from ups.models.law_network import LawNetwork
from ups.models.refined import Refined
from ups.types import UserError


def names(settings):
    return [spec.name for spec in settings.rungs]


def test_the_rungs_are_ordered_and_each_stands_on_what_comes_before():
    for settings in (tiny(), kicked(), steady(), world(), override(kicked(), ["search={}"])):
        seen = {"codec"}
        for spec in settings.rungs:
            assert set(spec.on) <= seen
            seen.add(spec.name)
    assert names(tiny()) == ["persistence", "operator", "tuned_fno", "solver"]
    assert names(kicked())[-4:] == ["corrector", "colored_noise", "student", "perfect_ensemble"]
    assert "climatology" in names(steady())


def test_a_law_that_is_regressed_is_a_rung_below_the_operator():
    settings = tiny().model_copy(update={"codec": Refined(), "operator": FluxLaw()})
    assert names(settings)[:3] == ["persistence", "law", "operator"]
    law, operator = settings.rungs[1:3]
    assert operator.on == ("law",)
    assert law.training is None
    assert "law" not in names(tiny())


def test_with_a_law_in_terms_the_network_stands_on_the_ladder_alone_too():
    settings = tiny().model_copy(update={"operator": LawNetwork(width=8, num_blocks=1, modes=4)})
    network, law, operator = settings.rungs[1:4]
    assert (network.name, law.name, operator.name) == ("network", "law", "operator"), "each against the last"
    assert (network.on, operator.on) == (("codec",), ("law",))
    assert network.training == operator.training
    assert network.operator.sizes() == operator.operator.sizes()


def test_only_what_draws_has_members():
    members = {spec.name: spec.num_members for spec in kicked().rungs}
    assert {name for name, num in members.items() if num == 1} == {"persistence", "operator", "solver"}
    assert set(members.values()) == {1, 3}


@pytest.mark.parametrize("name", ["operator", "law", "../fno", "my fno", "network"])
def test_a_baseline_whose_name_is_no_folder_of_its_own_is_refused(name):
    with pytest.raises(UserError, match="cannot name a baseline"):
        override(tiny(), [f"baselines={{'{name}': {{kind: tuned_fno}}}}"])


def test_a_student_without_a_teacher_is_one_clear_line():
    with pytest.raises(UserError, match="no corrector to teach it"):
        override(kicked(), ["corrector=null"])


def test_a_world_sees_no_more_than_it_was_trained_on_and_its_actuators_stay_where_they_are():
    assert names(world())[-2:] == ["world_mean", "world"]
    for changes, said in (
        (["dynamics.context=9"], "longer than the windows it is trained on, 5 frames"),
        (["dynamics_training.symmetries=[shift]"], "actuators have places"),
    ):
        with pytest.raises(UserError, match=said) as found:
            override(world(), changes)
        assert "\n" not in str(found.value)


def test_a_search_needs_what_draws_candidates():
    assert names(override(kicked(), ["search={}"]))[-5:-1] == [
        "mean_of_candidates",
        "search",
        "lower_residual",
        "projected",
    ]
    for base, changes, said in (
        (tiny(), ["search={}"], "nothing draws candidates"),
        (kicked(), ["search.candidates_from=[studnt]"], "draws no candidates .did you mean 'student'"),
        (kicked(), ["search.beam=20"], "wider than num_candidates"),
    ):
        with pytest.raises(UserError, match=said):
            override(base, changes)
