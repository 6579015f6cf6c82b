import pytest

from ups.config import override
from ups.search.settings import SearchSettings
from ups.types import UserError


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["beam=9"], "beam=9 is wider than num_candidates=8"),
        (["horizon=2"], "looks ahead of one candidate alone"),
        (["max_calls=0"], "max_calls"),
        (["num_candidates=0"], "num_candidates"),
        (["discount=0"], "discount"),
        (["candidates_from=[student,student]"], "names a rung twice"),
        (["rewards={mass: 1}"], "mass"),
        (["rewards={residual: 0}"], "residual"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(changes, said):
    with pytest.raises(UserError, match=said) as found:
        override(SearchSettings(), changes)
    assert "\n" not in str(found.value)
