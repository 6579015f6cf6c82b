"""Universal Physics Stack: neural simulators of physical systems, as a ladder of measured rungs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ups.evaluation.rollout import rollout
    from ups.runs.saved import load

__version__ = "0.1.0"
__all__ = ["load", "rollout"]


def __getattr__(name: str) -> Any:
    # torch is imported late, so that `ups --help` answers at once
    if name == "load":
        from ups.runs.saved import load

        return load
    if name == "rollout":
        from ups.evaluation.rollout import rollout

        return rollout
    raise AttributeError(f"module 'ups' has no attribute '{name}'")
