import pytest
import torch
from scipy import fft

from ups.models.token_waves import TokenWaves
from ups.streams import stream
from ups.types import WALL, Axis, Grid, line


def grid(walls, cells=(4, 5, 3)):
    ends = {"low": WALL, "high": WALL}
    return Grid(
        tuple(Axis("xyz"[k], cells[k], 1.0, **(ends if is_wall else {})) for k, is_wall in enumerate(walls))
    )


def tokens(on, dim=2):
    num = torch.tensor(on.shape).prod().item()
    return torch.randn(6, num, dim, generator=stream(0, "tokens"), dtype=torch.float64)


WALLS = [
    (False,),
    (True,),
    (False, False),
    (True, False),
    (False, True),
    (True, True),
    (False, True, False),
    (True, False, True),
]


@pytest.mark.parametrize("walls", WALLS)
def test_back_undoes_forth_and_the_shares_keep_the_mean_square(walls):
    on = grid(walls)
    waves, x = TokenWaves(on), tokens(on)
    modes = waves.forth(x)
    assert modes.shape[1:-1] == waves.mode_shape
    torch.testing.assert_close(waves.back(modes), x, rtol=0, atol=1e-13)
    power = (waves.shares().double() * modes.abs().square()).flatten(1, -2).sum(1)
    torch.testing.assert_close(power, x.square().mean(1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("walls", WALLS)
def test_it_is_the_transform_of_scipy_axis_by_axis(walls):
    on = grid(walls)
    x = tokens(on)
    expected = x.unflatten(1, on.shape).numpy()
    for place, is_wall in enumerate(walls, start=1):
        if is_wall:
            expected = fft.dct(expected, axis=place, norm="ortho")
    repeating = [place for place, is_wall in enumerate(walls, start=1) if not is_wall]
    if repeating:
        expected = fft.rfftn(expected, axes=repeating, norm="ortho")
    torch.testing.assert_close(TokenWaves(on).forth(x), torch.as_tensor(expected), rtol=0, atol=1e-13)


def test_on_a_line_it_is_the_real_transform_to_the_last_bit():
    x = tokens(line(64)).float()
    modes = torch.fft.rfft(x, dim=1, norm="ortho")
    assert torch.equal(TokenWaves(line(64)).forth(x), modes)
    assert torch.equal(TokenWaves(line(64)).back(modes), torch.fft.irfft(modes, n=64, dim=1, norm="ortho"))
