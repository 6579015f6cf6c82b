import torch

from ups.streams import stream


def test_a_stream_is_a_function_of_seed_name_and_counter():
    first = torch.rand(8, generator=stream(3, "batch", 7))
    assert torch.equal(first, torch.rand(8, generator=stream(3, "batch", 7)))
    for other in (stream(4, "batch", 7), stream(3, "noise", 7), stream(3, "batch", 8)):
        assert not torch.equal(first, torch.rand(8, generator=other))


def test_names_and_counters_cannot_collide_by_concatenation():
    assert stream(1, "a", 12).initial_seed() != stream(1, "a1", 2).initial_seed()
    assert stream(11, "a", 2).initial_seed() != stream(1, "1a", 2).initial_seed()


def test_neighbouring_streams_are_uncorrelated():
    draws = torch.stack([torch.randn(2000, generator=stream(0, "noise", k)) for k in range(20)])
    correlation = torch.corrcoef(draws) - torch.eye(20)
    assert correlation.abs().max() < 5 / 2000**0.5  # five standard errors


def test_streams_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    torch.randn(4, generator=stream(0, "anything"))
    assert torch.equal(before, torch.random.get_rng_state())
