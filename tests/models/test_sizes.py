import pytest

from ups.config import validate
from ups.models.sizes import AttentionSize, SpectralLocalSize
from ups.types import UserError


def test_a_line_must_hold_the_modes_and_the_kernel():
    size = SpectralLocalSize(modes=8, kernel_size=5)
    size.require((16,), "here", "go home")
    with pytest.raises(
        UserError, match="here: modes=8, kernel_size=5 need at least 16 cells, there are 15; go home"
    ):
        size.require((15,), "here", "go home")
    with pytest.raises(UserError, match="at least 21 cells"):
        SpectralLocalSize(modes=8, kernel_size=21).require((20,), "here", "go home")


def test_a_kernel_has_a_centre():
    with pytest.raises(UserError, match="centre"):
        validate(SpectralLocalSize, {"kernel_size": 4})


def test_the_sizes_are_in_the_order_of_the_network():
    assert SpectralLocalSize(width=1, num_blocks=2, modes=3, kernel_size=5).sizes() == (1, 2, 3, 5)
    assert [SpectralLocalSize().sizes(axes)[-1] for axes in (1, 2, 3)] == [7, 3, 3]


def test_the_heads_share_the_width():
    assert AttentionSize(hidden_dim=12, num_heads=4).hidden_dim == 12
    with pytest.raises(UserError, match="hidden_dim 10 is not a multiple of num_heads 4"):
        validate(AttentionSize, {"hidden_dim": 10, "num_heads": 4})
