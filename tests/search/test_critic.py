import torch

from candidates import FIELDS
from ups.search.critic import Critic, Features, fit_critic
from ups.search.rewards import available
from ups.streams import stream
from ups.types import WALL, Axis, Grid

NONE = torch.zeros(5, 1)


def test_a_linear_error_is_found_and_ranked_on_sets_it_has_not_seen():
    generator = stream(0, "critic")
    features = torch.randn(80, 8, 6, generator=generator, dtype=torch.float64)
    told = torch.tensor([1.0, 0.0, -2.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    hardness = 3 * torch.randn(80, 1, generator=generator, dtype=torch.float64)  # of a whole set: no help
    noise = 0.2 * torch.randn(80, 8, generator=generator, dtype=torch.float64)
    errors = (features @ told + hardness + noise).exp()
    weights = fit_critic(features[:40], errors[:40])
    assert torch.allclose(weights, -told, atol=0.1)
    best = (features[40:] @ weights).argmax(1)
    chosen = errors[40:].gather(1, best[:, None])[:, 0]
    assert (chosen < errors[40:].median(1).values).double().mean() > 0.95


def test_a_feature_that_never_differs_within_a_set_is_left_alone():
    features = torch.zeros(20, 4, 2, dtype=torch.float64)
    features[..., 0] = torch.randn(20, 4, generator=stream(1, "critic"), dtype=torch.float64)
    features[..., 1] = torch.arange(20.0)[:, None]
    weights = fit_critic(features, features[..., 0].exp())
    assert weights.isfinite().all()
    assert abs(weights[1]) < 1e-6


def test_it_sees_violations_and_bands_on_lines_planes_and_between_walls():
    walled = Grid((Axis("x", 8, 1.0, low=WALL, high=WALL), Axis("y", 12, 1.0)))
    for grid in (FIELDS.grid, walled):
        about = type(FIELDS)(FIELDS.each, grid, 0.5, ("speed",))
        features = Features(available(about, None), grid)
        before, after = torch.randn(2, 5, 1, *grid.shape, generator=stream(2, "critic"))
        found = features(before, after, NONE)
        assert found.shape == (5, len(features.rewards) + 2 * 6)
        assert found.isfinite().all()
        critic = Critic(features, torch.ones(found.shape[1], dtype=torch.float64))
        assert torch.allclose(critic(before, after, NONE), found.sum(1))


def test_rough_and_smooth_changes_look_different():
    features = Features(available(FIELDS, None), FIELDS.grid)
    x = torch.arange(16) / 16
    smooth, rough = (torch.sin(2 * torch.pi * k * x).expand(5, 1, 16) for k in (1, 7))
    still = torch.zeros(5, 1, 16)
    longest, shortest = features(still, smooth, NONE)[0], features(still, rough, NONE)[0]
    bands = slice(len(features.rewards) + 6, None)
    assert longest[bands].argmax() == 0
    assert shortest[bands].argmax() == 2
