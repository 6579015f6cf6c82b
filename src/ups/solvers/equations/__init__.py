"""The equations the house can solve, by the names that settings and files use."""

from __future__ import annotations

from ups.solvers.equation import Equation
from ups.solvers.equations.advection import Advection
from ups.solvers.equations.allen_cahn import AllenCahn
from ups.solvers.equations.burgers import Burgers
from ups.solvers.equations.fisher_kpp import FisherKPP
from ups.solvers.equations.heat import Heat
from ups.solvers.equations.korteweg_de_vries import KortewegDeVries
from ups.solvers.equations.kuramoto_sivashinsky import KuramotoSivashinsky
from ups.solvers.equations.swift_hohenberg import SwiftHohenberg

EQUATIONS = {
    "burgers": Burgers,
    "advection": Advection,
    "heat": Heat,
    "kuramoto_sivashinsky": KuramotoSivashinsky,
    "fisher_kpp": FisherKPP,
    "allen_cahn": AllenCahn,
    "korteweg_de_vries": KortewegDeVries,
    "swift_hohenberg": SwiftHohenberg,
}

__all__ = [
    "EQUATIONS",
    "Advection",
    "AllenCahn",
    "Burgers",
    "Equation",
    "FisherKPP",
    "Heat",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "SwiftHohenberg",
]
