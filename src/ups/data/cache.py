"""The folder of what can be made again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ups.files import written_whole


def cache_folder(chosen: Path | None = None) -> Path:
    """Return the chosen folder, else $UPS_CACHE, else ~/.cache/ups."""
    return chosen or Path(os.environ.get("UPS_CACHE") or Path.home() / ".cache" / "ups")


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of a cache file if it is there and unharmed; otherwise make them and write it."""
    found = _read(path)
    if found is None:
        found = make()
        with written_whole(path) as temporary:
            temporary.write_bytes(save(found, metadata={"sha256": _checksum(found)}))
    return found


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return found if (file.metadata() or {}).get("sha256") == _checksum(found) else None
    except (FileNotFoundError, SafetensorError):
        return None


def _checksum(tensors: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(tensors[name].numpy())
    return total.hexdigest()
