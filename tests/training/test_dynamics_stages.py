"""What a world model is trained on: levels, hops, actions, and that it learns what is there to be learned."""

import math

import pytest
import torch

from ups.data.controlled import Controlled
from ups.models.autoencoder import IdentityPatches
from ups.models.dynamics import DynamicsSettings
from ups.models.normalizer import fit_normalizer
from ups.streams import stream
from ups.training import dynamics_stages
from ups.training.dynamics_stages import Forcing, draw_hops, given_of
from ups.training.stages import gradient_reach

SMALL = {"hidden_dim": 16, "num_heads": 4, "depth": 2, "context": 6, "num_levels": 3}


@pytest.fixture(scope="module")
def data(cache):
    return Controlled(num_trajectories=8, num_frames=12, num_cells=(32,)).load()


def stage(data, **changes):
    codec = IdentityPatches(patch_size=8).build(data.fields, torch.Generator())
    made = DynamicsSettings(**SMALL | changes).build(
        fit_normalizer(data), codec, data.fields, stream(0, "world")
    )
    return Forcing("world", made, ((0.0, 4), (0.5, 6)))


def hops(data, rows=4000, is_long=False, **changes):
    made = stage(data, prompted=0.0, **changes).dynamics
    return draw_hops(made, torch.zeros(rows, 4, 1, 1), is_long, stream(0, "hops"))


def test_levels_are_uniform_at_every_place_and_independent(data):
    t, s, smallest = hops(data)
    assert smallest.all()
    assert torch.allclose(t - s, torch.full_like(t, 1 / 8))
    for place in range(4):
        counts = torch.bincount((t[:, place] * 8).round().long(), minlength=9)[1:]
        assert ((counts - 500).abs() < 5 * math.sqrt(500 * 7 / 8)).all()
    together = torch.corrcoef(t.T)
    assert (together - torch.eye(4)).abs().max() < 0.08


def test_hops_end_within_the_path_and_all_long_ones_are_equally_frequent(data):
    t, s, smallest = hops(data, is_long=True)
    assert s.min() >= 0
    assert t.max() <= 1
    lengths = (t - s)[~smallest]
    exponents, counts = torch.unique((-lengths.log2()).round(), return_counts=True)
    assert exponents.tolist() == [0.0, 1.0, 2.0]  # a single call is trained
    share = counts / counts.sum()
    assert (share - 1 / 3).abs().max() < 0.02
    assert not smallest.any()


def test_prompted_windows_are_what_a_rollout_shows(data):
    made = stage(data, prompted=1.0).dynamics
    t, s, smallest = draw_hops(made, torch.zeros(500, 4, 1, 1), False, stream(0, "hops"))
    assert (t[:, :3] == made.context_level).all()
    assert smallest[:, :3].all()
    assert len(t[:, 3].unique()) > 4
    assert torch.allclose((t - s)[:, :3], torch.full((500, 3), made.finest).double())


def test_full_sequence_has_one_level_for_all_frames(data):
    t, _, _ = hops(data, method="full_sequence")
    assert (t == t[:, :1]).all()


def test_ramped_levels_rise_to_pure_noise_after_a_context_of_any_length(data):
    made = stage(data, method="ramped").dynamics
    t, s, smallest = draw_hops(made, torch.zeros(2000, 4, 1, 1), False, stream(0, "hops"))
    assert smallest.all()
    assert torch.allclose(t - s, torch.full_like(t, made.finest))
    assert (t[:, -1] == 1).all()
    lengths = (t == made.context_level).sum(1)
    assert torch.bincount(lengths, minlength=4).min() > 400  # contexts of 0 to 3 frames
    (three,) = t[lengths == 1].unique(dim=0)
    assert three.tolist() == [0.125, 0.375, 0.75, 1.0]  # thirds, on the grid of eighths
    assert (t * 8).frac().abs().max() < 1e-6


def test_windows_learn_long_hops_in_their_share_and_no_other_method_does(data, monkeypatch):
    seen = []
    plain = dynamics_stages.draw_hops

    def watched(made, x0, is_long, generator):
        seen.append((len(x0), is_long))
        return plain(made, x0, is_long, generator)

    monkeypatch.setattr(dynamics_stages, "draw_hops", watched)
    for method, expected in (("shortcut", [(2, True), (6, False)]), ("forcing", [(8, False)])):
        seen.clear()
        loss, parts = stage(data, method=method).loss(data.window(0, 5), stream(0, "loss"))
        assert seen == expected
        assert loss.shape == parts["trivial"].shape == (8,)


def test_the_action_before_a_frame_is_told_with_it_and_the_first_is_not_known(data):
    made = stage(data, alone=0.0)
    batch = data.window(2, 5)
    given = given_of(made.dynamics, batch, made.dynamics.latents(batch.values), stream(0, "x"))
    assert torch.equal(given.taken[:, 1:], data.actions[:, 2:6])
    assert given.known[:, 1:].all()
    assert not given.known[:, 0].any()
    assert not given.alone.any()


@pytest.mark.parametrize("method", ["shortcut", "forcing", "full_sequence", "ramped"])
def test_the_loss_reaches_every_parameter_and_the_window_grows(data, method):
    made = stage(data, method=method)
    assert (made.window(0.0), made.window(0.7)) == (4, 6)
    gradient_reach(made, data.window(0, 6), stream(0, "reach"))


def test_untrained_it_is_the_trivial_predictor_on_the_finest_hops(data):
    made = stage(data, bootstrap=0.0)
    loss, parts = made.loss(data.window(0, 6), stream(0, "loss"))
    assert torch.allclose(loss, parts["trivial"])


def test_the_ramp_weighs_clean_frames_ten_times_as_much(data):
    weighting = stage(data).dynamics.settings.weighting.build()
    process = stage(data).dynamics.process
    clean, noise = (weighting(process.logsnr(torch.tensor([t]))).item() for t in (0.0, 1.0))
    assert clean == pytest.approx(1.0, abs=1e-4)
    assert noise == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("method", ["shortcut", "regression"])
def test_a_few_updates_beat_the_trivial_predictor(data, method):
    made = stage(data, method=method)
    optimizer = torch.optim.Adam(made.model.parameters(), 3e-3)
    made.model.train()
    shares = []
    for number in range(120):
        loss, parts = made.loss(data.window(number % 6, 6), stream(0, "fit", number))
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        shares.append(loss.mean().item() / parts["trivial"].mean().item())
    assert sum(shares[-20:]) / 20 < (0.6 if method == "shortcut" else 1.0)
    assert sum(shares[-20:]) < 0.7 * sum(shares[:20])
