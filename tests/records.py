"""Records of runs that never were, for tests."""

from collections.abc import Callable
from pathlib import Path

from lines import on_line
from ups.files import sealed, unsealed
from ups.record import DataRecord, Fitted, ImageRecord, PhysicsRecord

BLANK = {
    "settings": {"seed": 0},
    "seed": 0,
    "started": "2026-01-05 10:00:00",
    "finished": "2026-01-05 10:41:12",
    "versions": {},
    "machine": {},
}


def physics(**parts) -> PhysicsRecord:
    """Return a finished record with some parts; nested ones may be plain data."""
    return PhysicsRecord.model_validate(BLANK | parts)


def images(**parts) -> ImageRecord:
    """Return a finished record of an image bench with some parts."""
    return ImageRecord.model_validate(BLANK | parts)


def data(units=("m/s",), unit="m", time_unit="s", **parts) -> DataRecord:
    """Return what a record says of one field on a line."""
    fields = on_line(units=units, dt=0.05)
    axis = type(fields.grid.axes[0])("x", 64, 1.0, unit=unit)
    fields = type(fields)(fields.each, type(fields.grid)((axis,)), 0.05, time_unit=time_unit)
    return DataRecord(
        source="pdebench", trajectories={"test": 100}, frames=31, fields=fields, params={}, **parts
    )


def fitted(**parts) -> Fitted:
    """Return what a training cost and brought."""
    blank = {"updates": 900, "seconds": 601.2, "planned_seconds": 600.0, "skill": 0.1, "score": None}
    return Fitted(**blank | {"best_update": 900, "num_skipped": 0, "num_parameters": 179_000} | parts)


def rewrite(folder: Path, **parts) -> None:
    """Change parts of the record in a run folder."""
    edit(folder / "run.json", lambda content: physics(**content | parts).model_dump(mode="json"))


def edit(path: Path, change: Callable[[dict], dict]) -> None:
    """Change a sealed file of JSON so that it looks as if it had been written like that."""
    path.write_text(sealed(change(unsealed(path.read_text(), path))))
