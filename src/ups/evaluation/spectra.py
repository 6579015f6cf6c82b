"""Energy spectra over shells of equal wavenumber; their sum is the mean square of the field (Parseval)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def power_spectrum(
    values: Float[Tensor, "batch time field *space"], walls: Sequence[bool] = ()
) -> Float[Tensor, "batch time field wavenumber"]:
    """Return the mean square of each field split over wavenumbers 0, 1, 2, ... (cycles per domain), in float64.

    P(k) = sum over modes n with round(|n|) = k of |FFT(u)_n|^2 / N^2, so that sum_k P(k) = mean_x u^2. In one
    dimension k = 1 .. N/2 - 1 collects the modes k and -k. In more dimensions n counts cycles along each axis,
    whatever the extents, and the corners beyond N/2 have shells of their own.

    An axis that `walls` says ends is taken with its mirror image, on which the field goes on without a jump: its
    modes are half cycles, and half a cycle counts to the next whole one.
    """
    values = values.double()
    walls = walls or (False,) * (values.ndim - 3)
    for place, is_walled in enumerate(walls, start=3):
        values = torch.cat([values, values.flip(place)], place) if is_walled else values
    transform = torch.fft.fftn(values, dim=tuple(range(3, values.ndim)), norm="forward")
    return _gather(transform.abs().square().flatten(3), _shells(values.shape[3:], walls).to(values.device))


def octaves(
    spectrum: Float[Tensor, "batch time field wavenumber"],
) -> Float[Tensor, "batch time field octave"]:
    """Return the energy in the octaves k = 1, 2..3, 4..7, 8..15, ...

    The mean of the field (k = 0) and the last shell (the Nyquist wavenumber, half a mode) are left out.
    """
    wavenumber = torch.arange(1, spectrum.shape[-1] - 1, device=spectrum.device)
    return _gather(spectrum[..., 1:-1], wavenumber.double().log2().floor().long())


def _shells(space: Sequence[int], walls: Sequence[bool]) -> Int[Tensor, "mode"]:
    axes = [
        torch.fft.fftfreq(num_cells, (2.0 if is_walled else 1.0) / num_cells, dtype=torch.float64)
        for num_cells, is_walled in zip(space, walls, strict=True)
    ]
    return (torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0) + 0.5).floor().long().flatten()


def _gather(
    power: Float[Tensor, "batch time field mode"], shell: Int[Tensor, "mode"]
) -> Float[Tensor, "batch time field shell"]:
    total = power.new_zeros(*power.shape[:-1], int(shell.max()) + 1)
    return total.index_add_(-1, shell, power)
