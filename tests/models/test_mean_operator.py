from dataclasses import replace

import pytest
import torch

from lines import on_line
from ups.checkpoint import load, save
from ups.data.windows import draw_windows
from ups.models.autoencoder import Convolutional, IdentityPatches
from ups.models.corrector import CorrectorSettings
from ups.models.emulator import Emulator
from ups.models.mean_operator import Mean
from ups.models.normalizer import fit_normalizer
from ups.models.operator import Operator
from ups.models.residual_nets import ParametersAlone, SpectralLocal
from ups.models.student import StudentSettings
from ups.streams import stream
from ups.training.corrector_stages import Correct, judge
from ups.training.residuals import residual_spectrum, residuals
from ups.training.stages import gradient_reach
from ups.types import Trajectory, UserError

FIELDS = on_line(("u",), ("1",), 1.0, 100.0, params=("nu",), cells=8)
NUM_CELLS = 8
NETWORK = SpectralLocal(width=16, num_blocks=1, modes=2, kernel_size=3)


def problems(num=600):
    """From any frame to 1 or -1 everywhere: to 1 in one of four cases where nu is 1, in three of four where it is 2."""
    values = torch.randn(num, 2, 1, NUM_CELLS, generator=stream(0, "initial"))
    nu = 1.0 + (torch.rand(num, generator=stream(0, "nu")) < 0.5)
    rises = torch.rand(num, generator=stream(0, "ends")) < 0.5 * nu - 0.25
    values[:, 1] = (2.0 * rises - 1)[:, None, None]
    return Trajectory(values, nu[:, None], FIELDS)


def prior(data, network):
    codec = IdentityPatches().build(FIELDS, stream(0, "codec"))
    operator = Mean().build(codec, FIELDS, stream(0, "operator"))
    assert isinstance(operator, Operator)
    emulator = Emulator(fit_normalizer(data), codec, operator, FIELDS)
    settings = CorrectorSettings(network=network, predicts="edm")
    return settings.build(emulator, residual_spectrum(emulator, data, 0), stream(0, "corrector"))


def draw(model, data, seed=0):
    state = model.advance(model.encode(data.values[:, :1], data.params), stream(seed, "draw"))
    return model.decode(state)


def disturb(module):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module


def test_the_residual_is_the_steady_state_itself():
    data = problems(20)
    model = prior(data, NETWORK)
    _, found = residuals(model.emulator, data, 0)
    torch.testing.assert_close(found.mT, model.normalizer.normalize(data.values[:, 1]))
    assert not any(parameter.numel() for parameter in model.emulator.operator.parameters())
    forecast = model.emulator.decode(model.emulator.advance(model.encode(data.values[:, :1], data.params)))
    torch.testing.assert_close(forecast, data.values.mean().expand_as(forecast), rtol=0, atol=1e-6)


def test_given_parameters_alone_the_initial_frame_changes_nothing_and_given_both_it_does():
    data = problems(20)
    moved = replace(data, values=data.values + 1)
    alone, both = (disturb(prior(data, network)) for network in (ParametersAlone(network=NETWORK), NETWORK))
    assert torch.equal(draw(alone, data), draw(alone, moved))
    assert not torch.equal(draw(both, data), draw(both, moved))
    other = replace(data, params=data.params + 1)
    assert not torch.equal(draw(alone, data), draw(alone, other))


def test_it_is_saved_distilled_and_trained_like_any_corrector(tmp_path):
    data = problems(20)
    model = disturb(prior(data, ParametersAlone(network=NETWORK)))
    save(model, tmp_path)
    torch.testing.assert_close(draw(load(tmp_path), data), draw(model, data))
    gradient_reach(Correct("corrector", model), data, stream(0, "reach"))
    student = StudentSettings(num_steps=16).build(model)
    torch.testing.assert_close(student.correction.std, model.correction.spectrum.std)


def test_it_learns_how_often_each_steady_state_is_reached_given_the_parameters():
    """The mean of the ends is useless, and no Gaussian has two: both guards say so, and draws find both ends."""
    data = problems()
    model = prior(data, ParametersAlone(network=NETWORK))
    stage = Correct("corrector", model)
    optimizer = torch.optim.Adam(model.correction.parameters(), lr=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 200)
    for update in range(200):
        generator = stream(0, "update", update)
        loss = stage.loss(draw_windows(data, 64, 2, generator), generator)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    with torch.no_grad():
        found = judge(stage, data, data, stream(0, "judge"))
        ends = draw(model, data, seed=1)
    assert 0.72 < found["mean skill"] < 0.95  # 1 - (1/2)^2 is left by who knows the parameters
    assert found["structure learned"] < 0.8
    assert ends.abs().mean() == pytest.approx(1, abs=0.1)
    seldom, often = (
        (ends[data.params[:, 0] == nu].mean((1, 2)) > 0).double().mean().item() for nu in (1.0, 2.0)
    )
    assert 0.15 < seldom < often - 0.15 < 0.7


def test_tokens_that_are_not_normalized_values_are_refused():
    codec = Convolutional(num_levels=1).build(FIELDS, stream(0, "codec"))
    with pytest.raises(UserError, match=r"choose codec\.kind=identity"):
        Mean().build(codec, FIELDS, stream(0, "operator"))
