import pytest
import torch

from ups.models.initialization import initialize
from ups.nets.block_causal import BlockCausal, rotated
from ups.streams import stream


def net(**changes):
    settings = {"dim": 16, "depth": 4, "num_heads": 4, "num_kv_heads": 2, "time_every": 2} | changes
    return initialize(lambda: BlockCausal(**settings), stream(0, "net")).double()


def frames(time=7):
    return torch.randn(3, time, 5, 16, generator=stream(1, "frames"), dtype=torch.float64)


def test_no_frame_sees_a_later_one():
    model, x = net(), frames()
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = model(x)[0], model(changed)[0]
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amin((2, 3)).min() > 0


@pytest.mark.parametrize("pieces", [(7,), (3, 4), (1,) * 7, (5, 1, 1)])
def test_with_a_cache_it_is_the_same_to_round_off(pieces):
    model, x = net(), frames()
    whole = model(x)[0]
    cache, found = None, []
    for part in x.split(pieces, 1):
        made, cache = model(part, cache)
        found.append(made)
    assert torch.allclose(torch.cat(found, 1), whole, atol=1e-12)
    assert cache.count.tolist() == [7, 7, 7]


def test_a_window_of_the_cache_is_a_horizon():
    model, x = net(depth=2), frames()
    short = model(x, horizon=3)[0]
    cache, found = None, []
    for part in x.split(1, 1):
        made, cache = model(part, cache.last(2) if cache else None)
        found.append(made)
    assert torch.allclose(torch.cat(found, 1), short, atol=1e-12)
    assert not torch.allclose(short[:, -1], model(x)[0][:, -1])
    far = x.clone()
    far[:, :4] += 1
    assert torch.allclose(model(far, horizon=3)[0][:, 6], short[:, 6], atol=1e-12)


def test_frames_that_are_alone_see_no_other():
    model, x = net(), frames()
    alone = torch.tensor([True, False, True])
    made = model(x, alone=alone)[0]
    single = model(x[:1, 3:4])[0]
    assert torch.allclose(made[0, 3], single[0, 0], atol=1e-12)
    assert torch.allclose(made[1], model(x)[0][1], atol=1e-12)


def test_what_is_seen_depends_on_distance_in_time_alone():
    query, key = torch.randn(2, 1, 1, 1, 1, 8, dtype=torch.float64)
    at = [rotated(query, torch.tensor([[p]])) @ rotated(key, torch.tensor([[p - 3]])).mT for p in (3, 40)]
    assert torch.allclose(*at)
    odd = torch.randn(1, 1, 1, 2, 5)
    assert torch.allclose(rotated(odd, torch.zeros(1, 2, dtype=torch.long)), odd)


def test_every_parameter_is_used():
    model = net()
    model(frames())[0].square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
