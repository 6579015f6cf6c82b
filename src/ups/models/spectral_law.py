"""A law as a table: each product of the fields, through each derivative, into each field's rate of change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn

from ups.models.law_terms import (
    CARRIED,
    MAX_DEGREE,
    SQUARED_GRADIENT,
    WAVE,
    Factor,
    Term,
    symbols,
    wave_frame,
)
from ups.solvers.modes import Modes
from ups.solvers.split import Split

NUM_POWERS = 16
"""Of a series in the unit circle, to the last digit."""


class Tables(NamedTuple):
    """What a step multiplies by: functions of the linear part, and the symbol of each factor in each field."""

    full: Tensor
    half: Tensor
    weights: tuple[Tensor, ...]
    products: dict[Factor, dict[int, Tensor]]


class SpectralLaw(nn.Module):
    """One frame of dw_f/dt = sum over terms of coefficient x derivative(factor), in waves.

    By an exponential integrator of order 2 or 4 in some steps: each field's own linear terms are exact. Products are
    dealiased, or, where the law is `aliased`, those of the cells; where it is `on_cells`, derivatives are differences
    between neighbouring cells, as in data of such a scheme. A coefficient is affine in the parameters; time is measured
    in frames. Waves beyond those of the data must not grow faster than the fastest of theirs: what no data show is not
    to blow up. Where a mean never `moves` in the data, terms act on what differs from their mean.

    Source: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, eqs. 20-22 and 26-29.
    """

    coefficients: Tensor
    kept: Tensor
    moves: Tensor
    band: Tensor
    scheme: Tensor
    on_cells: Tensor
    aliased: Tensor
    symbols: Tensor
    cut_off: Tensor

    def __init__(self, modes: Modes, terms: Sequence[Term], num_fields: int, num_params: int) -> None:
        super().__init__()
        self.modes, self.terms, self.num_fields = modes, tuple(terms), num_fields
        self.register_buffer("scheme", torch.tensor([2, 1]))
        self.register_buffer("on_cells", torch.tensor(False))
        self.register_buffer("aliased", torch.tensor(False))
        self.register_buffer(
            "coefficients", torch.zeros(len(self.terms), 1 + num_params, dtype=torch.float64)
        )
        self.register_buffer("moves", torch.ones(num_fields, dtype=torch.bool))
        self.register_buffer("kept", torch.zeros(len(self.terms), dtype=torch.bool))
        self.register_buffer("band", torch.ones(num_fields, *modes.mode_shape, dtype=torch.bool))
        both = [symbols(modes), symbols(modes, on_cells=True)]
        self._place = {name: place for place, name in enumerate(both[0])}
        # what follows from the grid is not saved; as buffers they move with the module
        found = torch.stack([torch.stack(list(each.values())) for each in both])
        self.register_buffer("symbols", found, persistent=False)
        cut_off = torch.stack([modes.kept(degree) for degree in range(2, MAX_DEGREE + 1)])
        cut_off = torch.stack([cut_off, torch.ones_like(cut_off)])
        self.register_buffer("cut_off", cut_off, persistent=False)
        self.work = 0.0
        """What a search for it has taken; see `law_search.MOST_WORK`."""
        self._prepared: tuple[tuple, Tables] | None = None
        self._waves: dict[tuple, Tensor] = {}

    @property
    def order(self) -> int:
        """Order of the integrator."""
        return int(self.scheme[0])

    @property
    def num_steps(self) -> int:
        """Steps of the integrator a frame."""
        return int(self.scheme[1])

    def forward(
        self, w: Float[Tensor, "batch field *grid"], params: Float[Tensor, "batch param"]
    ) -> Float[Tensor, "batch field *grid"]:
        """Return the fields one frame later, in the precision of `w`."""
        if params.shape[1]:
            return self.step(w, params, self.coefficients)
        parts = (self.coefficients, self.kept, self.scheme, self.on_cells, self.aliased)
        key = (*(part._version for part in parts), w.dtype, w.device)
        if self._prepared is None or self._prepared[0] != key:
            with torch.no_grad():
                self._prepared = key, self._tables(params, self.coefficients, w.dtype)
        return self._advance(w, self._prepared[1])

    def step(
        self,
        w: Float[Tensor, "batch field *grid"],
        params: Float[Tensor, "batch param"],
        coefficients: Float[Tensor, "term number"],
    ) -> Float[Tensor, "batch field *grid"]:
        """Return the fields one frame later under these coefficients, differentiably."""
        return self._advance(w, self._tables(params, coefficients, w.dtype))

    def split(self, params: Float[Tensor, "batch param"]) -> Split:
        """Return the law as a linear part and the rest, of frames [batch field *grid], in frames of time."""
        affine = torch.cat([params.new_ones(len(params), 1), params], 1).to(self.coefficients)
        linear, products = self._symbols_of(affine @ self.coefficients.T)
        return Split(self.modes, linear, lambda u: self._rate(products, u))

    def rates(self, w: Float[Tensor, "batch field *grid"]) -> list[Float[Tensor, "batch *grid"]]:
        """Return what each term alone, with a coefficient of 1, adds to the rate of its field."""
        u = self.modes.forth(w)
        factors = {factor: self._factor(factor, u) for factor in {term.factor for term in self.terms}}
        found = []
        for term in self.terms:
            symbol = self._symbol(term.derivative)
            if not self.moves[term.field]:
                symbol = symbol * (1 - self._symbol("mean"))
            found.append(self.modes.back(symbol * factors[term.factor]))
        return found

    def _advance(
        self, w: Float[Tensor, "batch field *grid"], tables: Tables
    ) -> Float[Tensor, "batch field *grid"]:
        u = self.modes.forth(w)
        for _ in range(self.num_steps):
            if not tables.products:
                u = tables.full * u
            elif self.order == 2:
                stage, last = tables.weights
                n_u = self._rate(tables.products, u)
                a = tables.full * u + stage * n_u
                u = a + last * (self._rate(tables.products, a) - n_u)
            else:
                half, (stage, first, inner, last) = tables.half, tables.weights
                n_u = self._rate(tables.products, u)
                a = half * u + stage * n_u
                n_a = self._rate(tables.products, a)
                b = half * u + stage * n_a
                n_b = self._rate(tables.products, b)
                c = half * a + stage * (2 * n_b - n_u)
                n_c = self._rate(tables.products, c)
                u = tables.full * u + first * n_u + inner * (n_a + n_b) + last * n_c
        return self.modes.back(u)

    def _tables(
        self,
        params: Float[Tensor, "batch param"],
        coefficients: Float[Tensor, "term number"],
        dtype: torch.dtype,
    ) -> Tables:
        """Return what a step multiplies by; one row for all where there are no parameters."""
        if params.shape[1]:
            distinct, row = params.unique(dim=0, return_inverse=True)
        else:
            distinct, row = params[:1], params.new_zeros(1, dtype=torch.long)
        affine = torch.cat([distinct.new_ones(len(distinct), 1), distinct], 1).to(coefficients)
        linear, products = self._symbols_of(affine @ coefficients.T)
        h, kind = 1 / self.num_steps, _complex(dtype)
        weights = etdrk2(h * linear) if self.order == 2 else etdrk4(h * linear)
        scaled = tuple((h * weight).to(kind)[row] for weight in weights)
        halved = (h * linear / 2).exp().to(kind)[row]
        return Tables(
            (h * linear).exp().to(kind)[row],
            halved,
            scaled,
            {
                factor: {field: symbol.to(kind)[row] for field, symbol in into.items()}
                for factor, into in products.items()
            },
        )

    def _symbols_of(
        self, values: Float[Tensor, "row term"]
    ) -> tuple[Complex[Tensor, "row field *mode"], dict[Factor, dict[int, Tensor]]]:
        """Return the symbol of each field's own linear terms, and of each other factor into each field."""
        own: dict[int, Tensor] = {}
        others: dict[Factor, dict[int, Tensor]] = {}
        shape = (-1, *(1,) * len(self.modes.mode_shape))
        for index, (term, value) in enumerate(zip(self.terms, values.unbind(1), strict=True)):
            if not self.kept[index]:
                continue
            symbol = self._symbol(term.derivative)
            if not self.moves[term.field]:
                symbol = symbol * (1 - self._symbol("mean"))  # all waves but the constant one
            part = value.reshape(shape) * symbol
            into = own if term.factor == (term.field,) else others.setdefault(term.factor, {})
            into[term.field] = into[term.field] + part if term.field in into else part
        nothing = torch.zeros(
            len(values), *self.modes.mode_shape, dtype=torch.complex128, device=values.device
        )
        linear = torch.stack([own.get(field, nothing) for field in range(self.num_fields)], 1)
        largest = torch.where(self.band, linear.real.detach(), 0.0).flatten(2).amax(2)
        largest = largest.clamp(min=0)[(..., *(None,) * len(self.modes.mode_shape))]
        linear = torch.complex(
            torch.where(self.band, linear.real, torch.minimum(linear.real, largest)), linear.imag
        )
        return linear, others

    def _rate(
        self, products: dict[Factor, dict[int, Tensor]], u: Complex[Tensor, "batch field *mode"]
    ) -> Complex[Tensor, "batch field *mode"]:
        total = [torch.zeros_like(u[:, 0]) for _ in range(self.num_fields)]
        for factor, into in products.items():
            made = self._factor(factor, u)
            for field, symbol in into.items():
                total[field] = total[field] + symbol * made
        return torch.stack(total, 1)

    def _factor(
        self, factor: Factor, u: Complex[Tensor, "batch field *mode"]
    ) -> Complex[Tensor, "batch *mode"]:
        if factor == ():
            one = torch.zeros_like(u[:, 0])
            one[(slice(None), *(0,) * len(self.modes.mode_shape))] = math.prod(self.modes.shape)
            return one
        if factor == SQUARED_GRADIENT:
            kept = self._kept(2)
            slopes = [
                self.modes.back_whole(self._symbol(f"d{place}").to(u.dtype) * u[:, 0] * kept)
                for place in range(len(self.modes.shape))
            ]
            return self.modes.forth_whole(sum((slope**2 for slope in slopes[1:]), slopes[0] ** 2)) * kept
        if factor[0] == CARRIED:
            return self._carried(u[:, factor[1]], u[:, factor[2]])
        if factor[0] == WAVE:
            return self._wave(factor, u.dtype, u.device).expand_as(u[:, 0])
        if len(factor) == 1:
            return u[:, factor[0]]
        kept = self._kept(len(factor))
        values = {field: self.modes.back_whole(u[:, field] * kept) for field in sorted(set(factor))}
        product = reduce(torch.mul, [values[field] for field in factor])
        return self.modes.forth_whole(product) * kept

    def _carried(
        self, vorticity: Complex[Tensor, "batch *mode"], field: Complex[Tensor, "batch *mode"]
    ) -> Complex[Tensor, "batch *mode"]:
        """Return (c . grad) field = div (c field) for c = (psi_y, -psi_x), -lap psi = vorticity."""
        kept, (d_x, d_y) = self._kept(2), (self._symbol(name).to(field.dtype) for name in ("d0", "d1"))
        laplacian = self._symbol("laplacian").to(field.dtype)
        stream = torch.where(laplacian == 0, 0, -vorticity / torch.where(laplacian == 0, 1, laplacian)) * kept
        values = self.modes.back_whole(field * kept)
        flux_x = self.modes.forth_whole(self.modes.back_whole(d_y * stream) * values)
        flux_y = self.modes.forth_whole(self.modes.back_whole(d_x * stream) * values)
        return (d_x * flux_x - d_y * flux_y) * kept

    def _wave(self, factor: Factor, dtype: torch.dtype, device: torch.device) -> Complex[Tensor, "*mode"]:
        key = factor, dtype, device
        if key not in self._waves:
            self._waves[key] = self.modes.forth(wave_frame(factor, self.modes.grid)).to(device, dtype)
        return self._waves[key]

    def _symbol(self, derivative: str) -> Complex[Tensor, "*mode"]:
        waves, cells = self.symbols[:, self._place[derivative]]
        return torch.where(self.on_cells, cells, waves)

    def _kept(self, degree: int) -> Bool[Tensor, "*mode"]:
        """Return the modes that a product of that degree is made of and cut off to."""
        dealiased, whole = self.cut_off[:, degree - 2]
        return torch.where(self.aliased, whole, dealiased)


def etdrk2(z: Complex[Tensor, "*shape"]) -> tuple[Tensor, ...]:
    """Return the functions of ETDRK2 at z = h L: of the stage, and of its correction."""
    return phi(z)[:2]


def etdrk4(z: Complex[Tensor, "*shape"]) -> tuple[Tensor, ...]:
    """Return the functions of ETDRK4 at z = h L: of the stages, and of the first, the inner and the last rate."""
    one, two, three = phi(z)
    return phi(z / 2)[0] / 2, one - 3 * two + 4 * three, 2 * two - 4 * three, 4 * three - two


def phi(z: Complex[Tensor, "*shape"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return phi_1 = (e^z - 1) / z, phi_2 = (phi_1 - 1) / z and phi_3 = (phi_2 - 1/2) / z, differentiably.

    Within the unit circle, where the quotients lose their digits, by the series sum_j z^j / (j + k)!.
    """
    is_small = z.abs() < 1
    small, large = torch.where(is_small, z, 0), torch.where(is_small, 1, z)
    found, quotient = [], large.exp()
    for k in (1, 2, 3):
        series = torch.zeros_like(small)
        for j in reversed(range(NUM_POWERS)):
            series = series * small + 1 / math.factorial(j + k)
        quotient = (quotient - 1 / math.factorial(k - 1)) / large
        found.append(torch.where(is_small, series, quotient))
    return found[0], found[1], found[2]


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex64 if dtype == torch.float32 else torch.complex128
