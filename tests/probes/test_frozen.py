import copy
import hashlib
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import functional_call

from ups.diffusion.times import stratified, uniform
from ups.probes.frozen import ProbeSet, bins, freeze, require_same, still
from ups.streams import stream
from ups.types import UserError

DATA = torch.arange(24.0).view(8, 3)


def test_a_set_is_a_function_of_the_data_and_the_seed():
    assert freeze(DATA, stratified(), seed=1).hash == freeze(DATA.clone(), stratified(), seed=1).hash


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (lambda: freeze(DATA + 1e-6, stratified()), "data"),
        (lambda: freeze(DATA, uniform()), "times"),
        (lambda: freeze(DATA, stratified(), seed=1), "noise, seed, times"),
        (lambda: freeze(DATA, stratified(), num_vectors=17), "num_vectors"),
        (lambda: freeze(DATA.flip(0), stratified()), "data"),
        (lambda: freeze(DATA.view(8, 1, 3), stratified()), "data, noise"),
    ],
)
def test_another_set_has_another_hash_and_the_error_names_what_differs(other, parts):
    first, second = freeze(DATA, stratified()), other()
    assert first.hash != second.hash
    with pytest.raises(UserError, match=rf"'b' was not probed as 'a' was: {parts} differ"):
        require_same({"a": first.parts, "b": second.parts})


def test_a_part_that_one_set_lacks_is_named():
    first = freeze(DATA, stratified())
    second = replace(first, tensors={**first.tensors, "condition": DATA})
    with pytest.raises(UserError, match=r"'c' .* condition differ"):
        require_same({"a": first.parts, "b": first.parts, "c": second.parts})


def test_equal_sets_pass():
    require_same({name: freeze(DATA, stratified()).parts for name in "abc"})


def test_the_hash_is_over_bytes_type_and_shape():
    values = torch.tensor([1.0, 2.0])
    expected = hashlib.sha256(b"torch.float32 (2,) " + values.numpy().tobytes()).hexdigest()
    assert ProbeSet({"x": values}).parts["x"] == expected
    strided = torch.tensor([[1.0, 9.0], [2.0, 9.0]])[:, 0]
    assert ProbeSet({"x": strided}).parts["x"] == expected
    assert ProbeSet({"x": values.view(2, 1)}).parts["x"] != expected
    assert ProbeSet({"x": values.view(torch.int32)}).parts["x"] != expected
    assert len(ProbeSet({"flag": torch.tensor(True), "half": values.bfloat16()}).hash) == 64


def test_noise_is_standard_and_times_are_stratified():
    probe = freeze(torch.zeros(1000, 50), stratified())
    noise, times = probe.tensors["noise"], probe.tensors["times"]
    assert abs(noise.mean().item()) < 0.02
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert torch.equal((times * 1000).floor().sort().values, torch.arange(1000.0, dtype=times.dtype))


def test_stratified_times_fill_every_bin_alike():
    times = freeze(torch.zeros(40, 1), stratified()).tensors["times"]
    parts = bins(times, 5)
    assert list(parts) == ["0.00-0.20", "0.20-0.40", "0.40-0.60", "0.60-0.80", "0.80-1.00"]
    assert [len(index) for index in parts.values()] == [8] * 5
    assert torch.equal(torch.cat(list(parts.values())).sort().values, torch.arange(40))
    assert all((times[index] >= 0.2 * k).all() for k, index in enumerate(parts.values()))


def test_time_one_is_in_the_last_bin():
    assert bins(torch.tensor([0.0, 0.5, 1.0]), 2)["0.50-1.00"].tolist() == [1, 2]


def test_moving_the_set_changes_the_precision_of_real_numbers_only():
    probe = ProbeSet({"x": DATA, "label": torch.arange(8)})
    moved = probe.to("cpu", torch.float64)
    assert moved["x"].dtype == torch.float64
    assert moved["label"].dtype == torch.int64


class Restless(nn.Module):
    """Everything that a careless probe would disturb."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.drop(self.norm(self.first(x))))


def restless():
    with torch.random.fork_rng():
        model = Restless()
    model.last.requires_grad_(False)
    model.norm.eval()
    model(DATA).sum().backward()
    return model


def test_the_copy_is_in_evaluation_mode_and_its_parameters_are_the_trainable_ones():
    twin, params = still(restless())
    assert not any(module.training for module in twin.modules())
    assert not any(p.requires_grad or p.grad is not None for p in twin.parameters())
    assert list(params) == ["first.weight", "first.bias", "norm.weight", "norm.bias"]
    double, in_double = still(restless(), torch.float64)
    assert all(p.dtype == torch.float64 for p in in_double.values())
    assert double.norm.running_mean.dtype == torch.float64
    assert double.norm.num_batches_tracked.dtype == torch.int64


def test_the_copy_computes_what_the_model_computes():
    model = restless()
    twin, params = still(model)
    assert torch.equal(functional_call(twin, params, (DATA,)), model.eval()(DATA))


def test_nothing_done_to_the_copy_reaches_the_model():
    model = restless()
    state, flags = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    twin, params = still(model)
    functional_call(twin.train(), {name: p + 1 for name, p in params.items()}, (DATA,))
    for tensor in twin.state_dict().values():
        tensor.zero_()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert all(
        p.grad is None if gradients[name] is None else torch.equal(p.grad, gradients[name])
        for name, p in model.named_parameters()
    )


def test_tied_weights_are_one_parameter():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    twin, params = still(model)
    assert list(params) == ["0.weight"]
    moved = {"0.weight": torch.randn(3, 3, generator=stream(0, "w"))}
    out = functional_call(twin, moved, (DATA,))
    torch.testing.assert_close(out, DATA @ moved["0.weight"].T @ moved["0.weight"].T)
