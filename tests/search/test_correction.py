import torch

from candidates import FIELDS, Drawn, advected
from ups.evaluation.rollout import rollout
from ups.search.correction import LowerResidual, Projected
from ups.search.known import Known
from ups.types import Field, Fields, Trajectory, line

SPEED = 2.0 / 16 / 0.5  # one cell a frame


class Wrong(Drawn):
    """Advection with an error that grows in a rollout."""

    def advance(self, state, generator=None):
        frame, params = state
        wave = torch.cos(2 * torch.pi * torch.arange(16) / 16)
        return frame.roll(1, -1) + 0.01 * wave, params


def smooth():
    x = torch.arange(16) / 16
    initial = torch.stack([torch.sin(2 * torch.pi * k * x) + 0.2 for k in (1, 2)])[:, None]
    values = torch.stack([initial.roll(frame, -1) for frame in range(9)], 1)
    return Trajectory(values, torch.full((2, 1), SPEED), FIELDS)


def test_lowering_the_residual_takes_the_error_off_every_frame_of_a_rollout():
    data = smooth()
    stepper = LowerResidual(Wrong(), Known(FIELDS, "Advection"), 3)

    def error(stepper):
        made = rollout(stepper, data.values[:, :1], data.params, 8)[0]
        return (made - data.values[:, 1:]).square().flatten(2).mean(2).sqrt().mean(0)

    before, after = error(Wrong()), error(stepper)
    assert after[0] < before[0] / 10
    assert after[-1] < before[-1] / 10
    assert stepper.calls_per_frame == 1


def test_projection_keeps_integrals_of_the_context_and_signs():
    about = Fields((Field("u", conserved=True, positive=True), Field("v")), line(16), dt=1.0)
    data = advected(fields=about)
    data = Trajectory(data.values.abs(), torch.zeros(6, 0), about)

    class Leaky(Drawn):
        def advance(self, state, generator=None):
            return state[0] * 1.3 - 0.2, state[1]

    made = rollout(Projected(Leaky(), about), data.values[:, :1], data.params, 5)[0]
    plain = rollout(Leaky(), data.values[:, :1], data.params, 5)[0]
    means = data.values[:, :1, 0].mean(-1)
    assert torch.allclose(made[:, :, 0].mean(-1), means.expand(6, 5), atol=1e-5)
    assert made[:, :, 0].min() >= 0
    assert plain[:, :, 0].min() < 0
    assert torch.equal(made[:, :, 1], plain[:, :, 1])  # of what nothing is declared
