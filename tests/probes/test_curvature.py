import copy
import json
import math
import time
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.func import functional_call

from ups.diffusion.denoiser import Denoiser
from ups.diffusion.losses import denoising
from ups.diffusion.parameterization import eps
from ups.diffusion.process import DDPM
from ups.diffusion.times import stratified
from ups.diffusion.weighting import min_snr, snr
from ups.probes.curvature import Objective, curvature, difference, preconditioned
from ups.probes.frozen import ProbeSet, bins, freeze, still
from ups.probes.products import flatten
from ups.probes.trace import rademacher
from ups.streams import stream
from ups.types import UserError

PROBE = ProbeSet({"x": torch.zeros(1)}, seed=3, num_vectors=8)


def scaled(objective, factor):
    return replace(objective, loss=lambda outputs: factor * objective.loss(outputs))


def test_every_number_is_that_of_the_dense_matrices(case):
    """The raw values included: the probe vectors are the ones that the seed announces."""
    measured = curvature(case.objective, case.params, PROBE, max_lanczos=200, lanczos_tolerance=1e-10)
    vectors = torch.stack([flatten(v) for v in rademacher(case.params, 3, 8)])
    matrix, gauss_newton = case.dense_hessian(), case.dense_gauss_newton()
    raw = torch.einsum("mi,ij,mj->m", vectors, matrix, vectors)
    assert measured.trace.raw == pytest.approx(raw.tolist(), rel=1e-9)
    raw = torch.einsum("mi,ij,mj->m", vectors, gauss_newton, vectors)
    assert measured.gauss_newton.raw == pytest.approx(raw.tolist(), rel=1e-9)
    values = torch.linalg.eigvalsh(matrix)
    assert measured.eigenvalues.largest == pytest.approx(values[-1].item(), rel=1e-8)
    assert measured.eigenvalues.smallest == pytest.approx(values[0].item(), rel=1e-8, abs=1e-10)
    assert measured.loss == pytest.approx(case.objective(case.params).item(), rel=1e-12)
    assert measured.num_parameters == len(values)
    assert measured.dtype == "float64"
    assert (measured.probe_hash, measured.probe_parts) == (PROBE.hash, PROBE.parts)


def test_scaling_the_loss_scales_every_curvature_by_the_same_factor(case):
    one, two, third = (
        curvature(scaled(case.objective, factor), case.params, PROBE) for factor in (1.0, 2.0, 1 / 3)
    )
    for name in (
        "loss",
        "gradient_norm",
        "trace",
        "gauss_newton_trace",
        "largest_eigenvalue",
        "smallest_eigenvalue",
    ):
        assert two.numbers[name] == 2 * one.numbers[name]  # to the last bit
        assert third.numbers[name] == pytest.approx(one.numbers[name] / 3, rel=1e-9)
    assert two.numbers["trace_per_loss"] == one.numbers["trace_per_loss"]


def test_a_quadratic_is_exact():
    """0.5 p'Dp + b'p at p = 1 with diagonal D: one vector gives the trace, three steps the eigenvalues."""
    d = torch.tensor([5.0, -1.0, 2.0], dtype=torch.float64)
    b = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    params = {"p": torch.ones(3, dtype=torch.float64)}
    objective = Objective(
        "quadratic", lambda q: q["p"], lambda out: (0.5 * d * out**2 + b * out).sum(), mean_weight=4.0
    )
    numbers = curvature(objective, params, replace(PROBE, num_vectors=2)).numbers
    assert numbers["trace"] == numbers["gauss_newton_trace"] == 6.0
    assert numbers["trace_sem"] == 0.0
    assert numbers["trace_per_parameter"] == 2.0
    assert numbers["trace_per_weight"] == 1.5
    assert numbers["loss"] == 5.0
    assert numbers["trace_per_loss"] == 1.2
    assert numbers["gradient_norm"] == pytest.approx(math.sqrt(36 + 4))
    assert numbers["largest_eigenvalue"] == pytest.approx(5.0, rel=1e-12)
    assert numbers["smallest_eigenvalue"] == pytest.approx(-1.0, rel=1e-12)


class Diffusion:
    """A small denoiser of sixteen frozen samples, its noise error in all and at each of four levels."""

    def __init__(self, hidden=8):
        network = nn.Sequential(nn.Linear(3, hidden), nn.SiLU(), nn.Dropout(0.1), nn.Linear(hidden, 2))
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.5, generator=stream(0, "fill"))
        self.model = network
        self.probe = freeze(torch.randn(16, 2, generator=stream(0, "data")), stratified(), num_vectors=8)
        self.process = DDPM()

    def objective(self, twin, weighting, index=slice(None), dtype=torch.float64):
        data, noise, times = (self.probe.to("cpu", dtype)[name][index] for name in ("data", "noise", "times"))

        def network(x, logsnr, params):
            level = logsnr.to(x.dtype).view(-1, 1) / 10
            return functional_call(twin, params, (torch.cat([x, level], dim=1),))

        weight = (weighting(self.process.logsnr(times)) / self.process.logsnr(times).exp())[:, None]

        def outputs(params):
            alpha, sigma = (scale[:, None] for scale in self.process.scales(times))
            return network(alpha * data + sigma * noise, self.process.logsnr(times), params)

        return Objective(
            "noise error", outputs, lambda out: (weight * (out - noise) ** 2).mean(), weight.mean().item()
        )


@pytest.fixture(scope="module")
def diffusion():
    return Diffusion()


def test_the_levels_average_to_the_whole_vector_by_vector(diffusion):
    twin, params = still(diffusion.model, torch.float64)
    parts = bins(diffusion.probe.tensors["times"], 4)
    levels = {name: diffusion.objective(twin, snr(), index) for name, index in parts.items()}
    measured = curvature(diffusion.objective(twin, snr()), params, diffusion.probe, levels=levels)
    assert list(measured.levels) == list(parts)
    mean = torch.tensor([trace.raw for trace in measured.levels.values()], dtype=torch.float64).mean(0)
    assert measured.trace.raw == pytest.approx(mean.tolist(), rel=1e-10)
    assert measured.numbers["trace[0.25-0.50]"] == measured.levels["0.25-0.50"].mean


def test_the_objective_of_the_test_is_the_loss_that_trains(diffusion):
    twin, params = still(diffusion.model, torch.float64)
    tensors = diffusion.probe.to("cpu", torch.float64)

    class Network(nn.Module):
        def forward(self, x, logsnr):
            return twin(torch.cat([x, logsnr.to(x.dtype).view(-1, 1) / 10], dim=1))

    trained = denoising(
        Denoiser(Network(), diffusion.process, eps()),
        tensors["data"],
        tensors["noise"],
        tensors["times"],
        min_snr(5.0),
    )
    probed = diffusion.objective(twin, min_snr(5.0))(params)
    assert trained.mean().item() == pytest.approx(probed.item(), rel=1e-6)


def test_single_and_double_precision_agree(diffusion):
    measured = []
    for dtype in (torch.float32, torch.float64):
        twin, params = still(diffusion.model, dtype)
        measured.append(curvature(diffusion.objective(twin, snr(), dtype=dtype), params, diffusion.probe))
    single, double = measured
    assert (single.dtype, double.dtype) == ("float32", "float64")
    for name in double.numbers.keys() - {"largest_eigenvalue_residual", "smallest_eigenvalue_residual"}:
        assert single.numbers[name] == pytest.approx(double.numbers[name], rel=1e-3, abs=1e-4)


def test_a_probe_leaves_the_model_and_the_global_stream_as_they_were(diffusion):
    model = copy.deepcopy(diffusion.model).train()
    model(torch.ones(4, 3)).sum().backward()
    state, gradients = copy.deepcopy(model.state_dict()), [p.grad.clone() for p in model.parameters()]
    before = torch.get_rng_state()
    twin, params = still(model)
    curvature(diffusion.objective(twin, snr(), dtype=torch.float32), params, diffusion.probe)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_measuring_twice_gives_the_same_bits(diffusion):
    twin, params = still(diffusion.model)
    objective = diffusion.objective(twin, snr(), dtype=torch.float32)
    first, second = (replace(curvature(objective, params, diffusion.probe), seconds=0.0) for _ in range(2))
    assert first == second


def test_a_restless_objective_is_refused(diffusion):
    twin, params = still(diffusion.model, torch.float64)
    objective = diffusion.objective(twin.train(), snr())  # dropout on
    with torch.random.fork_rng(), pytest.raises(ValueError, match="not deterministic"):
        curvature(objective, params, diffusion.probe)


def test_a_diverged_run_is_one_clear_line(mlp):
    broken = {name: p * math.nan for name, p in mlp.params.items()}
    with pytest.raises(UserError, match="probe 'test': not finite"):
        curvature(mlp.objective, broken, PROBE)


def test_differences_are_paired_and_only_of_like_with_like(mlp):
    moved = {name: 1.001 * p for name, p in mlp.params.items()}
    first, second = (curvature(mlp.objective, params, PROBE) for params in (mlp.params, moved))
    paired = difference(first, second)
    assert paired.raw == pytest.approx([
        a - b for a, b in zip(first.trace.raw, second.trace.raw, strict=True)
    ])
    assert paired.sem < 0.1 * first.trace.sem
    with pytest.raises(UserError, match="'test' and under 'weighted'"):
        difference(first, replace(second, objective="weighted"))
    elsewhere = curvature(mlp.objective, moved, replace(PROBE, seed=4))
    with pytest.raises(UserError, match="seed differ"):
        difference(first, elsewhere)


def test_a_record_goes_through_json(mlp):
    measured = curvature(mlp.objective, mlp.params, PROBE, weights="ema", levels={"all": mlp.objective})
    record = json.loads(json.dumps(asdict(measured)))
    assert tuple(record["levels"]["all"]["raw"]) == measured.trace.raw
    assert record["weights"] == "ema"
    assert record["eigenvalues"]["largest"] == measured.eigenvalues.largest


def test_preconditioning_scales_both_sides_of_the_hessian(case):
    flat = 0.5 + torch.rand(len(case.flat), generator=stream(0, "scale"), dtype=torch.float64)
    sizes = [p.numel() for p in case.params.values()]
    parts = zip(case.params.items(), flat.split(sizes), strict=True)
    scale = {name: part.view(p.shape) for (name, p), part in parts}
    measured = curvature(*preconditioned(case.objective, case.params, scale), PROBE, max_lanczos=200)
    values = torch.linalg.eigvalsh(flat.diag() @ case.dense_hessian() @ flat.diag())
    assert measured.loss == pytest.approx(case.objective(case.params).item(), rel=1e-12)
    assert measured.eigenvalues.largest == pytest.approx(values[-1].item(), rel=1e-6)
    assert measured.objective == "test, preconditioned"


def test_seconds_are_those_of_the_clock(mlp):
    begin = time.perf_counter()
    measured = curvature(mlp.objective, mlp.params, PROBE)
    assert 0 < measured.seconds <= time.perf_counter() - begin


def test_an_independent_library_agrees(mlp):
    curvlinops = pytest.importorskip("curvlinops")
    model, data = copy.deepcopy(mlp.model).double(), [(mlp.x, mlp.goal)]
    hessian, gauss_newton = (
        operator(model, nn.MSELoss(), list(model.parameters()), data)
        for operator in (curvlinops.HessianLinearOperator, curvlinops.GGNLinearOperator)
    )
    objective = Objective("mse", mlp.outputs, lambda out: ((out - mlp.goal) ** 2).mean())
    measured = curvature(objective, mlp.params, PROBE)
    vectors = torch.stack([flatten(v) for v in rademacher(mlp.params, PROBE.seed, PROBE.num_vectors)], dim=1)
    for operator, trace in ((hessian, measured.trace), (gauss_newton, measured.gauss_newton)):
        assert trace.raw == pytest.approx((vectors * (operator @ vectors)).sum(0).tolist(), rel=1e-9)
