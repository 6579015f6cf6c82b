"""Quantiles of distributions that neither numpy nor torch knows."""

from __future__ import annotations

import numpy as np


def student_quantile(level: float, freedom: float) -> float:
    """Return the quantile of Student's distribution for `level` > 1/2 and a real number >= 1 of degrees of freedom.

    With t = sqrt(freedom) tan(angle) the density is proportional to cos(angle)^(freedom - 1) on (-pi/2, pi/2); its
    integral is taken by the midpoint rule and inverted by interpolation, to about five digits.
    """
    edges = np.linspace(0.0, np.pi / 2.0, 20_001)
    mass = np.concatenate([[0.0], np.cos((edges[1:] + edges[:-1]) / 2.0) ** (freedom - 1.0)]).cumsum()
    angle = np.interp(2.0 * level - 1.0, mass / mass[-1], edges)
    return float(np.sqrt(freedom) * np.tan(angle))
