"""What data of each equation look like where the settings leave it open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ups.solvers.equations import Advection, Burgers, Equation, FisherKPP, Heat, KuramotoSivashinsky

Initial = Literal["pdebench_like", "clean"]


@dataclass(frozen=True)
class Defaults:
    """The equation's class and the defaults of its data.

    `refinement` is the number of solver cells per cell that is kept; `warmup` the physical time before frame 0, in
    which a chaotic system forgets how it was started.
    """

    kind: Callable[..., Equation]
    params: dict[str, tuple[float, ...]]
    extent: float
    dt: float
    initial: Initial
    conserved: tuple[str, ...] = ("u",)
    refinement: int = 1
    warmup: float = 0.0


EQUATIONS = {
    "burgers": Defaults(Burgers, {"nu": (0.001,)}, 1.0, 0.05, "pdebench_like", refinement=4),
    "advection": Defaults(Advection, {"speed": (0.4,)}, 1.0, 0.05, "clean"),
    "heat": Defaults(Heat, {"nu": (0.002,)}, 1.0, 0.05, "clean"),
    "kuramoto_sivashinsky": Defaults(KuramotoSivashinsky, {}, 64.0, 1.0, "clean", warmup=100.0),
    "fisher_kpp": Defaults(FisherKPP, {"nu": (0.001,), "rho": (2.0,)}, 1.0, 0.05, "clean", conserved=()),
}
