import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import toy

from ups.data.windows import draw_windows
from ups.training.stages import Forecast
from ups.training.state import State
from ups.training.update import Updater, check
from ups.types import UserError


def updater(stepper, seed=0, **changes):
    settings = toy.settings(**changes)
    stage = Forecast("operator", stepper, settings.unroll)
    return Updater(stage, toy.waves(), settings, seed, draw_windows), State.start(stepper, settings)


def step(stepper, **changes):
    update, state = updater(stepper, **changes)
    return update(state, 0.0), state


def gradient(accumulation):
    stepper = toy.Shift()
    update, _ = updater(stepper, batch_size=50, accumulation=accumulation)
    row = update._gradient(0, 0.0)
    return row, stepper.kernel.grad, stepper.bias.grad


def test_two_parts_of_25_have_the_gradient_of_one_batch_of_50():
    (whole, *expected), (parts, *found) = gradient(1), gradient(2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert parts == pytest.approx(whole, rel=1e-5)


def test_the_gradient_is_that_of_the_mean_loss():
    stepper = toy.Shift()
    update, _ = updater(stepper)
    update._gradient(7, 0.5)
    found = stepper.kernel.grad.clone()
    stepper.kernel.grad = None
    batch = update.batch(7, update.stage.window(0.5))
    assert batch.values.shape[:2] == (8, 3)
    loss, _ = update.stage.loss(batch, torch.Generator())
    (expected,) = torch.autograd.grad(loss.mean(), [stepper.kernel])
    torch.testing.assert_close(found, expected)


def test_stages_of_one_seed_see_the_same_batches_and_seeds_differ():
    first, _ = updater(toy.Shift(0))
    second, _ = updater(toy.Shift(1), batch_size=8, learning_rate=1e-3)
    other, _ = updater(toy.Shift(0), seed=1)
    assert torch.equal(first.batch(3, 4).values, second.batch(3, 4).values)
    assert not torch.equal(first.batch(3, 4).values, first.batch(4, 4).values)
    assert not torch.equal(first.batch(3, 4).values, other.batch(3, 4).values)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_a_gradient_that_is_not_finite_or_too_large_changes_nothing_but_the_count(poison):
    stepper = toy.Shift()
    update, state = updater(stepper)
    update(state, 0.0)
    kept = {name: tensor.clone() for name, tensor in state.tensors().items()}
    handle = stepper.kernel.register_hook(lambda gradient: gradient * poison)
    row = update(state, 0.0)
    handle.remove()
    assert row["skipped"] == 1
    assert (state.update, state.num_skipped) == (2, 1)
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, kept[name]), name
    assert update(state, 0.0)["skipped"] == 0


def test_the_norm_reported_is_the_one_before_clipping():
    free, _ = step(toy.Shift(), clip=None)
    clipped, _ = step(toy.Shift(), clip=1e-3)
    assert clipped["gradient"] == pytest.approx(free["gradient"])
    assert free["gradient"] > 1e-2


def test_bfloat16_computes_narrow_and_keeps_weights_and_losses_wide():
    seen = []

    class Watched(toy.Shift):
        def advance(self, state, generator=None):
            state = super().advance(state, generator)
            seen.append(torch.nn.functional.conv1d(state, self.kernel).dtype)
            return state

    narrow, state = step(Watched(), precision="bfloat16")
    wide, _ = step(toy.Shift())
    assert seen == [torch.bfloat16]
    assert state.model.kernel.dtype == torch.float32
    assert narrow["loss"] == pytest.approx(wide["loss"], rel=2e-2)
    assert narrow["loss"] != wide["loss"]


def test_the_compiled_loss_is_the_eager_one():
    # in a process of its own: a function whose types are checked cannot be compiled
    code = "import toy; print(*toy.first_losses(compiled=True), *toy.first_losses(compiled=False))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *fast, slow_first, slow_second = map(float, result.stdout.split())
    assert fast == pytest.approx([slow_first, slow_second], rel=1e-4)
    assert slow_first != slow_second


def test_a_rehearsal_measures_each_window_once_and_leaves_the_model_alone():
    stepper = toy.Shift()
    before = stepper.kernel.detach().clone()
    update, _ = updater(stepper, unroll=[[0.0, 1], [0.3, 1], [0.5, 16]])
    cost = update.rehearse(5.0)
    assert cost.keys() == {2, 17}
    assert 0 < cost[2] < cost[17] < math.inf
    assert torch.equal(stepper.kernel, before)
    assert stepper.kernel.grad is None


def test_a_window_longer_than_the_data_is_found_before_training():
    update, _ = updater(toy.Shift(), unroll=[[0.0, 1], [0.9, 17]])
    with pytest.raises(UserError, match=r"17 frames but the longest window needs 18"):
        check(update.stage, update.train, update.settings)


def test_data_in_which_nothing_changes_are_refused_before_training():
    update, _ = updater(toy.Shift())
    still = replace(update.train, values=update.train.values[:, :1].expand_as(update.train.values).clone())
    with pytest.raises(UserError, match="nothing changes from frame to frame"):
        check(update.stage, still, update.settings)
    still.values[3, 5] += 1.0
    check(update.stage, still, update.settings)


def test_a_batch_that_the_processes_cannot_share_is_refused(monkeypatch):
    update, _ = updater(toy.Shift(), batch_size=8, accumulation=2)
    check(update.stage, update.train, update.settings)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="no multiple of 6"):
        check(update.stage, update.train, update.settings)
