"""A law that was found, as people write it: u_t = -0.5 (u^2)_x + 0.003 u_xx, in physical units."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ups.models.law_terms import CARRIED, SQUARED_GRADIENT, WAVE, Factor, Term, is_forcing
from ups.models.normalizer import Normalizer
from ups.models.spectral_law import SpectralLaw
from ups.types import Fields

NOTHING = 1e-4
"""A constant beside slopes, in parts of all of them, that is none."""


def written(law: SpectralLaw, fields: Fields, normalizer: Normalizer, left: float) -> Iterator[str]:
    """Yield one line for each field, and one that says what was offered; `left` is the share of a frame's change."""
    if not law.kept.any():
        yield (
            f"no law found: of {_offered(law)} terms none leaves less than all of a frame's change, or what was found "
            "fails in a rollout or leaves more than a linear map"
        )
        if left < 1:
            yield f"in its place the best linear map of each wave, which leaves {left:.2g} of a frame's change"
        return
    for index, field in enumerate(fields.each):
        parts = [
            _part(term, law.coefficients[place].cpu(), fields, normalizer, bool(law.moves[index]))
            for place, term in enumerate(law.terms)
            if law.kept[place] and term.field == index
        ]
        yield f"{field.name}_t = {' '.join(parts).removeprefix('+ ') or '0'}"
    yield (
        f"of {_offered(law)} terms offered; leaves {left:.2g} of a frame's change one frame ahead; solved by order "
        f"{law.order} in {law.num_steps} step{'s' if law.num_steps > 1 else ''} a frame"
    )


def _offered(law: SpectralLaw) -> int:
    """Return how many terms there were; those of a forcing count where the data show one."""
    forcing = [bool(kept) for term, kept in zip(law.terms, law.kept, strict=True) if is_forcing(term)]
    return len(law.terms) - (0 if any(forcing) else len(forcing))


def _part(term: Term, coefficients: Tensor, fields: Fields, normalizer: Normalizer, moves: bool) -> str:
    """Return a sign, the coefficient in physical units and the term."""
    std = normalizer.std.double().cpu()
    factor = _fields_in(term.factor)
    unit = (
        std[term.field] / (fields.dt * torch.stack([std.new_ones(()), *(std[i] for i in factor)]).prod())
    ).item()
    constant, *slopes = _in_the_parameters(coefficients * unit, normalizer)
    sizes = [f"{slope:+.4g} {name}" for slope, name in zip(slopes, fields.params, strict=True) if slope]
    if not sizes:
        sign, number = ("-" if constant < 0 else "+"), f"{abs(constant):.4g}"
    else:
        sign, number = "+", f"({' '.join([f'{constant:.4g}', *sizes] if constant else sizes)})"
    return f"{sign} {number} {_word(term, fields, moves)}".rstrip()


def _fields_in(factor: Factor) -> Factor:
    """Return the fields whose units a factor has, each as often as it has them."""
    if factor == SQUARED_GRADIENT:
        return (0, 0)
    return {CARRIED: factor[1:], WAVE: ()}.get(factor[0], factor) if factor else ()


def _wave(factor: Factor, fields: Fields) -> str:
    """Return what a forcing wave is, in the coordinates of the grid."""
    _, is_sine, *numbers = factor
    pairs = [(number, axis) for number, axis in zip(numbers, fields.grid.axes, strict=True) if number]
    phase = " + ".join(
        f"{2 * number / axis.extent:g} {axis.name}" for number, axis in pairs if axis.is_periodic
    )
    walled = [
        f"cos({number / axis.extent:g} pi ({axis.name} - {axis.origin:g}))"
        for number, axis in pairs
        if not axis.is_periodic
    ]
    running = [f"{'sin' if is_sine else 'cos'}(pi ({phase}))"] if phase else []
    return " ".join(running + walled).replace("+ -", "- ")


def _in_the_parameters(coefficients: Tensor, normalizer: Normalizer) -> list[float]:
    """Return a constant and a slope for each parameter in its own unit, from those in the normalized ones."""
    constant, slopes = coefficients[0].item(), []
    size = sum(abs(each) for each in coefficients.tolist())
    for index, value in enumerate(coefficients[1:].tolist()):
        mean, gain = normalizer.param_mean[index].item(), normalizer.param_gain[index].item()
        if normalizer.param_is_log[index]:
            slopes.append(value / torch.tensor(mean).double().exp().item())
        else:
            slopes.append(value * gain)
            constant -= value * gain * mean
    return [0.0 if abs(constant) < NOTHING * size and any(slopes) else constant, *slopes]


def _word(term: Term, fields: Fields, moves: bool) -> str:
    axes = [axis.name for axis in fields.grid.axes]
    if term.factor == SQUARED_GRADIENT:
        name = f"|grad {fields.names[0]}|^2"
    elif term.factor[:1] == (CARRIED,):
        name = f"(c . grad) {fields.names[term.factor[2]]} [curl c = {fields.names[term.factor[1]]}]"
    elif term.factor[:1] == (WAVE,):
        name = _wave(term.factor, fields)
    else:
        powers = {fields.names[i]: term.factor.count(i) for i in term.factor}
        name = " ".join(f"{field}^{power}" if power > 1 else field for field, power in powers.items())
    if term.derivative == "mean":
        return f"mean({name})"
    if term.derivative == "1":
        has_mean = term.factor[:1] not in ((CARRIED,), (WAVE,))
        return f"({name} - mean)" if has_mean and not moves else name
    name = name if name.isidentifier() else f"({name})"
    if term.derivative.endswith("laplacian"):
        order = 4 if term.derivative.startswith("bi") else 2
        return f"{name}_{order * axes[0]}" if len(axes) == 1 else f"lap{'^2' if order == 4 else ''} {name}"
    return f"{name}_{term.derivative.count('d') * axes[int(term.derivative.strip('d'))]}"
