import pytest

from ups.config import override
from ups.recipes import burgers
from ups.types import UserError


def test_the_operator_and_every_baseline_get_the_same_training():
    run = burgers.reference()
    assert set(run.baselines) == {"pdebench_fno", "unet", "dilated_resnet", "tuned_fno"}
    assert run.training.seconds == 600
    assert "training" not in {
        name for baseline in run.baselines.values() for name in type(baseline).model_fields
    }


def test_the_quick_recipe_is_the_reference_on_our_own_data_and_a_coarser_state_for_less_time():
    quick, reference = burgers.quick(), burgers.reference()
    assert quick.baselines == reference.baselines
    assert quick.operator == reference.operator
    assert quick.codec.model_copy(update={"factor": 4}) == reference.codec
    assert quick.training.model_copy(update={"seconds": 600.0, "updates": None}) == reference.training


def test_the_quick_recipe_counts_updates_and_paces_every_baseline():
    quick = burgers.quick()
    assert quick.pace.keys() == quick.baselines.keys()
    assert quick.training_of("unet").updates == round(3.8 * quick.training.updates)
    timed = override(quick, ["training.seconds=5"])
    assert timed.training_of("unet") == timed.training
    assert override(quick, ["baselines={}"]).baselines == {}
    with pytest.raises(UserError, match=r"pace of 'unt', which is no baseline.*'unet'"):
        override(quick, ["pace.unt=2"])


def test_the_viscosities_span_three_decades():
    nu = burgers.viscosities().data.nu
    assert max(nu) / min(nu) == 1000
