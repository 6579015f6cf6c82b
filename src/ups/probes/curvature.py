"""The curvature of an objective at given weights, with everything that a fair comparison needs to know."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from ups.probes.frozen import ProbeSet, require_same
from ups.probes.gradients import gradient, norm
from ups.probes.lanczos import Extremes, lanczos
from ups.probes.products import (
    Params,
    Scalar,
    flatten,
    full_precision,
    gauss_newton_form,
    hessian_form,
    hessian_product,
    unflatten,
)
from ups.probes.trace import Trace, hutchinson, rademacher
from ups.streams import stream
from ups.types import UserError


@dataclass(frozen=True)
class Objective:
    """A frozen objective loss(outputs(params)), called as one function of the parameters.

    The cut defines the Gauss-Newton matrix: `outputs` is what the network says on the probe batch, `loss` its
    convex, weighted error. `name` says what is measured ("noise error, unweighted"), `mean_weight` the mean of its
    weights over the probe batch relative to the unweighted objective.
    """

    name: str
    outputs: Callable[[Params], Tensor]
    loss: Callable[[Tensor], Tensor]
    mean_weight: float = 1.0

    def __call__(self, params: Params) -> Float[Tensor, ""]:
        """Return the objective at these parameters."""
        return self.loss(self.outputs(params))


@dataclass(frozen=True)
class Curvature:
    """What was measured, of what, and with which probe set; `dataclasses.asdict` of it is plain JSON.

    Two of them may be compared if the objective and the probe set are the same: see `difference`.
    """

    objective: str
    weights: str
    probe_hash: str
    probe_parts: dict[str, str]
    dtype: str
    num_parameters: int
    mean_weight: float
    loss: float
    gradient_norm: float
    trace: Trace
    gauss_newton: Trace
    levels: dict[str, Trace]
    eigenvalues: Extremes
    seconds: float

    @property
    def numbers(self) -> dict[str, float]:
        """Every figure by its name, the normalized ones included: one row each in a table."""
        figures = {
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "trace": self.trace.mean,
            "trace_sem": self.trace.sem,
            "trace_per_parameter": self.trace.mean / self.num_parameters,
            "trace_per_loss": self.trace.mean / self.loss,
            "trace_per_weight": self.trace.mean / self.mean_weight,
            "gauss_newton_trace": self.gauss_newton.mean,
            "gauss_newton_trace_sem": self.gauss_newton.sem,
            "largest_eigenvalue": self.eigenvalues.largest,
            "largest_eigenvalue_residual": self.eigenvalues.largest_residual,
            "smallest_eigenvalue": self.eigenvalues.smallest,
            "smallest_eigenvalue_residual": self.eigenvalues.smallest_residual,
        }
        for level, trace in self.levels.items():
            figures |= {f"trace[{level}]": trace.mean, f"trace_sem[{level}]": trace.sem}
        return figures


def curvature(
    objective: Objective,
    params: Params,
    probe: ProbeSet,
    weights: str = "raw",
    levels: Mapping[str, Scalar] = MappingProxyType({}),
    max_lanczos: int = 50,
    lanczos_tolerance: float = 1e-4,
) -> Curvature:
    """Measure the curvature of `objective`, which reads the tensors of `probe`, at `params`.

    The trace, the Gauss-Newton trace and the trace of every one of `levels` (objectives on the samples of one noise
    level each) see the same vectors. Costs num_vectors (1 + number of levels) + max_lanczos Hessian products at most,
    each about four gradients on its samples, and num_vectors Gauss-Newton forms, each about one.
    `weights` says whose parameters these are: "raw" or "ema".

    Raises:
        UserError: the loss or its curvature is not finite.
        ValueError: the objective returns another value when it is called again.
    """
    begin = time.perf_counter()
    loss = _value(objective, params)
    _require_finite(objective, loss)
    if not math.isclose(loss, _value(objective, params), rel_tol=1e-5):
        raise ValueError(
            f"objective '{objective.name}' is not deterministic: freeze its batch, noise and times"
        )
    gradient_norm = norm(gradient(objective, params))
    forms = {
        "trace": hessian_form(objective, params),
        "gauss_newton": gauss_newton_form(objective.outputs, objective.loss, params),
    }
    forms |= {f"level {name}": hessian_form(level, params) for name, level in levels.items()}
    traces = {
        name: hutchinson(form, rademacher(params, probe.seed, probe.num_vectors))
        for name, form in forms.items()
    }
    _require_finite(objective, traces["trace"].mean)
    flat = flatten(params)
    start = torch.randn(flat.shape, generator=stream(probe.seed, "probes/lanczos")).to(flat)

    def product(vector: Tensor) -> Tensor:
        return flatten(hessian_product(objective, params, unflatten(vector, params)))

    with full_precision(params):
        eigenvalues = lanczos(product, start, max_lanczos, lanczos_tolerance)
    return Curvature(
        objective=objective.name,
        weights=weights,
        probe_hash=probe.hash,
        probe_parts=probe.parts,
        dtype=str(flat.dtype).removeprefix("torch."),
        num_parameters=len(flat),
        mean_weight=objective.mean_weight,
        loss=loss,
        gradient_norm=gradient_norm,
        trace=traces["trace"],
        gauss_newton=traces["gauss_newton"],
        levels={name: traces[f"level {name}"] for name in levels},
        eigenvalues=eigenvalues,
        seconds=time.perf_counter() - begin,
    )


def difference(first: Curvature, second: Curvature) -> Trace:
    """Return the trace of the first minus that of the second, vector by vector; its `sem` is the paired one.

    Raises:
        UserError: they were measured under different objectives or with different probe sets.
    """
    if first.objective != second.objective:
        raise UserError(
            f"curvature under '{first.objective}' and under '{second.objective}' differ by their weighting; "
            "probe both runs under one objective"
        )
    require_same({"first": first.probe_parts, "second": second.probe_parts})
    return first.trace - second.trace


def preconditioned(objective: Objective, params: Params, scale: Params) -> tuple[Objective, Params]:
    """Return the objective and the parameters in the coordinates q = params / scale.

    The Hessian becomes S H S with S = diag(scale). With scale = D^(-1/2), D being Adam's root mean square gradient
    plus its epsilon, its largest eigenvalue is what decides the stability of Adam.
    Source: Cohen et al., arXiv:2207.14484.
    """

    def outputs(q: Params) -> Tensor:
        return objective.outputs({name: scale[name] * q[name] for name in q})

    inside = Objective(f"{objective.name}, preconditioned", outputs, objective.loss, objective.mean_weight)
    return inside, {name: tensor / scale[name] for name, tensor in params.items()}


def _value(objective: Scalar, params: Params) -> float:
    with torch.no_grad(), full_precision(params):
        return float(objective(params))


def _require_finite(objective: Objective, value: float) -> None:
    if not math.isfinite(value):
        raise UserError(f"probe '{objective.name}': not finite at these weights; the run has diverged")
