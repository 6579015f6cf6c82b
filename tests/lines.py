"""Fields on a line in one call, for tests."""

from dataclasses import replace

from torch import Tensor

from ups.types import PERIODIC, Axis, Boundary, Field, Fields, Grid, Trajectory


def on_line(
    names: tuple[str, ...] = ("u",),
    units: tuple[str, ...] | None = None,
    extent: float = 1.0,
    dt: float = 0.1,
    *,
    cells: int = 64,
    boundary: Boundary = PERIODIC,
    params: tuple[str, ...] = (),
    origin: float = 0.0,
    conserved: tuple[str, ...] = (),
) -> Fields:
    """Return fields on a line of so many cells."""
    units = units or ("1",) * len(names)
    each = tuple(
        Field(name, unit, conserved=name in conserved) for name, unit in zip(names, units, strict=True)
    )
    axis = Axis("x", cells, extent, origin, boundary, boundary)
    return Fields(each, Grid((axis,)), dt, params)


def on_its_grid(values: Tensor, params: Tensor, fields: Fields) -> Trajectory:
    """Return a trajectory whose fields are as many as its values, on as many cells."""
    each = fields.each
    if len(each) != values.shape[2]:
        each = tuple(replace(each[0], name=f"{each[0].name}{k}") for k in range(values.shape[2]))
    return Trajectory(values, params, replace(fields, each=each, grid=fields.grid.resized(*values.shape[3:])))
