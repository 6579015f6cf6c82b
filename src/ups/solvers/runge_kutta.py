"""The classical Runge-Kutta scheme."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ups.solvers.modes import Frame

ROWS = 1
"""Trajectories advanced together: what a step reads and writes stays in the cache."""


class RungeKutta4:
    """Advances u_t = rate(u) by `duration` in equal steps of at most `max_step`; fourth order."""

    def __init__(self, rate: Callable[[Frame], Frame], duration: float, max_step: float) -> None:
        self.rate = rate
        self.num_steps = math.ceil(duration / max_step * (1 - 1e-12))
        self.step = duration / self.num_steps

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame `duration` later."""
        return torch.cat([self._march(part) for part in frame.split(ROWS, 1)], 1)

    def _march(self, u: Frame) -> Frame:
        h = self.step
        for _ in range(self.num_steps):
            a = self.rate(u)
            b = self.rate(u + h / 2 * a)
            c = self.rate(u + h / 2 * b)
            d = self.rate(u + h * c)
            u = u + h / 6 * (a + 2 * (b + c) + d)
        return u
