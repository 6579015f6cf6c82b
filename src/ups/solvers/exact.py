"""Exact solutions on a periodic domain: the judges of the solvers.

Values are cell averages on equal cells, in float64.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ups.solvers.resampling import antiderivative

_CHUNK = 2**21  # numbers held at once by the quadrature: 16 MB


def burgers(
    initial: Float[Tensor, "batch cell"],
    times: Float[Tensor, "time"],
    nu: float | Float[Tensor, "batch"],
    extent: float,
    refine: int = 4,
) -> Float[Tensor, "batch time cell"]:
    r"""Return the cell averages of the solution of u_t + (u^2/2)_x = (nu/pi) u_xx.

    Cole and Hopf: with kappa = nu/pi, w = u - mean(u) in the frame that moves with the mean, and the potential
    Phi_x = w(x, 0), the solution is w = -2 kappa (log theta)_x with
    theta(x, t) = \int exp(-Phi(y) / (2 kappa) - (x - y)^2 / (4 kappa t)) dy.
    The integral is a trapezoidal sum in the log domain over `refine` nodes a cell, so that no nu underflows; the
    potential is exact at the cell edges and cubic between them; a cell average is a difference of log theta.
    The sum may leave out |x - y| > sqrt(2 t (max Phi - min Phi + 90 kappa)), which holds less than e^-45 of it.

    The nodes must resolve the integrand: refine >> extent / (num_cells sqrt(kappa t)). Times are from `initial` on.
    Source: Hopf, Comm. Pure Appl. Math. 3 (1950) 201; Cole, Quart. Appl. Math. 9 (1951) 225.
    """
    initial = initial.double()
    batch, num_cells = initial.shape
    kappa = (torch.as_tensor(nu, dtype=torch.float64) / math.pi).expand(batch)
    mean = initial.mean(1)
    nodes = torch.arange(num_cells * refine, dtype=torch.float64) / refine
    potential = antiderivative(initial - mean[:, None], nodes) * (extent / num_cells)
    height = potential.amax(1) - potential.amin(1)
    frames = []
    for time in times.tolist():
        if time == 0:
            frames.append(initial)
            continue
        reach = (2 * time * (height + 90 * kappa)).sqrt().max().item()
        log_theta = _log_theta(potential, kappa, mean * time, time, extent, refine, reach)
        gradient = torch.diff(log_theta, append=log_theta[:, :1]) * (num_cells / extent)
        frames.append(mean[:, None] - 2 * kappa[:, None] * gradient)
    return torch.stack(frames, 1)


def _log_theta(
    potential: Float[Tensor, "batch node"],
    kappa: Float[Tensor, "batch"],
    shift: Float[Tensor, "batch"],
    time: float,
    extent: float,
    refine: int,
    reach: float,
) -> Float[Tensor, "batch cell"]:
    """Return log theta, up to a constant, at the left cell edges x - shift."""
    num_nodes = potential.shape[1]
    h = extent / num_nodes
    half = math.ceil(reach / h) + 1
    # x - shift lies `rest` right of a node that is `whole` nodes left of x's own
    whole = torch.ceil(shift / h)
    rest = (whole * h - shift)[:, None]
    offset = torch.arange(-half, half + 1)
    node = (torch.arange(num_nodes + 2 * half) - half - whole.long()[:, None]) % num_nodes
    exponent = (-potential / (2 * kappa[:, None])).gather(1, node).unfold(1, 2 * half + 1, refine)
    gauss = -((offset * h - rest) ** 2) / (4 * kappa[:, None] * time)
    size = max(1, _CHUNK // (len(potential) * len(offset)))
    return torch.cat([(part + gauss[:, None]).logsumexp(2) for part in exponent.split(size, 1)], 1)


def advection(
    initial: Float[Tensor, "batch cell"],
    times: Float[Tensor, "time"],
    speed: float | Float[Tensor, "batch"],
    extent: float,
) -> Float[Tensor, "batch time cell"]:
    """Return the solution u(x - speed t) of u_t + speed u_x = 0, exact for data below the Nyquist mode."""
    speed = torch.as_tensor(speed, dtype=torch.float64)
    return _linear(initial, times, -1j * speed[..., None] * _wavenumbers(initial.shape[1], extent))


def heat(
    initial: Float[Tensor, "batch cell"],
    times: Float[Tensor, "time"],
    nu: float | Float[Tensor, "batch"],
    extent: float,
) -> Float[Tensor, "batch time cell"]:
    """Return the solution of u_t = nu u_xx: mode k decays as exp(-nu k^2 t)."""
    nu = torch.as_tensor(nu, dtype=torch.float64)
    return _linear(initial, times, -nu[..., None] * _wavenumbers(initial.shape[1], extent) ** 2)


def _wavenumbers(num_cells: int, extent: float) -> Float[Tensor, "mode"]:
    return 2 * math.pi / extent * torch.arange(num_cells // 2 + 1, dtype=torch.float64)


def _linear(initial: Tensor, times: Tensor, growth: Tensor) -> Tensor:
    factor = torch.exp(growth[..., None, :] * times.double()[:, None])
    return torch.fft.irfft(torch.fft.rfft(initial.double())[:, None] * factor, n=initial.shape[1])
