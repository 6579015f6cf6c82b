"""An equation as two parts, u_t = L u + N(u): what is linear as a symbol, the rest as a map of spectra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ups.solvers.modes import Frame, Modes, Spectrum
from ups.types import Grid


@dataclass(frozen=True)
class Split:
    """u_t = L u + N(u) at the modes of a grid; `symbol` is L, one for all rows or one for each."""

    modes: Modes
    symbol: Tensor
    nonlinear: Callable[[Spectrum], Spectrum] = torch.zeros_like

    def rate(self, frame: Frame) -> Frame:
        """Return u_t."""
        spectrum = self.modes.forth(frame)
        return self.modes.back(self.symbol * spectrum + self.nonlinear(spectrum))


@runtime_checkable
class Splits(Protocol):
    """An equation that says what it is made of, and not only where it leads."""

    def split(self, grid: Grid) -> Split:
        """Return the parts of u_t on a grid."""
        ...
