"""Universal Physics Stack: neural simulators of physical systems, as a ladder of measured rungs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ups.runs.forecast import read, rollout
    from ups.runs.saved import load

__version__ = "0.1.0"
__all__ = ["load", "read", "rollout"]

HOMES = {"load": "ups.runs.saved", "read": "ups.runs.forecast", "rollout": "ups.runs.forecast"}
"""Where each public function is; torch is imported with the first of them, so that `ups --help` answers at once."""


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'ups' has no attribute '{name}'")
