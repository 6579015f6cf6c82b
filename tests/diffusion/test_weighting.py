import pytest
import torch

from ups.diffusion import weighting
from ups.diffusion.parameterization import eps, flow, v, x0
from ups.diffusion.process import DDPM, Cosine, Linear, beta_cosine

K = (torch.arange(1000, dtype=torch.float64) + 1) / 1000
CHAINS = {"linear": DDPM().logsnr(K), "cosine": DDPM(beta_cosine).logsnr(K)}
ALL = {
    "uniform": weighting.uniform(),
    "snr": weighting.snr(),
    "min_snr": weighting.min_snr(5.0),
    "soft_min_snr": weighting.soft_min_snr(5.0),
    "ramp": weighting.ramp(),
    "edm": weighting.edm(0.5),
}


def on_noise(weight, logsnr):
    return weight * torch.exp(-logsnr)  # |x0 error|^2 = |noise error|^2 / SNR


@pytest.mark.parametrize(
    ("k", "on_eps", "on_v"),
    [
        (0, 5.0005e-4, 5.0e-4),
        (100, 0.58571, 0.524293),
        (250, 1, 0.521423),
        (500, 1, 0.0777966),
        (750, 1, 0.00330016),
    ],
)
def test_min_snr_has_the_printed_weights(k, on_eps, on_v):
    logsnr = CHAINS["linear"][k]
    weight = weighting.min_snr(5.0)(logsnr)
    assert on_noise(weight, logsnr).item() == pytest.approx(on_eps, rel=1e-5)
    assert (weight / (logsnr.exp() + 1)).item() == pytest.approx(on_v, rel=1e-5)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("gamma", [1.0, 5.0, 20.0])
def test_min_snr_is_its_definition_to_a_millionth(chain, gamma):
    betas = {"linear": DDPM().betas, "cosine": beta_cosine}[chain](1000)
    alpha_bar = (1 - betas).cumprod(0)
    expected = torch.minimum(alpha_bar / (1 - alpha_bar), torch.tensor(gamma))
    torch.testing.assert_close(weighting.min_snr(gamma)(CHAINS[chain]), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("chain", "gamma", "on_eps", "on_v", "on_x0"),
    [
        ("linear", 5.0, 0.91307, 0.19186, 1.04971),
        ("linear", 1.0, 0.81731, 0.11698, 0.35570),
        ("linear", 20.0, 0.95786, 0.23383, 2.35935),
        ("cosine", 5.0, 0.82402, 0.32611, 2.00396),
        ("cosine", 1.0, 0.64211, 0.18309, 0.63325),
        ("cosine", 20.0, 0.91335, 0.40983, 4.65934),
    ],
)
def test_min_snr_has_the_printed_means(chain, gamma, on_eps, on_v, on_x0):
    logsnr = CHAINS[chain]
    weight = weighting.min_snr(gamma)(logsnr)
    assert on_noise(weight, logsnr).mean().item() == pytest.approx(on_eps, abs=1e-5)
    assert (weight / (logsnr.exp() + 1)).mean().item() == pytest.approx(on_v, abs=1e-5)
    assert weight.mean().item() == pytest.approx(on_x0, abs=1e-5)


@pytest.mark.parametrize(("chain", "mean"), [("linear", 0.84094), ("cosine", 0.69684)])
def test_soft_min_snr_has_the_printed_means(chain, mean):
    logsnr = CHAINS[chain]
    assert on_noise(weighting.soft_min_snr(5.0)(logsnr), logsnr).mean().item() == pytest.approx(
        mean, abs=1e-5
    )


def check_ramp(ramp):
    """The mean of 0.9 c + 0.1 on Dreamer 4's grids of the clean share c, and its rise with the signal."""
    for num_steps, mean in ((4, 0.4375), (64, 0.54297)):
        share = torch.arange(num_steps, dtype=torch.float64) / num_steps
        weight = ramp(Linear().logsnr(1 - share))
        assert weight.mean().item() == pytest.approx(mean, abs=1e-4)
        assert (weight.diff() > 0).all()


def test_the_ramp_has_the_printed_means():
    check_ramp(weighting.ramp())


def test_the_inverted_ramp_is_caught():
    with pytest.raises(AssertionError):
        check_ramp(lambda logsnr: 0.1 + 0.9 * torch.sigmoid(-logsnr / 2))


class Flipped(Linear):
    """The same path with 0 = noise, 1 = data, as some papers count."""

    def scales(self, t):
        return super().scales(1 - t)


@pytest.mark.parametrize("name", ALL)
def test_flipping_the_time_axis_leaves_the_weight_of_a_noise_level_unchanged(name):
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    straight = dict(zip(t.tolist(), ALL[name](Linear().logsnr(t)).tolist(), strict=True))
    flipped = ALL[name](Flipped().logsnr(1 - t)).tolist()
    assert flipped == pytest.approx(list(straight.values()), rel=1e-12)


@pytest.mark.parametrize("name", ["snr", "min_snr", "soft_min_snr", "ramp", "edm"])
def test_no_weight_falls_with_the_signal(name):
    weight = ALL[name](torch.linspace(-20, 20, 401, dtype=torch.float64))
    assert (weight > 0).all()
    assert (weight.diff() >= 0).all()


@pytest.mark.parametrize(
    ("parameterization", "weight"),
    [
        (x0, lambda snr: torch.ones_like(snr)),
        (eps, lambda snr: snr),
        (v, lambda snr: snr + 1),
        (flow, lambda snr: (1 + snr.sqrt()) ** 2),
    ],
)
@pytest.mark.parametrize("process", [Linear(), Cosine()], ids=["linear", "cosine"])
def test_plain_losses_of_network_outputs_are_these_weights(parameterization, weight, process):
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    coefficients = parameterization()(*process.scales(t))
    torch.testing.assert_close(1 / coefficients.c_out**2, weight(process.logsnr(t).exp()))


def test_soft_min_snr_is_min_snr_far_from_gamma():
    logsnr = torch.tensor([-15.0, 18.0], dtype=torch.float64)
    torch.testing.assert_close(
        weighting.soft_min_snr(5.0)(logsnr), weighting.min_snr(5.0)(logsnr), rtol=1e-6, atol=0
    )


def test_the_learned_weight_finds_the_error_of_each_level():
    learned = weighting.Learned(weighting.uniform(), low=-4.0, high=4.0, num_knots=9)
    logsnr = torch.linspace(-4, 4, 257)
    error = torch.exp(-logsnr)  # u = -logSNR is then linear, hence exactly representable
    optimizer = torch.optim.LBFGS(learned.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (learned(logsnr) * error + learned.penalty(logsnr)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(learned(logsnr) * error, torch.ones(257), rtol=0, atol=0.02)


def test_a_fresh_learned_weight_is_its_prior():
    logsnr = torch.linspace(-30, 30, 61)
    assert torch.equal(weighting.Learned(weighting.ramp())(logsnr), weighting.ramp()(logsnr))


def test_snr_agrees_with_diffusers():
    pytest.importorskip("diffusers")
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    theirs = compute_snr(DDPMScheduler(beta_schedule="linear"), torch.arange(1000))
    torch.testing.assert_close(weighting.snr()(CHAINS["linear"]).float(), theirs, rtol=2e-4, atol=0)
