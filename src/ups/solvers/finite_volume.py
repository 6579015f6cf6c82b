"""Second-order finite volumes (MUSCL-Hancock) for a conservation law with diffusion, w_t + (w^2/2)_x = kappa w_xx.

Every law with a quadratic flux f is this one for w = f'(u). Values are cell averages on a periodic domain.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_CFL = 0.9  # of a cell, at most, is crossed in one step
_DIFFUSION = 0.25  # bound on kappa dt / dx^2; positive up to 1/2, but within shocks the error grows with it
_FOURIER_COST = 3  # an advective step with exact diffusion costs about as much as three explicit steps
_ROWS = 32  # trajectories advanced together: many enough to hide the calls' cost, few enough for the L2 cache


class FiniteVolume:
    """Advances cell averages by `duration`: MUSCL with the MC limiter, Hancock's predictor, Godunov's exact flux.

    Each trajectory is followed in a frame that moves by a whole number of cells in `duration`, at about the
    middle of its values (an exact Galilean shift). That halves the largest speed of a trajectory with an offset,
    hence its number of steps, and keeps its shocks nearly still, hence sharp. Each takes its own number of equal
    steps, so a result does not depend on what else is in the batch. Diffusion is explicit within the step where
    that is cheaper, otherwise exact in Fourier space (Strang splitting).

    Sources: van Leer, J. Comput. Phys. 32 (1979) 101 and 23 (1977) 276 (the limiter); Toro, Riemann Solvers and
    Numerical Methods for Fluid Dynamics, chapters 14 (Hancock) and 5 (Godunov).
    """

    def __init__(
        self, kappa: float | Float[Tensor, "batch"], duration: float, num_cells: int, extent: float
    ) -> None:
        self.kappa = torch.as_tensor(kappa, dtype=torch.float64)
        self.duration = duration
        self.dx = extent / num_cells
        self._buffers = tuple(torch.empty(_ROWS, num_cells + 3, dtype=torch.float64) for _ in range(8))

    def __call__(self, averages: Float[Tensor, "batch cell"]) -> Float[Tensor, "batch cell"]:
        """Return the averages `duration` later."""
        batch, num_cells = averages.shape
        kappa = self.kappa.expand(batch)
        high, low = averages.amax(1), averages.amin(1)
        cells_crossed = torch.round((high + low) / 2 * self.duration / self.dx)
        frame_speed = cells_crossed * self.dx / self.duration
        moving = averages - frame_speed[:, None]

        # The largest speed never grows (maximum principle), so the steps can be counted in advance.
        speed = torch.maximum(high - frame_speed, frame_speed - low)
        advective = (speed * self.duration / (_CFL * self.dx)).ceil().clamp(min=1)
        diffusive = (kappa * self.duration / (_DIFFUSION * self.dx**2)).ceil()
        is_explicit = diffusive <= _FOURIER_COST * advective
        num_steps = torch.where(is_explicit, torch.maximum(advective, diffusive), advective)

        result = torch.empty_like(moving)
        order = num_steps.argsort(descending=True)
        for advance, rows in (
            (self._explicit, order[is_explicit[order]]),
            (self._split, order[~is_explicit[order]]),
        ):
            for start in range(0, len(rows), _ROWS):
                part = rows[start : start + _ROWS]
                result[part] = advance(moving[part], kappa[part], num_steps[part])
        source = (torch.arange(num_cells) - cells_crossed.long()[:, None]) % num_cells
        return (result + frame_speed[:, None]).gather(1, source)

    def _explicit(self, w: Tensor, kappa: Tensor, num_steps: Tensor) -> Tensor:
        """Advance rows that are sorted by falling number of steps; the last rows finish first."""
        padded = torch.cat([w[:, -2:], w, w[:, :2]], 1)
        ratio = (self.duration / self.dx / num_steps)[:, None]
        diffusion = kappa[:, None] * ratio / self.dx
        done = 0
        for level in num_steps.unique().long().tolist():
            active = int((num_steps >= level).sum())
            self._march(padded[:active], ratio[:active], diffusion[:active], level - done)
            done = level
        return padded[:, 2:-2]

    def _split(self, w: Tensor, kappa: Tensor, num_steps: Tensor) -> Tensor:
        """Advance rows by Strang splitting, with the same order of rows."""
        ratio = (self.duration / self.dx / num_steps)[:, None]
        wavenumbers = 2 * math.pi * torch.fft.rfftfreq(w.shape[1], self.dx, dtype=torch.float64)
        half_step = torch.exp(-(kappa * self.duration / (2 * num_steps))[:, None] * wavenumbers**2)
        w = w.clone()
        for step in range(int(num_steps.amax())):
            active = int((num_steps > step).sum())
            smooth = torch.fft.irfft(torch.fft.rfft(w[:active]) * half_step[:active], n=w.shape[1])
            padded = torch.cat([smooth[:, -2:], smooth, smooth[:, :2]], 1)
            self._march(padded, ratio[:active], None, 1)
            w[:active] = torch.fft.irfft(torch.fft.rfft(padded[:, 2:-2]) * half_step[:active], n=w.shape[1])
        return w

    def _march(self, w: Tensor, ratio: Tensor, diffusion: Tensor | None, num_steps: int) -> None:
        """Take steps in place; `w` carries two ghost cells on each side.

        `ratio` is dt / dx and `diffusion` kappa dt / dx^2, one number a row. Written with preallocated outputs:
        a step is some twenty passes over data in cache, and any allocation would show.
        """
        num_cells = w.shape[1] - 4
        widths = (3, 2, 2, 2, 2, 1, 1, 1)
        jump, low, high, slope, middle, left, right, flux = (
            buffer[: len(w), : num_cells + width] for buffer, width in zip(self._buffers, widths, strict=True)
        )
        behind, ahead = jump[:, :-1], jump[:, 1:]
        near, inner = w[:, 1:-1], w[:, 2:-2]
        minus_ratio, half_ratio = -ratio, ratio / 2
        for _ in range(num_steps):
            torch.sub(w[:, 1:], w[:, :-1], out=jump)
            # half of the MC slope: the central one, bounded by both neighbors, zero at an extremum
            torch.minimum(behind, ahead, out=low).clamp_(min=0)
            torch.maximum(behind, ahead, out=high).clamp_(max=0)
            torch.add(behind, ahead, out=slope).mul_(0.25)
            torch.clamp(slope, high, low, out=slope)
            # cell means half a step later: w - (dt/2) (w w_x - kappa w_xx)
            torch.mul(slope, minus_ratio, out=low)
            torch.addcmul(near, low, near, out=middle)
            if diffusion is not None:
                torch.sub(ahead, behind, out=high)
                middle.addcmul_(high, diffusion, value=0.5)
            # Godunov's flux of w^2/2 is max(left, -right, 0)^2 / 2, with the states on both sides of a face
            torch.add(middle[:, :-1], slope[:, :-1], out=left)
            torch.sub(slope[:, 1:], middle[:, 1:], out=right)
            torch.maximum(left, right, out=flux).clamp_(min=0)
            flux.mul_(flux).mul_(half_ratio)
            if diffusion is not None:
                torch.sub(middle[:, 1:], middle[:, :-1], out=left)
                flux.addcmul_(left, diffusion, value=-1)
            inner.sub_(flux[:, 1:]).add_(flux[:, :-1])
            w[:, :2] = w[:, -4:-2]
            w[:, -2:] = w[:, 2:4]
