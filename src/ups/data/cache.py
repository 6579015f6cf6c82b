"""The folder of what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(chosen: Path | None = None) -> Path:
    """Return the chosen folder, else $UPS_CACHE, else ~/.cache/ups."""
    return chosen or Path(os.environ.get("UPS_CACHE") or Path.home() / ".cache" / "ups")
