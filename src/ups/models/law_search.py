"""Reading a law off trajectories: Gauss and Newton's method through the integrator, then the terms that matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ups.models.law_terms import is_forcing
from ups.models.spectral_law import SpectralLaw
from ups.progress import Progress

SCHEMES = ((2, 1), (4, 1), (4, 2), (4, 4), (4, 8), (4, 16))
"""Order and steps a frame of the integrators, cheap ones first."""

SPACES = ((False, False), (False, True), (True, True))
"""Whether derivatives are differences between cells, and whether products alias: waves, aliased waves, cells."""

SLACK = 1.02
"""Factor by which the error of a law may grow if it is simpler."""

NUM_ITERATIONS = 20
"""Of Levenberg and Marquardt's method, at most."""

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-6, 1e-12, 1e6
"""In parts of the diagonal; small, since terms are nearly collinear and the valley that they span is long."""

ROUNDS = 3
"""Regressions, at most, that may add terms before all of them are tried."""

AT_REST = 1e-2
"""Change, in parts of the usual one, below which a frame is at rest."""

CONVERGED = 1e-3
"""Share of the cost by which a step of the method must lower it, or the damping, to go on."""

CLEARLY = 0.5
"""Factor by which a fixed forcing, products that alias or differences between cells have to leave less to be taken."""

MOST_WORK = 4e9
"""Numbers times slopes times stages of the integrator that a search may take, some minutes of one thread: a law of very
many numbers from frames that are far apart is given up."""

ROUND_OFF = 2.0**-22
"""Of float32 data and of the digits of a step, in parts of the field."""


class Pairs(NamedTuple):
    """Frames, the frames that follow, and the parameters, in float64."""

    before: Float[Tensor, "pair field *grid"]
    after: Float[Tensor, "pair field *grid"]
    params: Float[Tensor, "pair param"]


@torch.no_grad()
def read_law(law: SpectralLaw, pairs: Pairs, held_out: Pairs, progress: Progress | None = None) -> float:
    """Set coefficients, terms and integrator of a law; return the share of the change of held-out pairs that is left.

    Derivatives are those of waves, or differences between cells where these explain the frames clearly better, and so
    is a fixed forcing offered. For each integrator the coefficients are fitted, from nothing or from the last one's, of
    the few terms that a linear regression finds, or of all if those do not do; the cheapest is taken whose held-out
    error is within `SLACK` of the least. Then terms are left out as long as the error grows by no more. There are no
    terms if no law leaves less than all of the change.
    """
    varying = (pairs.params != pairs.params[:1]).any(0)  # a parameter that never changes tells nothing
    pairs, held_out = (part._replace(params=part.params[:, varying]) for part in (pairs, held_out))
    columns = torch.cat([varying.new_ones(1), varying])
    offered = _choose_library(law, pairs)[0]
    law.work = 0.0
    found = _of_few_terms(law, pairs, held_out, offered, progress)
    if found is None and law.work >= MOST_WORK:
        law.kept.fill_(False)
        law.coefficients.zero_()
        return 1.0
    scheme, fitted = found or _of_all_terms(law, pairs, held_out, offered, progress)
    law.scheme.copy_(torch.tensor(scheme))
    if progress:
        progress(len(SCHEMES) / (len(SCHEMES) + 1), "which terms matter")
    floor = _floor(pairs)
    coefficients, kept = _simplified(partial(_fit, law, pairs), fitted, fitted.kept, floor)
    law.kept.copy_(kept)
    cost = _cost(_missed(law, held_out, coefficients))
    if not cost < 1:
        cost, coefficients = 1.0, torch.zeros_like(coefficients)
        law.kept.fill_(False)
    law.coefficients.zero_()
    law.coefficients[:, columns] = coefficients
    return math.sqrt(cost)


def _choose_library(law: SpectralLaw, pairs: Pairs) -> tuple[Bool[Tensor, " term"], float]:
    """Let a linear regression tell which terms are offered, and what the data are: waves, aliased ones, or on cells.

    Returned are these terms, and the cost that the regression leaves.
    """
    change = _weighed(law, pairs, pairs.before - pairs.after)
    every = torch.ones_like(law.kept)
    offered = torch.tensor([not is_forcing(term) for term in law.terms]).to(every.device)
    best, taken = math.inf, SPACES[0]
    for on_cells, aliased in SPACES:
        law.on_cells.fill_(on_cells)
        law.aliased.fill_(aliased)
        columns = _collocated(law, pairs)
        left = _linear(columns, change, offered).cost
        if (on_cells, aliased) == SPACES[0]:
            forced = _linear(columns, change, every).cost
            if forced < CLEARLY**2 * left:
                offered, left = every, forced
        if left < CLEARLY**2 * best:
            best, taken = left, (on_cells, aliased)
    law.on_cells.fill_(taken[0])
    law.aliased.fill_(taken[1])
    return offered, best


@torch.no_grad()
def obey_another_law(law: SpectralLaw, every: Pairs, later: Pairs) -> bool:
    """Return whether a linear regression leaves clearly less of pairs that leave the first frames out."""
    return _choose_library(law, later)[1] < CLEARLY**2 * _choose_library(law, every)[1]


@torch.no_grad()
def take_steps_for(law: SpectralLaw, pairs: Pairs) -> None:
    """Take the cheapest integrator, of no fewer steps, whose error on other pairs is within `SLACK` of the least."""
    found = []
    for scheme in SCHEMES[SCHEMES.index((law.order, law.num_steps)) :]:
        law.scheme.copy_(torch.tensor(scheme))
        missed = _weighed(law, pairs, law.step(pairs.before, pairs.params, law.coefficients) - pairs.after)
        found.append((max(_cost(missed), _floor(pairs)), scheme))
    least = min(found)[0]
    law.scheme.copy_(torch.tensor(next(scheme for cost, scheme in found if cost <= least * SLACK**2)))


class _Fitted(NamedTuple):
    coefficients: Float[Tensor, "term number"]
    cost: float
    slopes: Float[Tensor, "miss free"]
    kept: Bool[Tensor, " term"]


Scheme = tuple[int, int]


def _of_all_terms(
    law: SpectralLaw,
    pairs: Pairs,
    held_out: Pairs,
    offered: Bool[Tensor, " term"],
    progress: Progress | None,
) -> tuple[Scheme, _Fitted]:
    """Return the integrator and the coefficients of the law of all terms."""
    nothing = pairs.before.new_zeros(len(law.terms), 1 + pairs.params.shape[1])
    return _integrated(law, pairs, held_out, offered, nothing, progress)


def _of_few_terms(
    law: SpectralLaw,
    pairs: Pairs,
    held_out: Pairs,
    offered: Bool[Tensor, " term"],
    progress: Progress | None,
) -> tuple[Scheme, _Fitted] | None:
    """Return integrator and coefficients of a law of few terms that leaves nothing to the others, or None.

    Which terms matter is told by a linear regression: the change of a frame on the mean of each term at both of its
    ends. So much is cheap, and right where frames are near. What the law then misses is regressed in the same way; the
    terms that explain a part of it are added until that helps no more; if it goes on helping, the frames are too far
    apart for this.
    """
    columns = _collocated(law, pairs)
    change = _weighed(law, pairs, pairs.before - pairs.after)
    kept, start = torch.zeros_like(law.kept), torch.zeros(()).to(change)
    floor, missed = _floor(pairs), change
    best: tuple[Scheme, _Fitted] | None = None
    for _ in range(ROUNDS):
        rest = _linear(columns, missed, offered)
        step, more = _simplified(partial(_linear, columns, missed), rest, rest.kept, floor)
        if not (more & ~kept).any():
            return best
        kept = kept | more
        scheme, fitted = _integrated(law, pairs, held_out, kept, start + step, progress)
        if best is not None and fitted.cost * SLACK**2 >= best[1].cost:
            return best
        if not fitted.cost < 1:
            return None
        best = scheme, fitted
        law.scheme.copy_(torch.tensor(scheme))
        start, missed = fitted.coefficients, _missed(law, pairs, fitted.coefficients)
        left = _linear(columns, missed, offered).cost
        if fitted.cost <= floor or left * SLACK**2 >= fitted.cost:
            return best
    return None


def _integrated(
    law: SpectralLaw,
    pairs: Pairs,
    held_out: Pairs,
    kept: Bool[Tensor, " term"],
    start: Float[Tensor, "term number"],
    progress: Progress | None,
) -> tuple[Scheme, _Fitted]:
    """Return the cheapest integrator whose held-out error is within `SLACK` of the least, and its coefficients."""
    found, nothing = [], torch.zeros_like(start)
    law.kept.copy_(kept)
    for tried, scheme in enumerate(SCHEMES):
        if progress:
            progress(tried / (len(SCHEMES) + 1), f"order {scheme[0]}, {scheme[1]} steps a frame")
        law.scheme.copy_(torch.tensor(scheme))
        if not _cost(_missed(law, pairs, start)) < 1:
            start = nothing
        fitted = _fit(law, pairs, kept, start)
        error = _cost(_missed(law, held_out, fitted.coefficients))
        found.append((max(error, _floor(held_out)), scheme, fitted))
        start = fitted.coefficients
        if error <= _floor(held_out) or law.work >= MOST_WORK:
            break
        if (
            len(found) > 2
            and min(found[-1][0], found[-2][0]) > min(cost for cost, *_ in found[:-2]) / SLACK**2
        ):
            break
    least = min(cost for cost, *_ in found)
    _, scheme, fitted = next(each for each in found if each[0] <= least * SLACK**2)
    return scheme, fitted


def _collocated(law: SpectralLaw, pairs: Pairs) -> Float[Tensor, "miss column"]:
    """Return the mean of each term at both ends of its pair, times 1 and times each parameter, weighed as misses."""
    affine = torch.cat([pairs.params.new_ones(len(pairs.params), 1), pairs.params], 1)
    rates = [law.rates(part) for part in (pairs.before, pairs.after)]
    found = []
    for term, before, after in zip(law.terms, *rates, strict=True):
        each = torch.zeros_like(pairs.before)
        each[:, term.field] = (before + after) / 2
        line = _weighed(law, pairs, each).reshape(len(affine), -1)
        found += [(line * column[:, None]).flatten() for column in affine.unbind(1)]
    return torch.stack(found, 1)


def _linear(
    columns: Float[Tensor, "miss column"],
    missed: Float[Tensor, " miss"],
    kept: Bool[Tensor, " term"],
    start: Tensor | None = None,
) -> _Fitted:
    """Return the coefficients of some terms that leave the least of a miss, from wherever one starts."""
    numbers = columns.shape[1] // len(kept)
    slopes = columns[:, kept.repeat_interleave(numbers)]
    scale = slopes.norm(dim=0).clamp(min=torch.finfo(slopes.dtype).tiny)
    gram, gradient = (slopes / scale).T @ (slopes / scale), (slopes / scale).T @ missed
    free = -torch.linalg.solve(gram + LEAST_DAMPING * torch.eye(len(gram)).to(gram), gradient) / scale
    coefficients = columns.new_zeros(len(kept), numbers)
    coefficients[kept] = free.reshape(-1, numbers)
    return _Fitted(coefficients, _cost(missed + slopes @ free), slopes, kept)


def _simplified(
    fit: Callable[[Bool[Tensor, " term"], Float[Tensor, "term number"]], _Fitted],
    fitted: _Fitted,
    kept: Bool[Tensor, " term"],
    floor: float,
) -> tuple[Float[Tensor, "term number"], Bool[Tensor, " term"]]:
    """Return the coefficients of the simplest law that is nearly as good as that of all terms, and its terms.

    Which terms matter least is told by the slopes: without a term and with the best others the cost grows by
    theta^T (block of the inverse of the Gram matrix)^-1 theta. They are left out in this order: all that may go, or,
    where a fit without them says otherwise, half as many.
    Source: Hassibi and Stork, Second order derivatives for network pruning, NeurIPS 1992.
    """
    kept = kept.clone()
    allowed = max(fitted.cost, floor) * SLACK**2
    while kept.any():
        order = _least_first(fitted, kept, allowed)
        simpler = None
        while order:
            fewer = kept.clone()
            fewer[order] = False
            simpler = fit(fewer, fitted.coefficients * fewer[:, None])
            if simpler.cost <= allowed:
                break
            order, simpler = order[: len(order) // 2], None
        if simpler is None:
            break
        kept, fitted = fewer, simpler
    return fitted.coefficients, kept


def _least_first(fitted: _Fitted, kept: Bool[Tensor, " term"], allowed: float) -> list[int]:
    """Return the terms that the slopes say can go together, the least one first; at least the least of all."""
    terms = kept.nonzero()[:, 0].tolist()
    numbers = fitted.coefficients.shape[1]
    scale = fitted.slopes.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
    gram = (fitted.slopes / scale).T @ (fitted.slopes / scale)
    inverse = torch.linalg.inv(gram + 1e-12 * torch.eye(len(gram)).to(gram))
    theta = (fitted.coefficients[kept] * scale.reshape(len(terms), numbers)).flatten()
    gone, cost = [], fitted.cost
    while len(gone) < len(terms):
        growth = {}
        for place, term in enumerate(terms):
            if term in gone:
                continue
            block = slice(place * numbers, (place + 1) * numbers)
            inner = torch.linalg.pinv(inverse[block, block])
            growth[term] = (theta[block] @ inner @ theta[block]).item()
        term = min(growth, key=growth.__getitem__)
        if gone and cost + growth[term] > allowed:
            break
        block = slice(terms.index(term) * numbers, (terms.index(term) + 1) * numbers)
        inner = torch.linalg.pinv(inverse[block, block])
        theta = theta - inverse[:, block] @ inner @ theta[block]
        inverse = inverse - inverse[:, block] @ inner @ inverse[block]
        theta[block] = 0
        cost += growth[term]
        gone.append(term)
    return gone


def _missed(
    law: SpectralLaw, pairs: Pairs, coefficients: Float[Tensor, "term number"]
) -> Float[Tensor, " miss"]:
    """Return band (law(before) - after) / size of the change, of all pairs; the sum of squares is a mean over pairs."""
    return _weighed(law, pairs, law.step(pairs.before, pairs.params, coefficients) - pairs.after)


def _weighed(
    law: SpectralLaw, pairs: Pairs, error: Float[Tensor, "pair field *grid"]
) -> Float[Tensor, " miss"]:
    """Return the waves of an error that the data have, in parts of the change."""
    size = _size(pairs) * math.sqrt(len(pairs.before) * law.num_fields)
    error = law.modes.back(law.band * law.modes.forth(error))
    return (error / size[(..., *(None,) * len(law.modes.shape))]).flatten()


def _size(pairs: Pairs) -> Float[Tensor, "pair field"]:
    """Return |after - before|; frames that hardly change, of which round-off is a large part, count by the others."""
    change = (pairs.after - pairs.before).flatten(2).norm(dim=2)
    usual = change.square().mean(0).sqrt()
    return change.clamp(min=torch.finfo(change.dtype).tiny).maximum(AT_REST * usual)


def _floor(pairs: Pairs) -> float:
    """Return the cost that round-off alone may have."""
    return (ROUND_OFF * pairs.after.flatten(2).norm(dim=2) / _size(pairs)).square().mean().item()


def _cost(missed: Float[Tensor, " miss"]) -> float:
    cost = missed.square().sum().item()
    return cost if math.isfinite(cost) else math.inf


def _fit(
    law: SpectralLaw, pairs: Pairs, kept: Bool[Tensor, " term"], start: Float[Tensor, "term number"]
) -> _Fitted:
    """Return the best coefficients of some terms by Levenberg and Marquardt's method; the law is left with these."""
    law.kept.copy_(kept)
    places = kept.nonzero()[:, 0]

    def coefficients(free: Float[Tensor, " free"]) -> Float[Tensor, "term number"]:
        return torch.zeros_like(start).index_put((places,), free.reshape(-1, start.shape[1]))

    def miss(free: Float[Tensor, " free"]) -> Float[Tensor, " miss"]:
        return _missed(law, pairs, coefficients(free))

    free = start[places].flatten()
    missed = miss(free)
    cost, damping, gained = _cost(missed), FIRST_DAMPING, 1.0
    slopes = missed.new_zeros(len(missed), 0)
    for _ in range(NUM_ITERATIONS if len(free) else 0):
        slopes = torch.func.jacfwd(miss)(free)
        law.work += float(len(free) * pairs.before.numel() * law.order * law.num_steps)
        if (gained < CONVERGED and damping <= FIRST_DAMPING) or cost <= _floor(pairs):
            break
        if law.work >= MOST_WORK:
            break
        scale = slopes.norm(dim=0)
        scale = torch.where(scale > 0, scale, 1.0)
        gram, gradient = (slopes / scale).T @ (slopes / scale), (slopes / scale).T @ missed
        there = math.inf
        while not there < cost and damping < MOST_DAMPING:
            damped = gram + damping * torch.eye(len(free)).to(free)
            step = torch.linalg.solve(damped, gradient) / scale
            missed_there = miss(free - step)
            there = _cost(missed_there)
            damping *= 10
        if not there < cost:
            break
        gained = 1 - there / cost
        free, missed, cost = free - step, missed_there, there
        damping = max(damping / 1000, LEAST_DAMPING)
    return _Fitted(coefficients(free), cost, slopes, kept)
