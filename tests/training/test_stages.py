import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import toy
from torch import nn

from lines import on_its_grid
from ups.streams import stream
from ups.training.stages import (
    Autoencode,
    Diagnosed,
    Forecast,
    Stage,
    disturb,
    fraction_left,
    gradient_reach,
    relative_error,
)


def two_fields(num=3, frames=4, cells=8):
    generator = stream(0, "fields")
    values = torch.randn(num, frames, 2, cells, generator=generator) * torch.tensor([1.0, 1e-4])[:, None]
    return on_its_grid(values, torch.rand(num, 1, generator=generator), toy.FIELDS)


def test_the_loss_is_the_formula_in_numpy():
    truth = two_fields().values
    prediction = truth + 0.1 * torch.randn(truth.shape, generator=stream(0, "error"))
    u, v = truth.double().numpy(), prediction.double().numpy()
    expected = np.zeros(3)
    for i in range(3):
        errors = [
            np.linalg.norm(v[i, t, f] - u[i, t, f]) ** 2 / np.linalg.norm(u[i, t, f]) ** 2
            for t in range(4)
            for f in range(2)
        ]
        expected[i] = np.mean(errors)
    np.testing.assert_allclose(relative_error(prediction, truth).numpy(), expected, rtol=1e-5)


def test_zero_is_a_prediction_of_error_one_whatever_the_units():
    truth = two_fields().values
    torch.testing.assert_close(relative_error(torch.zeros_like(truth), truth), torch.ones(3))
    torch.testing.assert_close(relative_error(torch.zeros_like(truth), 1e-9 * truth), torch.ones(3))


def test_a_field_at_rest_gives_a_finite_loss_and_gradient():
    truth = two_fields().values
    truth[0, 0, 1] = 0
    truth[1, :, 0] = 0
    prediction = truth.clone().requires_grad_()
    loss = relative_error(prediction, truth)
    loss.sum().backward()
    assert torch.equal(loss, torch.zeros(3))
    assert prediction.grad.isfinite().all()


def test_a_field_that_dies_out_in_some_windows_does_not_outweigh_the_others():
    truth = torch.ones(3, 2, 2, 8)
    truth[1, :, 1], truth[2, :, 1] = 1e-9, 1e-2  # what is a thousand times below its deviation is at rest
    prediction, std = truth + 1e-3, torch.tensor([1.0, 1.0])
    expected = torch.tensor([1e-6, 0.5 * (1e-6 + 1.0), 0.5 * (1e-6 + 1e-2)])
    torch.testing.assert_close(relative_error(prediction, truth, std), expected, rtol=1e-3, atol=0)
    assert relative_error(prediction, truth)[1] > 1e5


def test_the_unrolled_loss_is_the_manual_rollout():
    data, stepper = toy.waves(4, frames=4), toy.Shift()
    stage = Forecast("operator", stepper, ((0.0, 1), (0.5, 3)))
    loss, parts = stage.loss(data, stream(0, "unused"))
    frame, errors = data.values[:, 0], []
    for step in (1, 2, 3):
        around = torch.cat([frame[..., -2:], frame, frame[..., :2]], -1).unfold(-1, 5, 1)
        frame = frame + (around * stepper.kernel[0, 0]).sum(-1) + stepper.bias
        truth = data.values[:, step]
        errors.append((frame - truth).square().sum((1, 2)) / truth.square().sum((1, 2)))
    torch.testing.assert_close(loss, torch.stack(errors).mean(0))
    still = [(data.values[:, 0] - data.values[:, k]).square().sum((1, 2)) for k in (1, 2, 3)]
    norm = [data.values[:, k].square().sum((1, 2)) for k in (1, 2, 3)]
    torch.testing.assert_close(parts["trivial"], sum(s / n for s, n in zip(still, norm, strict=True)) / 3)


def test_the_gradient_runs_through_the_whole_unroll():
    @dataclass
    class Factor:
        factor: torch.Tensor
        num_context: int = 1

        def encode(self, context, params):
            return context[:, -1]

        def advance(self, state, generator=None):
            return state * self.factor

        def decode(self, state):
            return state

    factor = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    data = on_its_grid(torch.ones(1, 4, 1, 2), torch.ones(1, 1), toy.FIELDS)
    loss, _ = Forecast("operator", Factor(factor), ((0.0, 3),)).loss(data, stream(0, "unused"))
    loss.sum().backward()
    # d/da mean_k (a^k - 1)^2 = mean_k 2 (a^k - 1) k a^(k-1)
    assert factor.grad.item() == pytest.approx(
        sum(2 * (0.5**k - 1) * k * 0.5 ** (k - 1) for k in (1, 2, 3)) / 3
    )


def test_the_window_holds_the_context_and_the_steps_of_the_phase():
    stage = Forecast("operator", toy.Shift(), ((0.0, 1), (0.5, 3), (0.8, 6)))
    assert [stage.window(p) for p in (0.0, 0.49, 0.5, 0.79, 0.8, 1.0)] == [2, 2, 4, 4, 7, 7]


def test_noise_on_the_context_has_each_fields_own_scale_and_spares_the_truth():
    context = two_fields(num=2000, cells=32).values[:, :1]
    added = disturb(context, 0.1, stream(0, "noise")) - context
    # a deviation uniform in [0, s] has the mean square s^2 / 3
    found = added.square().mean((0, 1, 3)).sqrt() / context.std((0, 1, 3))
    torch.testing.assert_close(found, torch.full((2,), 0.1 / 3**0.5), rtol=0.03, atol=0)
    each = added.square().mean((1, 3)).sqrt() / context.std((0, 1, 3))
    assert each.min() < 0.01 < 0.09 < each.max()
    quiet, noisy = (Forecast("operator", toy.Shift(), noise=noise) for noise in (0.0, 0.1))
    (quiet_loss, quiet_parts), (noisy_loss, noisy_parts) = (
        stage.loss(toy.waves(), stream(0, "noise")) for stage in (quiet, noisy)
    )
    assert torch.equal(quiet_parts["trivial"], noisy_parts["trivial"])
    assert not torch.equal(quiet_loss, noisy_loss)


def test_noise_in_training_teaches_a_step_that_brings_disturbed_states_back():
    # data along one direction: what a step does to the other one is not in them, but noise shows it
    def slope(noise):
        generator = stream(0, "fit")
        step = nn.Linear(2, 2, bias=False)
        nn.init.eye_(step.weight)

        class Step(nn.Module):
            num_context = 1

            def __init__(self):
                super().__init__()
                self.step = step

            def encode(self, context, params):
                return context[:, -1, 0]

            def advance(self, state, generator=None):
                return self.step(state)

            def decode(self, state):
                return state[:, None]

        frame = torch.randn(256, 1, 1, 1, generator=generator) * torch.tensor([1.0, 0.0])
        data = on_its_grid(torch.cat([frame, frame], 1), torch.ones(256, 1), toy.FIELDS)
        stage, optimizer = Forecast("operator", Step(), noise=noise), torch.optim.SGD(step.parameters(), 0.3)
        for _ in range(400):
            optimizer.zero_grad()
            stage.loss(data, generator)[0].clamp(max=10).mean().backward()
            optimizer.step()
        return step.weight[1, 1].item()

    assert slope(0.0) == 1.0
    assert slope(0.5) < 0.3


class Codec(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def encode(self, frames):
        return self.gain * frames

    def decode(self, tokens):
        return tokens


class Scale(nn.Module):
    def normalize(self, values):
        return (values - 3.0) / 2.0

    def denormalize(self, values):
        return 2.0 * values + 3.0


def test_an_exact_codec_has_no_loss_and_the_spatial_mean_has_the_trivial_one():
    data = two_fields()
    data = dataclasses.replace(data, values=data.values / data.values.std((0, 1, 3), keepdim=True))
    exact = Autoencode("autoencoder", Codec(1.0), Scale())
    loss, parts = exact.loss(data, stream(0, "unused"))
    assert loss.max() < 1e-12
    u = data.values
    expected = (u.mean(3, keepdim=True) - u).square().sum(3) / u.square().sum(3)
    torch.testing.assert_close(parts["trivial"], expected.mean((1, 2)))
    # the codec that forgets all gives the normalizer's mean, 3
    loss, _ = Autoencode("autoencoder", Codec(0.0), Scale()).loss(data, stream(0, "unused"))
    torch.testing.assert_close(loss, ((3 - u).square().sum(3) / u.square().sum(3)).mean((1, 2)))


def test_both_are_stages():
    assert isinstance(Forecast("operator", toy.Shift()), Stage)
    assert isinstance(Autoencode("autoencoder", Codec(1.0), Scale()), Stage)
    assert not isinstance(Forecast("operator", toy.Shift()), Diagnosed)


def test_a_stepper_at_rest_leaves_the_whole_trivial_loss_and_an_exact_one_nothing():
    class Exact(nn.Module):
        num_context, encode, decode = 1, toy.Shift.encode, toy.Shift.decode

        def __init__(self, cells):
            super().__init__()
            self.cells = cells

        def advance(self, state, generator=None):
            return state.roll(self.cells, -1)

    batches = [(toy.waves(4, frames=3, shift=2.0, seed=seed), stream(seed, "unused")) for seed in range(3)]
    left = [fraction_left(Forecast("operator", Exact(cells)), batches) for cells in (0, 2)]
    assert left == pytest.approx([1.0, 0.0], abs=1e-9)


class Branched(toy.Shift):
    """A second branch, which `advance` uses as it is told."""

    def __init__(self, use):
        super().__init__()
        self.use = use
        self.branch = nn.Linear(1, 1)
        nn.init.zeros_(self.kernel)
        self.register_buffer("gain", torch.zeros(1))

    def encode(self, context, params):
        self.params = params
        return super().encode(context, params)

    def advance(self, state, generator=None):
        return self.use(
            super().advance(state), self.branch((self.params - toy.waves(1).params) + self.gain)[..., None]
        )


def reach(use):
    gradient_reach(Forecast("operator", Branched(use)), toy.waves(4, frames=2), stream(0, "reach"))


def test_connected_branches_pass_even_with_a_head_at_zero_and_a_constant_parameter():
    reach(lambda trunk, branch: trunk + branch)


@pytest.mark.parametrize(
    "use",
    [
        lambda trunk, branch: trunk,
        lambda trunk, branch: trunk + branch.detach(),
        lambda trunk, branch: trunk + 0.0 * branch,
    ],
    ids=["unused", "detached", "times zero"],
)
def test_a_planted_disconnected_branch_is_named(use):
    with pytest.raises(ValueError, match=r"branch\.weight, branch\.bias"):
        reach(use)


def test_a_frozen_branch_need_not_be_reached_and_the_proof_changes_nothing():
    stepper = Branched(lambda trunk, branch: trunk)
    stepper.branch.requires_grad_(False)
    before = [parameter.clone() for parameter in stepper.parameters()]
    gradient_reach(Forecast("operator", stepper), toy.waves(4, frames=2), stream(0, "reach"))
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.parameters(), strict=True))
    assert stepper.kernel.grad is None


def test_a_term_of_the_loss_without_gradient_is_named():
    class Two(Forecast):
        def loss(self, batch, generator):
            loss, parts = super().loss(batch, generator)
            return loss, parts | {"smoothness": loss.detach()}

    with pytest.raises(ValueError, match="term 'smoothness'"):
        gradient_reach(Two("operator", toy.Shift()), toy.waves(4, frames=2), stream(0, "reach"))
