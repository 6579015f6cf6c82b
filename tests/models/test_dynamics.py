import pytest
import torch

from ups.config import override
from ups.data.controlled import Controlled
from ups.diffusion.forcing import pyramid
from ups.evaluation.rollout import rollout
from ups.models.autoencoder import IdentityPatches
from ups.models.dynamics import DynamicsSettings
from ups.models.normalizer import fit_normalizer
from ups.streams import stream
from ups.training.dynamics_stages import Given
from ups.types import UserError

SMALL = {"hidden_dim": 16, "num_heads": 4, "depth": 2, "context": 5, "num_levels": 3}


@pytest.fixture(scope="module")
def data(cache):
    return Controlled(num_trajectories=6, num_frames=12, num_cells=(32,)).load()


def world(data, **changes):
    codec = IdentityPatches(patch_size=8).build(data.fields, torch.Generator())
    made = DynamicsSettings(**SMALL | changes).build(
        fit_normalizer(data), codec, data.fields, stream(0, "world")
    )
    with torch.no_grad():  # so that its output is not zero
        made.project_out.weight.normal_(0, 0.3, generator=stream(1, "world"))
    return made.eval()


def forecast(made, data, steps=4, members=2, length=6, seed=0, actions=None):
    told = data.actions if actions is None else actions
    return rollout(
        made,
        data.values[:, :length],
        data.params,
        steps,
        members,
        stream(seed, "draw"),
        told[:, : length + steps],
    )


def test_members_differ_the_generator_fixes_them_and_actions_change_the_forecast(data):
    made = world(data)
    first, again, other = (forecast(made, data, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    changed = data.actions.clone()
    changed[:, 7] *= -1  # after the context, before the second last frame
    answered = forecast(made, data, actions=changed)
    assert torch.equal(answered[:, :, :2], first[:, :, :2])
    assert (answered[:, :, 2:] - first[:, :, 2:]).abs().amin((0, 1, 3, 4)).min() >= 0
    assert not torch.equal(answered[:, :, 2], first[:, :, 2])


def test_a_rollout_with_a_cache_is_that_of_the_whole_window(data):
    """Corrupt and read the frames in one go: the estimate of the next frame is that of the cached rollout."""
    made = world(data, num_calls=1).double()
    settings = made.settings
    values = data.values.double()
    state = made.encode(values[:, :4], data.params.double(), data.actions.double())
    state = made.advance(state, stream(0, "draw"))
    generator = stream(0, "draw")
    latents = made.latents(values[:, :4])
    level = made.context_level

    def normal(like):
        return torch.randn(like.shape, generator=generator).to(like)

    noisy = made.process.corrupt(latents, normal(latents), torch.full((6, 4), level))
    start = normal(latents[:, :1])
    taken = torch.cat([torch.zeros(6, 1, 2), data.actions[:, :4]], 1).double()
    known = torch.ones(6, 5, dtype=torch.bool)
    known[:, 0] = False
    t = torch.full((6, 5), level, dtype=torch.float64)
    s = t - made.finest
    t[:, -1], s[:, -1] = 1.0, 0.0
    x0, _ = made.denoise(torch.cat([noisy, start], 1), t, s, taken, known, data.params.double())
    assert torch.allclose(state.pending[:, -1], x0[:, -1], atol=1e-10)
    assert settings.context == 5


def test_prompt_frames_are_corrupted_at_a_trained_level_and_the_network_is_told(data, monkeypatch):
    made, seen = world(data), []
    plain = made.denoise

    def watched(x_t, t, s, *rest, **more):
        seen.append((x_t.clone(), t.clone(), s.clone()))
        return plain(x_t, t, s, *rest, **more)

    monkeypatch.setattr(made, "denoise", watched)
    state = made.encode(data.values[:, :4], data.params, data.actions)
    made.advance(state, stream(0, "draw"))
    read, t, s = seen[0]
    assert read.shape[1] == 4
    assert (t == made.context_level).all()
    assert made.context_level == 1 / 8  # the nearest level of eighths that is not clean
    assert torch.allclose(t - s, torch.full_like(t, made.finest))
    clean = made.latents(data.values[:, :4])
    differs = (read - (1 - made.context_level) * clean) / made.context_level
    assert abs(differs.std().item() - 1) < 0.1
    levels = torch.stack([t for _, t, _ in seen[1:]])
    assert levels[:, 0, 0].tolist() == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_frame_that_keeps_the_noise_of_a_context_has_it_once(data, ahead, monkeypatch):
    made, seen = world(data, sampler="to_context", ahead=ahead), []
    plain = made.denoise

    def zero(x_t, t, s, *rest, **more):
        seen.append(x_t.clone())
        estimate, cache = plain(x_t, t, s, *rest, **more)
        return torch.zeros_like(estimate), cache

    monkeypatch.setattr(made, "denoise", zero)
    state = made.encode(
        data.values[:, :4].repeat(40, 1, 1, 1), data.params.repeat(40, 1), data.actions.repeat(40, 1, 1)
    )
    first = made.advance(state, stream(0, "draw"))
    drawn = torch.cat([first.pending, first.drawn], 1)
    for frame in drawn.unbind(1):  # of a network that says zero nothing but the noise is left
        assert frame.std().item() == pytest.approx(made.context_level, rel=0.05)
    seen.clear()
    made.advance(first._replace(drawn=first.drawn[:, :0]), stream(1, "draw"))
    assert torch.equal(seen[0], first.pending)


@pytest.mark.parametrize("calls", [1, 2, 4, 8])
def test_calls_are_counted_and_every_length_of_hop_has_its_own_embedding(data, calls, monkeypatch):
    made, hops = world(data, num_calls=calls), []
    plain = made.denoise

    def watched(x_t, t, s, *rest, **more):
        hops.append(made._hop(t, s).unique().tolist())
        return plain(x_t, t, s, *rest, **more)

    monkeypatch.setattr(made, "denoise", watched)
    forecast(made, data, steps=3, members=1)
    assert len(hops) == 3 * made.calls_per_frame == 3 * (calls + 1)
    assert hops[0] == [3]  # a context has the finest
    assert hops[1] == [calls.bit_length() - 1]


def test_no_frame_outside_of_the_context_is_seen(data):
    made = world(data, context=4)
    assert made.frames_read == 3
    changed = data.values.clone()
    changed[:, :3] += 5
    before, after = (
        rollout(made, values[:, :6], data.params, 1, 1, stream(0, "draw"), data.actions)
        for values in (data.values, changed)
    )
    assert torch.equal(before, after)


def test_the_future_of_a_window_does_not_change_its_past(data):
    made = world(data)
    x0 = made.latents(data.values[:, :5])
    given = Given(
        made,
        torch.zeros(6, 5, 2),
        torch.ones(6, 5, dtype=torch.bool),
        data.params,
        torch.zeros(6, dtype=torch.bool),
    )
    t = torch.full((6, 5), 0.5)
    changed = x0.clone()
    changed[:, 3:] += 1
    first, second = (given.x0(x, t, t - made.finest) for x in (x0, changed))
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.equal(first[:, 3:], second[:, 3:])


def test_it_comes_back_from_its_manifest(data):
    made = world(data)
    again = made.manifest().changed(["num_calls=8"]).build()
    again.load_state_dict(made.state_dict())
    assert again.eval().settings.num_calls == 8
    same = made.manifest().build()
    same.load_state_dict(made.state_dict())
    assert torch.equal(forecast(made, data), forecast(same.eval(), data))


def test_actions_that_do_not_fit_are_one_line(data):
    made = world(data)
    for actions, said in (
        (None, "needs the actions"),
        (data.actions[..., :1], "1 columns"),
        (data.actions[:, :2], "2 actions for a context of 4 frames"),
    ):
        with pytest.raises(UserError, match=said) as found:
            made.encode(data.values[:, :4], data.params, actions)
        assert "\n" not in str(found.value)
    with pytest.raises(UserError, match="the plan has ended"):
        forecast(made, data, steps=4, actions=data.actions[:, :8])
    for changes, said in (
        (["num_calls=3"], "power of two"),
        (["num_kv_heads=3"], "no multiple"),
        (["time_every=9"], "no block attends in time"),
    ):
        with pytest.raises(UserError, match=said):
            override(DynamicsSettings(), changes)


def test_without_actions_it_is_a_model_of_what_is_not_steered(data):
    free = type(data)(
        data.values, data.params, type(data.fields)(data.fields.each, data.fields.grid, data.fields.dt)
    )
    made = world(free)
    frames = rollout(made, free.values[:, :3], free.params, 3, 2, stream(0, "draw"))
    assert frames.shape == (2, 6, 3, 1, 32)


@pytest.mark.parametrize(("ahead", "stagger"), [(1, 0.0), (3, 0.0), (3, 2.0), (3, 4.0), (4, 1.0)])
def test_frames_that_are_drawn_together_follow_their_scheduling_matrix(data, ahead, stagger, monkeypatch):
    made, levels = world(data, num_calls=4, ahead=ahead, stagger=stagger), []
    plain = made.denoise

    def watched(x_t, t, s, *rest, **more):
        levels.append(t[0].tolist())
        return plain(x_t, t, s, *rest, **more)

    monkeypatch.setattr(made, "denoise", watched)
    frames = forecast(made, data, steps=6, members=1)
    assert frames.shape[2] == 6
    assert frames.isfinite().all()
    rows = pyramid(ahead, 4, stagger)[:-1].clamp(min=made.finest).tolist()
    assert levels[1 : 1 + len(rows)] == rows  # after the context was read
    chunks = -(-6 // ahead)
    drawn = [min(ahead, 7 - ahead * chunk) for chunk in range(chunks)]  # of a plan of seven actions
    assert len(levels) == sum(len(pyramid(count, 4, stagger)) for count in drawn)
    assert made.calls_per_frame == -(-len(pyramid(ahead, 4, stagger)) // ahead)


def test_frames_one_after_the_other_are_those_of_single_draws_in_law(data):
    """A whole call apart, each frame is drawn given the clean one before it."""
    made = world(data, num_calls=1, ahead=2, stagger=1.0)
    first = forecast(made, data, steps=2, members=400)[:, :, 1].mean(0)
    apart = forecast(world(data, num_calls=1), data, steps=2, members=400, seed=1)[:, :, 1].mean(0)
    assert (first - apart).abs().mean() < 0.2 * apart.abs().mean()
