import pytest
import torch
from torch import nn

from ups.nets.fourier import CosineConv1d, SpectralConv1d
from ups.streams import stream
from ups.training.muon import Muon, divide, orthogonalize


def noise(*shape, name="x"):
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


def make(model, **options):
    matrices, spectral = divide(model, dict(model.named_parameters()))
    chosen = dict(model.named_parameters())
    others = [{"params": [p for name, p in chosen.items() if name not in matrices]}]
    settings = {"lr": 0.01, "weight_decay": 0.0, "betas": (0.9, 0.999)} | options
    return Muon([chosen[name] for name in matrices], others, spectral, **settings)


@pytest.mark.parametrize("shape", [(3, 10, 24), (2, 24, 10), (1, 16, 16)])
def test_singular_values_come_close_to_one_and_the_singular_vectors_stay(shape):
    matrices = noise(*shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    result = orthogonalize(matrices)
    core = u.mT @ result @ v.mT
    values = core.diagonal(dim1=-2, dim2=-1)
    assert 0.6 < values.min() < values.max() < 1.3
    torch.testing.assert_close(core, torch.diag_embed(values), rtol=0, atol=1e-8)


def test_the_scale_of_the_gradient_does_not_matter():
    torch.testing.assert_close(
        orthogonalize(1e-3 * noise(1, 9, 9)), orthogonalize(noise(1, 9, 9)), rtol=1e-4, atol=1e-4
    )


def test_hidden_matrices_are_muons_and_thin_or_flat_parameters_are_not():
    model = nn.Sequential(
        nn.Conv1d(1, 16, 5), nn.Conv1d(16, 16, 3), SpectralConv1d(16, 16, 4), nn.Linear(16, 2)
    )
    matrices, spectral = divide(model, dict(model.named_parameters()))
    assert matrices == ["1.weight", "2.weight"]
    assert [id(parameter) for parameter in spectral] == [id(model[2].weight)]


def test_a_matrix_moves_by_the_size_of_an_adamw_step():
    model = nn.Linear(64, 32, bias=False)
    before = model.weight.detach().clone()
    optimizer = make(model, lr=0.01)
    model.weight.grad = noise(32, 64).float()
    optimizer.step()
    move = before - model.weight.detach()
    assert move.square().mean().sqrt() == pytest.approx(
        0.2 * 0.01, rel=0.25
    )  # AdamW's is 0.2 to 0.4 of the rate


def test_each_mode_of_a_spectral_convolution_is_a_matrix_of_its_own():
    layer = SpectralConv1d(8, 8, 5)
    before = layer.weight.detach().clone()
    optimizer = make(layer)
    layer.weight.grad = torch.zeros_like(layer.weight)
    layer.weight.grad[:, 2] = noise(2, 8, 8).float()
    optimizer.step()
    move = before - layer.weight.detach()
    assert not move[:, [0, 1, 3, 4]].any()
    values = torch.linalg.svdvals(torch.cat(move[:, 2].unbind(), -1))
    assert values.max() / values.min() < 2


def test_each_cosine_between_walls_is_a_matrix_of_its_own():
    layer = CosineConv1d(8, 8, 5)
    before = layer.weight.detach().clone()
    optimizer = make(layer)
    layer.weight.grad = torch.zeros_like(layer.weight)
    layer.weight.grad[2] = noise(8, 8).float()
    optimizer.step()
    move = before - layer.weight.detach()
    assert not move[[0, 1, 3, 4]].any()
    values = torch.linalg.svdvals(move[2])
    assert values.max() / values.min() < 2


def test_what_is_not_a_matrix_moves_as_adamw_moves_it():
    ours, theirs = (nn.Linear(16, 16).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    muon = make(ours, weight_decay=0.1)
    adamw = torch.optim.AdamW([theirs.bias], lr=0.01, weight_decay=0.1)
    for update in range(5):
        ours.weight.grad = torch.zeros_like(ours.weight)
        ours.bias.grad = noise(16, name=f"g{update}")
        theirs.bias.grad = ours.bias.grad.clone()
        muon.step()
        adamw.step()
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_it_goes_on_from_its_state_to_the_last_bit():
    def run(split):
        model = nn.Sequential(nn.Linear(16, 16), SpectralConv1d(16, 16, 3))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=stream(0, str(parameter.shape))))
        optimizer = make(model)
        for update in range(6):
            if update == split:
                state = optimizer.state_dict()
                optimizer = make(model)
                optimizer.load_state_dict(state)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=stream(update, str(parameter.shape)))
            optimizer.step()
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(run(None), run(3))
