import pytest
import toy

from ups.config import override, validate
from ups.training.settings import Fit
from ups.types import UserError


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"updates": -5}, "greater than 0"),
        ({"updates": None}, "either 'updates' or 'seconds'"),
        ({"seconds": 10.0}, "either 'updates' or 'seconds'"),
        ({"updates": None, "seconds": float("inf")}, "finite"),
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"batch_size": 10, "accumulation": 3}, "multiple of accumulation"),
        ({"unroll": [[0.1, 1]]}, "starts at fraction 0"),
        ({"unroll": [[0.0, 1], [0.5, 2], [0.4, 3]]}, "fractions increase"),
        ({"unroll": []}, "starts at fraction 0"),
        ({"unroll": [[0.0, 0]]}, "greater than 0"),
        ({"patience": 4}, "smaller than num_validations 4"),
        ({"patience": 0}, "greater than 0"),
        ({"ema_decay": 1.0}, "less than 1"),
        ({"schedule": "linear"}, "'cosine' or 'constant'"),
        ({"learning_rat": 1e-3}, "did you mean 'learning_rate'"),
    ],
)
def test_a_bad_value_is_one_clear_line(changes, said):
    with pytest.raises(UserError, match=said) as error:
        validate(Fit, {**toy.SETTINGS, **changes})
    assert "\n" not in str(error.value)


def test_the_kind_of_budget_can_be_changed_by_overrides():
    chosen = override(Fit(seconds=240), ["updates=100", "seconds=null"])
    assert (chosen.updates, chosen.seconds) == (100, None)


def test_large_frames_make_smaller_batches_where_cells_are_bounded():
    how = Fit(updates=1, batch_size=20, batch_cells=20_000)
    assert [how.sized(cells).batch_size for cells in (256, 1000, 4096, 10**6)] == [20, 20, 4, 1]
    assert Fit(updates=1, batch_size=20).sized(10**6).batch_size == 20
    parts = Fit(updates=1, batch_size=20, accumulation=4, batch_cells=20_000)
    assert [parts.sized(cells).batch_size for cells in (256, 2000, 10**6)] == [20, 8, 4]
