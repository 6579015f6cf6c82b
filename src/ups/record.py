"""`run.json`: what a run was made from, on which machine, and what came of it; written at the start and the end."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import ups
from ups.config import Settings
from ups.files import written_whole
from ups.types import Trajectory, UserError

NAME = "run.json"
PACKAGES = ("torch", "numpy", "h5py", "pydantic", "safetensors", "duckdb")


def begin(folder: Path, settings: Settings) -> dict[str, Any]:
    """Return the record of the run in a folder; a new one is written, one of other settings is refused.

    Raises:
        UserError: the folder holds a run with other settings; the message names them.
    """
    chosen = settings.model_dump(mode="json")
    if (folder / NAME).exists():
        record = read(folder)
        if different := _differences(record["settings"], chosen):
            raise UserError(f"{folder}: holds a run with other settings ({different}); choose another --out")
        return record
    record = {
        "settings": chosen,
        "seed": chosen["seed"],
        "started": now(),
        "versions": {"ups": ups.__version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
        "machine": machine(),
    }
    write(folder, record)
    return record


def read(folder: Path) -> dict[str, Any]:
    """Return the record of a run folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        return json.loads((folder / NAME).read_text())
    except OSError:
        raise UserError(f"{folder}: not a run folder (no {NAME})") from None
    except ValueError:
        raise UserError(f"{folder / NAME}: damaged, not valid JSON") from None


def write(folder: Path, record: dict[str, Any]) -> None:
    """Replace the record in one step."""
    with written_whole(folder / NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=2))


def now() -> str:
    """Return the local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def machine() -> dict[str, Any]:
    """Return what the costs of a run depend on: processor, cores, threads, accelerator."""
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _differences(old: Any, new: Any, path: str = "") -> str:
    """Return 'a.b: 1 -> 2, c: 3 -> 4' for the settings that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        inside = (
            _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            for key in sorted(old.keys() | new.keys())
        )
        return ", ".join(text for text in inside if text)
    return "" if old == new else f"{path}: {old} -> {new}"


def describe(source: str, parts: dict[str, Trajectory]) -> dict[str, Any]:
    """Return what the report says about the data."""
    first = next(iter(parts.values()))
    fields = asdict(first.fields)
    fields["params"] = {
        name: sorted({f"{value:g}" for part in parts.values() for value in part.params[:, index].tolist()})
        for index, name in enumerate(first.fields.params)
    }
    shape = {"frames": first.values.shape[1], "cells": first.values.shape[-1]}
    counts = {name: len(part) for name, part in parts.items()}
    return {"source": source, "trajectories": counts} | shape | fields
