"""The further terms: exact where the forecast is, their formulas in numpy, and what they train."""

import numpy as np
import pytest
import torch

import tiny_recipe
from ups.config import override
from ups.data.simulated import Simulated
from ups.data.windows import draw_windows
from ups.models.autoencoder import Convolutional, IdentityPatches
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralRate
from ups.models.step_residual import of_equation
from ups.models.token_waves import TokenWaves
from ups.runs.pipeline import ground, load, rehearse
from ups.streams import stream
from ups.training.losses import Losses, Physics, Reconstruction, Tokens, Waves
from ups.training.settings import Fit
from ups.training.stages import Forecast, Step, Weighted, gradient_reach
from ups.training.state import State
from ups.training.update import Updater
from ups.types import UserError, line


@pytest.fixture(scope="module")
def heat():
    made = Simulated(equation="heat", num_trajectories=6, num_frames=8, num_cells=32, dt=0.5)
    return made.load(), made


def emulator(data, codec=None):
    codec = (codec or IdentityPatches()).build(data.fields, stream(0, "codec"))
    operator = SpectralRate(width=8, modes=3).build(codec, data.fields, stream(0, "operator"))
    return Emulator(fit_normalizer(data), codec, operator, data.fields)


def step(data, made, state=None):
    return Step(data.values[:, 0], state, made, data.values[:, 1], data.params)


def disturbed(frames, part=0.1):
    return frames + part * frames.std() * torch.randn(frames.shape, generator=stream(0, "disturbed"))


def test_a_codec_without_loss_has_no_inverse_error(heat):
    data, _ = heat
    model = emulator(data)
    state = model.advance(model.encode(data.values[:, :1], data.params))
    for term in (Reconstruction(model), Tokens(model)):
        assert term(step(data, model.decode(state), state)).abs().max() < 1e-10


def test_inverse_errors_are_their_formulas(heat):
    data, _ = heat
    model = emulator(data, Convolutional(num_levels=2, dim=2, width=8))
    state = model.advance(model.encode(data.values[:, :1], data.params))
    made = step(data, model.decode(state), state)
    with torch.no_grad():
        frames = data.values[:, :2].double().numpy()
        again = model.reconstruct(data.values[:, :2]).double().numpy()
        z = state[0]
        back = model.codec.encode(model.codec.decode(z))
    expected = ((again - frames) ** 2).sum((2, 3)) / (frames**2).sum((2, 3))
    np.testing.assert_allclose(Reconstruction(model)(made).detach(), expected.mean(1), rtol=1e-4)
    expected = (back - z).square().sum((1, 2)) / z.square().sum((1, 2))
    torch.testing.assert_close(Tokens(model)(made).detach(), expected.detach())


def test_waves_count_alike_whatever_their_power():
    waves = Waves(TokenWaves(line(32)))
    x = 2 * torch.pi * torch.arange(32) / 32
    truth = (100 * torch.sin(x) + torch.sin(5 * x))[None, None]
    strong = truth + (torch.sin(x) * 10)[None, None]
    weak = truth + (torch.sin(5 * x) * 0.1)[None, None]
    params = torch.zeros(1, 0)
    errors = [waves(Step(truth, None, made, truth, params)).item() for made in (truth, strong, weak)]
    assert errors[0] == 0
    np.testing.assert_allclose(
        errors[1:], [0.01 / 16, 0.01 / 16], rtol=1e-2
    )  # two of the 32 waves are off by a tenth


def test_the_physics_term_vanishes_on_solutions_and_has_the_scale_of_the_rate(heat):
    data, made = heat
    residual = of_equation(made.equation_class, data.fields, made.solver_cells)
    term = Physics(residual, data.values.std((0, 1, 3)))
    assert term(step(data, data.values[:, 1])).max() < 1e-4
    # what stands still leaves the rate itself, by Simpson's rule of a frame that does not change
    torch.testing.assert_close(term(step(data, data.values[:, 0])), torch.ones(6))
    assert term(step(data, disturbed(data.values[:, 1]))).min() > 0.1


LOSSES = {
    "inverse": Losses(joint=True, inverse=0.1),
    "spectral": Losses(spectral=0.1),
    "physics": Losses(physics=0.1),
    "all, on half of the windows": Losses(joint=True, inverse=0.1, spectral=0.1, physics=0.1, share=0.5),
}


def stage(data, made, losses, model):
    residual = of_equation(made.equation_class, data.fields, made.solver_cells)
    return Forecast(
        "operator", model, terms=losses.terms(model, residual), warmup=losses.warmup, share=losses.share
    )


@pytest.mark.parametrize("name", LOSSES)
def test_every_term_reaches_the_weights_that_it_is_to_train(heat, name):
    data, made = heat
    model = emulator(data, Convolutional(num_levels=2, dim=4, width=8))
    found = stage(data, made, LOSSES[name], model)
    gradient_reach(found, data, stream(0, "reach"))
    loss, parts = found.loss(data, stream(0, "loss"))
    assert set(parts) == {"trivial", *(term.name for term in found.terms)}
    assert all(part.shape == loss.shape for part in parts.values())
    if name == "inverse":
        encoder = list(model.codec.encoder.parameters())
        for term in ("reconstruction", "tokens"):
            gradients = torch.autograd.grad(parts[term].mean(), encoder, retain_graph=True, allow_unused=True)
            assert any(g is not None and g.any() for g in gradients), term


def test_a_share_of_the_windows_says_the_same_on_average(heat):
    data, made = heat
    model = emulator(data)
    whole, half = (
        stage(data, made, Losses(spectral=1.0, share=share), model).loss(data, stream(0, "loss"))[1][
            "spectral"
        ]
        for share in (1.0, 0.5)
    )
    torch.testing.assert_close(half[:3], 2 * whole[:3])
    assert not half[3:].any()


def test_weights_rise_after_the_warmup_and_enter_the_gradient(heat):
    data, made = heat
    model = emulator(data)
    found = stage(data, made, Losses(spectral=0.4, warmup=0.25), model)
    assert isinstance(found, Weighted)
    risen = [found.weights(progress)["spectral"] for progress in (0.0, 0.25, 0.375, 0.5, 1.0)]
    np.testing.assert_allclose(risen, [0, 0, 0.2, 0.4, 0.4])
    plain = Forecast("operator", model)

    def gradient(of, progress):
        update = Updater(of, data, Fit(updates=10, batch_size=6, unroll=((0.0, 1),)), 0, draw_windows)
        state = State.start(model, update.settings)
        state.optimizer.zero_grad(set_to_none=True)
        update._gradient(0, progress)
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    first = gradient(plain, 1.0)
    torch.testing.assert_close(gradient(found, 0.0), first, rtol=0, atol=0)
    assert not torch.allclose(gradient(found, 1.0), first, rtol=1e-3)


def test_an_operator_with_its_own_codec_leaves_the_shared_one_as_it_is(cache):
    settings = override(
        tiny_recipe.tiny(),
        [
            "codec={kind: convolutional, num_levels: 2, dim: 4, width: 8}",
            "operator={kind: spectral_rate, width: 8, modes: 3}",
            "losses={joint: true, inverse: 0.05}",
        ],
    )
    below = ground(settings, load(settings))
    spec = next(spec for spec in settings.rungs if spec.name == "operator")
    model = spec.build(below)
    assert model.codec is not below.codec
    assert all(p.requires_grad for p in model.codec.parameters())
    assert spec.losses in spec.made_from
    before = [p.clone() for p in below.codec.parameters()]
    with torch.no_grad():
        next(model.codec.parameters()).add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, below.codec.parameters(), strict=True))


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["losses.inverse=0.1"], "set joint=true"),
        (["losses.inverse=-1"], "greater than or equal to 0"),
        (["losses.share=0"], "greater than 0"),
        (["losses.warmup=0.9"], "less than or equal to 0.5"),
        (["losses.joint=true"], "the codec has nothing to learn"),
    ],
)
def test_what_means_nothing_is_one_line(cache, assignments, message):
    def refuse():
        settings = override(tiny_recipe.tiny(), assignments)
        rehearse(settings.rungs, ground(settings, load(settings)))

    with pytest.raises(UserError, match=message) as error:
        refuse()
    assert "\n" not in str(error.value)


def test_a_physics_term_without_an_equation_is_refused(heat):
    data, _ = heat
    with pytest.raises(UserError, match="state no equation"):
        Losses(physics=1.0).terms(emulator(data), None)
