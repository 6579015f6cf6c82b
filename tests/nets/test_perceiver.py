import torch

from ups.nets.perceiver import CrossBlock, PerceiverDecoder, PerceiverEncoder
from ups.streams import stream


def noise(*shape, name="x"):
    return torch.randn(shape, generator=stream(0, name))


def test_a_cross_block_reads_its_context():
    block = CrossBlock(8, 2)
    x = noise(2, 3, 8)
    assert not torch.allclose(block(x, noise(2, 5, 8, name="a")), block(x, noise(2, 5, 8, name="b")))


def test_the_encoder_does_not_know_in_which_order_cells_are_listed_but_where_they_are():
    encoder = PerceiverEncoder(1, 4, 3, 8, 2, 1, 4)
    encoder.lift.weight.data[:, :, [0, 1, 3, 4]] = (
        0  # only the cell itself, so that a permutation keeps its neighbours
    )
    x, phase = noise(2, 1, 16), (torch.arange(16) + 0.5) / 16
    torch.testing.assert_close(encoder(x.flip(-1), phase.flip(-1)), encoder(x, phase), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(encoder(x.flip(-1), phase), encoder(x, phase), atol=1e-4)


def test_the_decoder_answers_each_point_on_its_own_and_is_periodic():
    decoder = PerceiverDecoder(4, 3, 2, 8, 2, 1, 4)
    tokens, phase = noise(2, 4, 3), noise(2, 6, name="p")
    out = decoder(tokens, phase)
    torch.testing.assert_close(decoder(tokens, phase[:, 2:3]), out[:, :, 2:3])
    torch.testing.assert_close(decoder(tokens, phase + 1), out, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(decoder(tokens, phase + 0.3), out, atol=1e-3)
