import pytest
import torch
from torch import nn

from ups.streams import stream
from ups.training.ema import Ema


def test_the_average_follows_its_formula_from_warm_up_to_the_full_decay():
    model, decay = nn.Linear(3, 2), 0.8
    generator = stream(0, "ema")
    ema = Ema(model, decay)
    expected = model.weight.detach().double().clone()
    for update in range(60):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=generator))
        ema.update()
        d = min(decay, (1 + update) / (10 + update))
        expected = d * expected + (1 - d) * model.weight.detach().double()
    torch.testing.assert_close(ema.average["weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_decay_0_is_the_weights_themselves():
    model = nn.Linear(3, 2)
    ema = Ema(model, 0.0)
    with torch.no_grad():
        model.weight += 1
    ema.update()
    assert torch.equal(ema.average["weight"], model.weight)


def test_the_average_is_float32_for_narrow_weights():
    model = nn.Linear(2, 2).bfloat16()
    ema = Ema(model, 0.999)
    ema.update()
    assert ema.average["weight"].dtype == torch.float32


def test_swapping_shows_the_average_and_gives_the_weights_back_to_the_bit():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    ema = Ema(model, 0.9)
    with torch.no_grad():
        model.weight *= 1.1
    own, storage = model.weight.detach().clone(), model.weight.data_ptr()
    with ema.swapped_in():
        assert torch.equal(model.weight, ema.average["weight"])
        assert not torch.equal(model.weight, own)
    assert torch.equal(model.weight, own)
    with pytest.raises(ZeroDivisionError), ema.swapped_in():
        model.weight @ [1 / 0]
    assert torch.equal(model.weight, own)
    assert model.weight.data_ptr() == storage
    assert ema.average.keys() == {"weight"}
