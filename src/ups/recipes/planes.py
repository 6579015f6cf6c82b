"""The plane: equations of two dimensions on periodic and walled rectangles, a few minutes each."""

from __future__ import annotations

from ups.config import merge
from ups.data.simulated import Simulated
from ups.data.symmetries import Symmetry
from ups.models.baselines import TunedFNO
from ups.models.law_network import LawNetwork
from ups.runs.settings import Run
from ups.training.settings import Fit


def heat() -> Run:
    """Decay of every wave of a periodic rectangle at its own rate."""
    return _run(_rectangle("heat"), ("shift", "reflect"))


def heat_walled() -> Run:
    """The same between four walls, through which nothing flows."""
    return _walled(heat())


def fisher_kpp() -> Run:
    """Fronts that invade a periodic rectangle."""
    return _run(_rectangle("fisher_kpp"), ("shift", "reflect"))


def fisher_kpp_walled() -> Run:
    """The same between four walls."""
    return _walled(fisher_kpp())


def _rectangle(equation: str) -> Simulated:
    return Simulated.model_validate({
        "equation": equation,
        "num_cells": (48, 40),  # unequal sides: exchanged axes would show
        "extent": (1.0, 0.8),
        "num_trajectories": 200,
    })


def _run(data: Simulated, symmetries: tuple[Symmetry, ...]) -> Run:
    return Run(
        data=data,
        operator=LawNetwork(width=24, num_blocks=3, modes=12, kernel_size=3),
        baselines={"tuned_fno": TunedFNO(width=24, modes=12)},
        pace={"tuned_fno": 1.5},
        solver_cells=(12, 24, 48),
        training=Fit(
            updates=300,  # a minute of two cores
            batch_size=8,
            unroll=((0.0, 1), (0.6, 3)),
            num_validations=5,
            symmetries=symmetries,
            ema_decay=0.99,
        ),
    )


def _walled(run: Run) -> Run:
    return merge(run, {"data": {"boundary": "wall"}, "training": {"symmetries": ("reflect",)}})
