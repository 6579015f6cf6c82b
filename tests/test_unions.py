"""Every kind of every union of settings is reachable: built, trained for a step, sampled, or refused in one line.

The kinds are read from the unions, so that a new one cannot be forgotten.
"""

from itertools import product
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from correctors import NETWORK, corrected, trajectory
from ups.config import override
from ups.models.autoencoder import AutoencoderSettings
from ups.models.corrector import CorrectorSettings
from ups.models.emulator import Emulator
from ups.models.noise import Predicts, ProcessSettings, TimeSettings, WeightingSettings
from ups.models.normalizer import fit_normalizer
from ups.models.operator import OperatorSettings
from ups.models.residual_nets import NetworkSettings, ParametersAlone
from ups.streams import stream
from ups.training.corrector_stages import Correct
from ups.training.stages import forecast_frames
from ups.types import UserError

SAMPLERS = get_args(CorrectorSettings.model_fields["sampler"].annotation)


def kinds(union):
    members = get_args(get_args(union)[0]) or (get_args(union)[0],)
    return {member.model_fields["kind"].default: member for member in members}


def step(settings):
    """Two updates of a tiny corrector, then a forecast with it."""
    top = corrected(**{name: getattr(settings, name) for name in settings.model_fields_set})
    assert top.correction.settings.sampler == settings.sampler
    assert top.correction.settings.process == settings.process
    stage, data = Correct("corrector", top), trajectory()
    optimizer = torch.optim.SGD(top.correction.parameters(), 1e-3)
    top.correction.train()
    for number in range(2):
        loss, parts = stage.loss(data.window(0, stage.window(1.0)), stream(0, "walk", number))
        assert loss.isfinite().all()
        assert (parts["trivial"] > 0).all()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(top.correction.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
    top.eval()
    with torch.no_grad():
        frames = forecast_frames(top, data.values[:, :1], data.params, 2, stream(0, "walk"))
    assert frames.isfinite().all()


@pytest.mark.parametrize("process", kinds(ProcessSettings))
@pytest.mark.parametrize("predicts", get_args(Predicts))
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_process_is_trained_and_sampled_whatever_the_network_predicts(process, predicts, sampler):
    shift = 1.0 if process == "edm" else 3.0
    chosen = {"process": kinds(ProcessSettings)[process](), "predicts": predicts, "sampler": sampler}
    if predicts == "eps" and process in ("linear", "cosine"):
        with pytest.raises(ValidationError, match="choose v or flow"):
            CorrectorSettings(**chosen)
    else:
        step(CorrectorSettings(num_steps=3, shift=shift, **chosen))


@pytest.mark.parametrize("weighting", kinds(WeightingSettings))
@pytest.mark.parametrize("time_law", kinds(TimeSettings))
def test_every_weighting_is_trained_under_every_law_of_times(weighting, time_law):
    chosen = {"weighting": kinds(WeightingSettings)[weighting](), "time_law": kinds(TimeSettings)[time_law]()}
    step(CorrectorSettings(num_steps=2, **chosen))


@pytest.mark.parametrize("time_law", kinds(TimeSettings))
def test_every_law_of_times_draws_noise_and_stays_in_its_interval(time_law):
    sampler = kinds(TimeSettings)[time_law]().build()
    t = sampler((4096,), stream(0, "times"))
    assert ((t >= 0) & (t <= 1)).all()
    assert 0.3 < t.mean() < 0.7
    assert t.std() > 0.05


@pytest.mark.parametrize("network", kinds(NetworkSettings))
def test_every_residual_network_is_trained_and_sampled(network):
    small = {"spectral_local": NETWORK, "parameters_alone": ParametersAlone(network=NETWORK)}
    step(CorrectorSettings(network=small.get(network) or kinds(NetworkSettings)[network](), num_steps=2))


def test_every_codec_carries_every_operator_or_says_why_not():
    data, carried = trajectory(), set()
    for (codec_kind, codec), (operator_kind, operator) in product(
        kinds(AutoencoderSettings).items(), kinds(OperatorSettings).items()
    ):
        settings = operator(modes=2) if "modes" in operator.model_fields else operator()
        try:
            built = codec().build(data.fields, stream(0, "codec"))
            advanced = settings.build(built, data.fields, stream(0, "operator"))
        except UserError:
            continue
        emulator = Emulator(fit_normalizer(data), built, advanced, data.fields)
        frames = forecast_frames(emulator, data.values[:, :1], data.params, 1, stream(0, "walk"))
        assert frames.isfinite().all(), (codec_kind, operator_kind)
        carried.add(operator_kind)
        carried.add(codec_kind)
    assert carried == {*kinds(AutoencoderSettings), *kinds(OperatorSettings)} - {"flux_law"}


@pytest.mark.parametrize(
    "assignment",
    [
        "time_law=[-1,1]",
        "time_law={kind: beta, a: -1, b: 1}",
        "time_law={kind: beta, a: 0, b: 1}",
        "time_law={kind: stratified, low: 0.5, high: 0.5}",
        "time_law={kind: logit_normal, std: .inf}",
        "time_law={kind: adaptive, floor: 0}",
        "process={kind: edm}",
        "process={kind: edm, sigma_min: 90}",
        "weighting={kind: ramp, low: -1}",
        "weighting={kind: min_snr, gamma: .inf}",
        "shift=.inf",
        "predicts=eps",
    ],
)
def test_what_cannot_draw_noise_is_refused_in_one_line(assignment):
    with pytest.raises(UserError) as error:
        override(CorrectorSettings(), [assignment])
    assert "\n" not in str(error.value)
