"""The equations the house can solve, by the names that settings and files use."""

from __future__ import annotations

from ups.solvers.equation import Equation
from ups.solvers.equations.advection import Advection
from ups.solvers.equations.allen_cahn import AllenCahn
from ups.solvers.equations.burgers import Burgers
from ups.solvers.equations.fisher_kpp import FisherKPP
from ups.solvers.equations.fitzhugh_nagumo import FitzHughNagumo
from ups.solvers.equations.gray_scott import GrayScott
from ups.solvers.equations.heat import Heat
from ups.solvers.equations.korteweg_de_vries import KortewegDeVries
from ups.solvers.equations.kuramoto_sivashinsky import KuramotoSivashinsky
from ups.solvers.equations.swift_hohenberg import SwiftHohenberg
from ups.solvers.equations.vorticity import Vorticity

EQUATIONS = {
    "burgers": Burgers,
    "advection": Advection,
    "heat": Heat,
    "kuramoto_sivashinsky": KuramotoSivashinsky,
    "fisher_kpp": FisherKPP,
    "allen_cahn": AllenCahn,
    "korteweg_de_vries": KortewegDeVries,
    "swift_hohenberg": SwiftHohenberg,
    "vorticity": Vorticity,
    "gray_scott": GrayScott,
    "fitzhugh_nagumo": FitzHughNagumo,
}

__all__ = [
    "EQUATIONS",
    "Advection",
    "AllenCahn",
    "Burgers",
    "Equation",
    "FisherKPP",
    "FitzHughNagumo",
    "GrayScott",
    "Heat",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "SwiftHohenberg",
    "Vorticity",
]
