import pytest
import scipy.stats
import torch

from ups.diffusion import times
from ups.streams import stream

DRAWS = {
    "uniform": (times.uniform(), scipy.stats.uniform()),
    "beta": (times.beta(1.2, 1.2), scipy.stats.beta(1.2, 1.2)),
    "skewed_beta": (times.beta(0.5, 3.0), scipy.stats.beta(0.5, 3.0)),
    "stratified": (times.stratified(), scipy.stats.uniform()),
    "clamped": (times.stratified(0.02, 0.9), scipy.stats.uniform(0.02, 0.88)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_times_have_their_distribution(name):
    draw, expected = DRAWS[name]
    t = draw((4000,), stream(1, name))
    assert scipy.stats.kstest(t.numpy(), expected.cdf).pvalue > 1e-3


def test_logit_normal_has_normal_logits():
    t = times.logit_normal(-0.4, 1.5)((4000,), stream(0, "logits"))
    assert scipy.stats.kstest(torch.logit(t).numpy(), scipy.stats.norm(-0.4, 1.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", DRAWS)
def test_levels_of_frames_are_independent(name):
    t = DRAWS[name][0]((4000, 3), stream(3, name))
    correlation = torch.corrcoef(t.T) - torch.eye(3)
    assert correlation.abs().max() < 5 / 4000**0.5  # five standard errors


def test_each_stratum_holds_one_time_and_the_order_is_random():
    t = times.stratified()((64, 5), stream(0, "strata"))
    expected = torch.arange(64.0, dtype=torch.float64)[:, None].expand(64, 5)
    assert torch.equal((t * 64).floor().sort(dim=0).values, expected)
    assert (torch.corrcoef(t.T) - torch.eye(5)).abs().max() < 5 / 8
    assert not torch.equal(t[:, 0].argsort(), t[:, 1].argsort())


def test_no_time_is_drawn_outside_the_stated_interval_and_none_is_heaped_at_its_ends():
    t = times.stratified(0.1, 0.9)((1000,), stream(0, "clamp"))
    assert t.min() > 0.1
    assert t.max() < 0.9
    assert len(t.unique()) == 1000


def test_adaptive_times_follow_the_measured_loss():
    adaptive = times.Adaptive(num_bins=4, floor=0.0, decay=0.0)
    centres = torch.tensor([0.125, 0.375, 0.625, 0.875])
    adaptive.record(centres, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    t = adaptive((20000,), stream(0, "adaptive"))
    share = torch.bincount((t * 4).long(), minlength=4) / 20000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.2, 0.3, 0.4]), rtol=0, atol=0.02)
    torch.testing.assert_close(adaptive.density(centres), torch.tensor([0.4, 0.8, 1.2, 1.6]))


def test_dividing_by_the_density_undoes_the_adaptation():
    adaptive = times.Adaptive(num_bins=10, decay=0.5)
    for update in range(5):
        t = adaptive((500,), stream(0, "fill", update))
        adaptive.record(t, 1 + 9 * t)
    t = adaptive((50000,), stream(0, "estimate"))
    estimate = ((1 + 9 * t) / adaptive.density(t)).mean().item()
    assert estimate == pytest.approx(5.5, rel=0.01)
    # Importance sampling is worth having: the spread is below that of uniform times.
    assert ((1 + 9 * t) / adaptive.density(t)).std() < 0.5 * 9 / 12**0.5


def test_a_bin_that_was_not_visited_keeps_its_record():
    adaptive = times.Adaptive(num_bins=2, decay=0.5)
    adaptive.record(torch.tensor([0.9]), torch.tensor([3.0]))
    assert adaptive.square.tolist() == [1.0, 5.0]


def test_hops_lie_on_dyadic_grids_and_reach_every_length():
    hops = times.dyadic(num_levels=4, smallest_share=0.75)((40000,), stream(0, "hops"))
    length = hops.t - hops.s
    exponent = -torch.log2(length)
    assert torch.equal(exponent, exponent.round())
    assert torch.equal(hops.s / length, (hops.s / length).round())
    assert hops.s.min() == 0
    assert hops.t.max() == 1
    assert torch.equal(hops.smallest, exponent == 4)
    share = torch.bincount(exponent.long(), minlength=5) / 40000
    torch.testing.assert_close(share, torch.tensor([0.0625] * 4 + [0.75]), rtol=0, atol=0.01)


def test_starts_of_hops_are_uniform_on_their_grid():
    hops = times.dyadic(num_levels=3, smallest_share=1.0)((16000, 2), stream(0, "starts"))
    share = torch.bincount((hops.s * 8).long().flatten(), minlength=8) / 32000
    torch.testing.assert_close(share, torch.full((8,), 0.125), rtol=0, atol=0.01)
