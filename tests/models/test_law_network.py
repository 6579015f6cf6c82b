import pytest
import torch

from lines import on_line
from ups.data.simulated import Simulated
from ups.evaluation.metrics import nrmse
from ups.evaluation.rollout import rollout
from ups.models.autoencoder import IdentityPatches
from ups.models.emulator import Emulator
from ups.models.law_network import LawNetwork
from ups.models.law_operator import Law
from ups.models.normalizer import fit_normalizer
from ups.streams import stream
from ups.training.stages import Forecast, gradient_reach
from ups.training.start import look_at
from ups.types import Trajectory, UserError

SMALL = LawNetwork(width=8, num_blocks=1, modes=8, kernel_size=3)


def emulator_of(data, settings=SMALL):
    codec = IdentityPatches().build(data.fields, stream(0, "codec"))
    operator = settings.build(codec, data.fields, stream(0, "operator"))
    return Emulator(fit_normalizer(data), codec, operator, data.fields)


@pytest.fixture(scope="module")
def chaos(tmp_path_factory):
    return Simulated(equation="kuramoto_sivashinsky", num_trajectories=20, num_cells=64, num_frames=8).load(
        tmp_path_factory.mktemp("chaos")
    )


def disturbed(emulator):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in emulator.operator.net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return emulator


def test_at_initialization_it_is_the_law(chaos):
    law, both = emulator_of(chaos, Law()), emulator_of(chaos)
    look_at(law, chaos)
    both.operator.take(law.operator)
    state = law.encode(chaos.values[:, :1], chaos.params)
    assert torch.equal(law.advance(state)[0], both.advance(state)[0])
    assert not torch.equal(law.advance(state)[0], disturbed(both).advance(state)[0])


def test_whatever_the_network_says_a_conserved_field_keeps_its_integral(chaos):
    emulator = disturbed(emulator_of(chaos))
    look_at(emulator, chaos)
    emulator.operator.law.left_unit.fill_(1.0)
    frames = rollout(emulator, chaos.values[:, :1], chaos.params, 3)[0]
    assert (frames[:, 0] - chaos.values[:, 1]).abs().max() > 0.1
    torch.testing.assert_close(
        frames.double().mean((2, 3)),
        chaos.values[:, :1].double().mean((2, 3)).expand(-1, 3),
        rtol=0,
        atol=5e-6,
    )


def test_the_network_speaks_in_units_of_what_the_law_leaves(chaos):
    emulator = emulator_of(chaos)
    look_at(emulator, chaos)
    law = emulator.operator.law
    state = emulator.encode(chaos.values[:, :1], chaos.params)
    missed = (emulator.decode(emulator.advance(state)) - chaos.values[:, 1]) / emulator.normalizer.std
    assert 0.3 < law.left_unit.item() / missed.square().mean().sqrt().item() < 3


def test_the_loss_reaches_every_weight_before_and_after_a_law_is_read(chaos):
    emulator = emulator_of(chaos)
    for _ in range(2):
        stage = Forecast("operator", emulator, ((0.0, 2),))
        gradient_reach(
            stage, Trajectory(chaos.values[:4, :3], chaos.params[:4], chaos.fields), stream(0, "reach")
        )
        look_at(emulator, chaos)


def test_on_what_the_library_lacks_training_gains_on_the_law(tmp_path):
    """A term of sixth order and a sine of the field are in no library; of the sine no linear map knows either."""
    fields = on_line(cells=32)
    x = torch.arange(32) / 32
    generator = stream(0, "waves")
    size, phase = torch.rand(2, 40, 5, 1, generator=generator, dtype=torch.float64)
    mode = torch.arange(1, 6)[:, None]
    first = (size * torch.sin(2 * torch.pi * (mode * x + phase))).sum(1)
    wave = torch.arange(17, dtype=torch.float64)
    frames, factor = [first], torch.exp(-2e-3 * wave**2 * (1 + torch.sin(wave)) + 0.3j * torch.sin(2 * wave))
    for _ in range(6):
        moved = torch.fft.irfft(torch.fft.rfft(frames[-1]) * factor, n=32)
        frames.append(moved + 0.2 * torch.sin(4 * moved))
    data = Trajectory(torch.stack(frames, 1)[:, :, None].float(), torch.zeros(40, 0), fields)
    train, test = data.select(slice(0, 30)), data.select(slice(30, None))
    emulator = emulator_of(train)
    look_at(emulator, train)

    def error():
        with torch.no_grad():
            forecast = rollout(emulator, test.values[:, :1], test.params, 6)
        return nrmse(forecast, test.values[:, 1:], fields).mean().item()

    before = error()
    stage = Forecast("operator", emulator, ((0.0, 1),))
    optimizer = torch.optim.Adam([p for p in emulator.parameters() if p.requires_grad], 5e-3)
    windows = Trajectory(
        train.values.unfold(1, 2, 1).flatten(0, 1).movedim(-1, 1), torch.zeros(180, 0), fields
    )
    for update in range(150):
        optimizer.zero_grad()
        chosen = torch.randint(180, (32,), generator=stream(update, "batch"))
        stage.loss(windows.select(chosen), stream(0, "loss"))[0].mean().backward()
        optimizer.step()
    assert before > 0.05
    assert error() < before / 2


def test_too_many_modes_are_refused_in_one_line():
    fields = on_line(cells=32)
    with pytest.raises(UserError, match="take fewer modes"):
        LawNetwork().build(IdentityPatches().build(fields, stream(0, "codec")), fields, stream(0, "operator"))
