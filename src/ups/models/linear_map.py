"""The best linear forecast: for each wave the matrix that least squares find between a frame and the next."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn

from ups.solvers.modes import Modes

PART = 64
"""Pairs of frames that are transformed at a time."""

LEAST_POWER = 1e-10
"""Power of a wave, in parts of that of all, from which on it is fitted; one that is weaker stays as it is."""

CLEARLY = 0.5
"""Factor by which a forcing that is fixed in space has to leave less to be taken."""


Found = tuple[Complex[Tensor, "*mode field column"], Complex[Tensor, "*mode field"]]
"""Matrix and offset of every wave."""


class LinearMap(nn.Module):
    """w'_k = w_k + A_k (w_k, params w_k) + b_k for the waves w_k of all fields together; the identity until fitted.

    A forcing that is fixed in space, b_k beyond the mean, is there only where it explains the frames clearly better.
    The mean of a field that never moves stays as it is. Known as dynamic mode decomposition of translation-invariant
    data; a law of linear terms with any symbol is one of these.
    """

    matrix: Tensor
    offset: Tensor

    def __init__(self, modes: Modes, num_fields: int, num_params: int) -> None:
        super().__init__()
        self.modes, self.num_fields = modes, num_fields
        columns = num_fields * (1 + num_params)
        self.register_buffer("matrix", torch.zeros(*modes.mode_shape, num_fields, columns, 2))
        self.register_buffer("offset", torch.zeros(*modes.mode_shape, num_fields, 2))

    def forward(
        self, frame: Float[Tensor, "batch field *grid"], params: Float[Tensor, "batch param"]
    ) -> Float[Tensor, "batch field *grid"]:
        """Return the frame one frame later."""
        change = self._change(self._seen(frame, params), self.matrix, self.offset)
        return frame + self.modes.back(change.movedim(-1, 1))

    @torch.no_grad()
    def fit(
        self,
        before: Float[Tensor, "pair field *grid"],
        after: Float[Tensor, "pair field *grid"],
        params: Float[Tensor, "pair param"],
        moves: Bool[Tensor, " field"],
    ) -> None:
        """Take what ridge regression about the identity finds in pairs of frames; `moves` says whose mean does.

        One half of the pairs is fitted to and the other chooses, with or without a forcing; then all are fitted to.
        """
        half = len(before) // 2
        first, rest = (slice(None, half), slice(half, None))
        errors = [
            self._error(found, before[rest], after[rest], params[rest])
            for found in self._solved(self._moments(before[first], after[first], params[first]), moves)
        ]
        both = self._solved(self._moments(before, after, params), moves)
        matrix, offset = both[errors[1] < CLEARLY * errors[0]]
        self.matrix.copy_(torch.view_as_real(matrix))
        self.offset.copy_(torch.view_as_real(offset))

    def _moments(self, before: Tensor, after: Tensor, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the second moments of what is seen and 1, those with the change, and the power of all waves."""
        modes, columns = self.matrix.shape[:-3], self.matrix.shape[-2] + 1
        gram = torch.zeros(*modes, columns, columns, dtype=torch.complex128, device=before.device)
        cross = torch.zeros(*modes, self.num_fields, columns, dtype=torch.complex128, device=before.device)
        for x, y, p in zip(before.split(PART), after.split(PART), params.split(PART), strict=True):
            seen = self._seen(x.double(), p.double())
            seen = torch.cat([seen, torch.ones_like(seen[..., :1])], -1)
            gram += torch.einsum("b...i,b...j->...ij", seen, seen.conj())
            cross += torch.einsum("b...f,b...j->...fj", self._waves((y - x).double()), seen.conj())
        power = gram.diagonal(dim1=-2, dim2=-1)[..., : self.num_fields].real.sum()
        return gram, cross, power

    def _solved(
        self, moments: tuple[Tensor, Tensor, Tensor], moves: Bool[Tensor, " field"]
    ) -> tuple[Found, Found]:
        """Return matrices and offsets without and with a forcing that is fixed in space."""
        gram, cross, power = moments
        mean = (0,) * (gram.ndim - 2)
        ridge = LEAST_POWER * power * torch.eye(gram.shape[-1]).to(gram)
        forced = torch.linalg.solve((gram + ridge).mT, cross.mT).mT
        plain = torch.zeros_like(forced)
        plain[..., :-1] = torch.linalg.solve((gram + ridge)[..., :-1, :-1].mT, cross[..., :-1].mT).mT
        plain[mean] = forced[mean]  # the mean has no place
        for found in (plain, forced):
            found[(*mean, ~moves)] = 0
        return (plain[..., :-1], plain[..., -1]), (forced[..., :-1], forced[..., -1])

    def _error(self, found: Found, before: Tensor, after: Tensor, params: Tensor) -> float:
        total = 0.0
        for x, y, p in zip(before.split(PART), after.split(PART), params.split(PART), strict=True):
            seen, change = self._seen(x.double(), p.double()), self._waves((y - x).double())
            made = self._change(seen, *(torch.view_as_real(part) for part in found))
            total += (made - change).abs().square().sum().item()
        return total**0.5

    def _change(
        self, seen: Complex[Tensor, "batch *mode column"], matrix: Tensor, offset: Tensor
    ) -> Complex[Tensor, "batch *mode field"]:
        matrix, offset = (torch.view_as_complex(part).to(seen.dtype) for part in (matrix, offset))
        return torch.einsum("...fj,b...j->b...f", matrix, seen) + offset

    def _seen(self, frame: Tensor, params: Tensor) -> Complex[Tensor, "batch *mode column"]:
        """Return the waves of all fields, and these times each parameter."""
        waves = self._waves(frame)
        across = params[(slice(None), *(None,) * len(self.modes.mode_shape), None, slice(None))]
        return torch.cat([waves, (waves[..., None] * across).flatten(-2)], -1)

    def _waves(self, frame: Tensor) -> Complex[Tensor, "batch *mode field"]:
        return self.modes.forth(frame).movedim(1, -1)
