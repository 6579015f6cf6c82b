import math

import pytest
import torch

from lines import on_line
from ups.models.autoencoder import IdentityPatches
from ups.models.flux_law import SLOWEST_DIFFUSION, SPEED_UNIT, VALUE_SCALE, FluxLaw
from ups.models.normalizer import Normalizer
from ups.models.operator import Operator
from ups.models.refined import Refined
from ups.nets.flux_law import polynomial
from ups.streams import stream
from ups.types import Trajectory, UserError

FIELDS = on_line(("u",), ("",), 1.0, 0.1, params=("nu",), conserved=("u",), cells=32)
BARE = on_line(("u",), ("",), 1.0, 0.1, conserved=("u",), cells=32)


def build(fields=FIELDS, seed=0):
    codec = Refined().build(fields, stream(0, "codec"))
    return codec, FluxLaw().build(codec, fields, stream(seed, "operator"))


def inputs(codec, fields=FIELDS, num=3):
    z = torch.randn(num, codec.num_tokens, 1, generator=stream(0, "z"))
    return z, torch.ones(num), torch.randn(num, len(fields.params), generator=stream(0, "params"))


def disturb(module):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=generator))
    return module


def test_it_is_the_identity_at_initialization_and_over_no_time():
    codec, operator = build()
    assert isinstance(operator, Operator)
    z, dt, params = inputs(codec)
    torch.testing.assert_close(operator(z, dt, params), z, rtol=0, atol=1e-5)
    torch.testing.assert_close(disturb(operator)(z, 0 * dt, params), z, rtol=0, atol=1e-5)
    assert not torch.allclose(operator(z, dt, params), z, atol=1e-2)


def lawful(speed, diffusion, fields=FIELDS):
    """An operator of constant speed (in lengths of the domain a frame, affine in the parameters) and diffusion.

    A parameter multiplies the diffusion by e to the power of itself.
    """
    codec, operator = build(fields)
    operator.speed[0] = torch.tensor(speed)
    operator.log_diffusion[0], operator.log_diffusion[1:] = math.log(diffusion), 1.0
    return codec, operator


def wave(codec, phase=0.0):
    x = (torch.arange(codec.num_tokens) + 0.5) / codec.num_tokens
    return torch.sin(2 * torch.pi * (x[None] - torch.as_tensor(phase).reshape(-1, 1)))[..., None]


@pytest.mark.parametrize("dt", [0.5, 1.0, 2.0])
def test_a_wave_moves_by_speed_and_decays_by_diffusion_over_dt_under_its_own_parameters(dt):
    codec, operator = lawful([0.06, 0.03], 1e-3)
    params = torch.tensor([[0.0], [1.0], [-1.0]])
    made = operator(wave(codec).expand(3, -1, -1), torch.full((3,), dt), params)
    decay = torch.exp(-1e-3 * params[:, 0].exp() * (2 * torch.pi) ** 2 * dt)
    exact = decay[:, None, None] * wave(codec, (0.06 + 0.03 * params[:, 0]) * dt)
    torch.testing.assert_close(made, exact, rtol=0, atol=2e-3)
    assert (exact - wave(codec)).abs().amax((1, 2)).min() > 20 * 2e-3, "what is tested for is seen"


def test_two_half_steps_are_one_step():
    codec, operator = lawful([0.06, 0.03], 1e-3)
    z, dt, params = wave(codec).expand(3, -1, -1), torch.ones(3), torch.tensor([[0.0], [1.0], [-1.0]])
    half = operator(operator(z, dt / 2, params), dt / 2, params)
    torch.testing.assert_close(half, operator(z, dt, params), rtol=0, atol=2e-3)


def test_parameters_change_the_law_of_their_own_row_alone():
    codec, operator = build()
    z, dt, params = inputs(codec)
    disturb(operator)
    speed, diffusion = operator.law(params)
    assert speed.std(0).min() > 0
    assert diffusion.std() > 0
    other = params.clone()
    other[0] += 1
    before, after = operator(z, dt, params), operator(z, dt, other)
    assert torch.equal(before[1:], after[1:])
    assert not torch.equal(before[0], after[0])


def test_diffusion_is_never_negative_and_finds_back():
    codec, operator = build(BARE)
    with torch.no_grad():
        operator.head.bias[-1] = -300.0
    z, dt, params = inputs(codec, BARE)
    _, diffusion = operator.law(params)
    assert (diffusion == 0).all()
    (gradient,) = torch.autograd.grad(operator(z, dt, params).square().mean(), operator.head.bias)
    assert gradient[-1] < 0  # more diffusion, less energy


def test_every_parameter_learns_with_and_without_parameters_of_the_equation():
    for fields in (FIELDS, BARE):
        codec, operator = build(fields)
        z, dt, params = inputs(codec, fields)
        (disturb(operator)(z, dt, params) - z.roll(1, 1)).square().mean().backward()
        silent = [
            name
            for name, p in operator.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.any())
        ]
        assert not silent


def test_it_learns_the_law_of_burgers_from_one_step():
    _, operator = build(BARE)
    x = (torch.arange(64) + 0.5) / 64
    phase = torch.rand(64, 2, 1, generator=stream(0, "phase"))
    v = torch.sin(2 * torch.pi * (x + phase[:, 0])) + 0.5 * torch.sin(4 * torch.pi * (x + phase[:, 1]))
    teacher = build(BARE)[1]
    with torch.no_grad():
        teacher.head.bias[1] = 0.05 * VALUE_SCALE / SPEED_UNIT
        teacher.head.bias[-1] = 2e-3 / SLOWEST_DIFFUSION
    z, dt, params = v[..., None], torch.ones(64), torch.zeros(64, 0)
    target = teacher(z, dt, params).detach()
    optimizer = torch.optim.LBFGS(
        [operator.head.bias],
        max_iter=200,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = (operator(z, dt, params) - target).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    speed, diffusion = operator.law(params[:1])
    seen = torch.linspace(-0.35, 0.35, 29)[None]  # the values of the data; beyond them no law can be known
    torch.testing.assert_close(polynomial(speed, seen), 0.05 * VALUE_SCALE * seen, rtol=0, atol=2e-3)
    assert diffusion[0].item() == pytest.approx(2e-3, rel=0.1)


def test_it_starts_from_the_law_that_fits_and_learns_in_parts_of_it():
    codec, operator = build()
    x = torch.arange(32) / 32
    place = torch.arange(20)[:, None] * 0.02
    wave = VALUE_SCALE * 0.5 * torch.sin(2 * torch.pi * (x - place))
    operator.start_from(
        codec,
        Trajectory(wave.expand(3, 1, 20, 32).movedim(1, 2), torch.zeros(3, 1), FIELDS),
        Normalizer(1, 1),
    )
    speed, diffusion = operator.law(torch.randn(5, 1, generator=stream(0, "params")))
    seen = torch.linspace(-0.4, 0.4, 9)[None].expand(5, -1)
    torch.testing.assert_close(polynomial(speed, seen), torch.full((5, 9), 0.02), rtol=0, atol=1e-3)
    assert (diffusion >= 0).all()
    with torch.no_grad():
        operator.head.bias[0] += 0.5
    torch.testing.assert_close(
        operator.law(torch.zeros(1, 1))[0][:, 0], (1 + 0.5 * SPEED_UNIT) * speed[:1, 0], rtol=2e-3, atol=0
    )


def test_other_codecs_and_other_data_are_refused_in_one_line():
    cells = IdentityPatches().build(FIELDS, stream(0, "codec"))
    with pytest.raises(UserError, match="set codec"):
        FluxLaw().build(cells, FIELDS, stream(0, "operator"))
    two = on_line(("u", "v"), ("", ""), 1.0, 0.1, conserved=("u",), cells=32)
    codec = Refined().build(two, stream(0, "codec"))
    with pytest.raises(UserError, match="one conserved field"):
        FluxLaw().build(codec, two, stream(0, "operator"))
