"""A file of The Well's format, by its specification and not by our writer, with every kind of field in it."""

import h5py
import numpy as np

NUM, FRAMES, CELLS = 3, 5, (6, 4)


def arrays(seed=0):
    """Return what is stored, by dataset: axes that do not vary are left out."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "t0_fields/density": normal(NUM, FRAMES, *CELLS),
        "t0_fields/profile": normal(FRAMES, CELLS[1]),  # alike in all samples and along x
        "t0_fields/depth": normal(*CELLS),  # constant, one for all
        "t0_fields/mask": normal(NUM, CELLS[0]),  # constant in time and along y
        "t1_fields/velocity": normal(NUM, FRAMES, *CELLS, 2),
        "t1_fields/gravity": normal(2),  # constant, everywhere
        "t2_fields/stress": normal(NUM, FRAMES, *CELLS, 2, 2),
    }


VARYING = {  # sample, time, x, y
    "t0_fields/density": (True, True, True, True),
    "t0_fields/profile": (False, True, False, True),
    "t0_fields/depth": (False, False, True, True),
    "t0_fields/mask": (True, False, True, False),
    "t1_fields/velocity": (True, True, True, True),
    "t1_fields/gravity": (False, False, False, False),
    "t2_fields/stress": (True, True, True, True),
}


def write_by_specification(path, seed=0, text=str):
    """Write the file; `text` is the type of its words, str or bytes."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": text_of("example", text), "grid_type": text_of("cartesian", text)})
        file.attrs.update({"n_spatial_dims": 2, "n_trajectories": NUM, "Re": 100.0})
        file.attrs["simulation_parameters"] = [text_of("Re", text)]
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = [text_of(name, text) for name in "xy"]
        dims["time"] = (0.25 * np.arange(FRAMES)).astype(np.float32)
        dims["x"] = (np.arange(6) / 6 * 3).astype(np.float32)
        dims["y"] = ((np.arange(4) + 0.5) / 4).astype(np.float32)
        for name in ("time", "x", "y"):
            dims[name].attrs["sample_varying"] = np.bool_(
                False
            )  # time_varying is left out, as at times it is
        scalars = file.create_group("scalars")
        scalars.attrs["field_names"] = [text_of(name, text) for name in ("nu", "kappa", "power")]
        scalars["nu"], scalars["kappa"] = np.float32(0.5), np.array([1.0, 2.0, 3.0], np.float32)
        scalars["power"] = np.arange(FRAMES, dtype=np.float32)
        for name, sample, time in (("nu", False, False), ("kappa", True, False), ("power", False, True)):
            scalars[name].attrs.update({"sample_varying": sample, "time_varying": time})
        for group in ("t0_fields", "t1_fields", "t2_fields"):
            file.create_group(group).attrs["field_names"] = []
        for name, values in arrays(seed).items():
            group, field = name.split("/")
            file[name] = values
            sample, time, *space = VARYING[name]
            file[name].attrs.update({"sample_varying": sample, "time_varying": time, "dim_varying": space})
            known = list(file[group].attrs["field_names"])
            file[group].attrs["field_names"] = [*known, text_of(field, text)]
        for axis, kind, cells in (("x", "PERIODIC", 6), ("y", "WALL", 4)):
            one = file.create_group(f"boundary_conditions/{axis}_{kind}")
            one.attrs.update({"bc_type": text_of(kind, text), "associated_dims": [text_of(axis, text)]})
            one.attrs.update({"associated_fields": [], "sample_varying": False, "time_varying": False})
            mask = np.zeros(cells, bool)
            mask[[0, -1]] = True
            one["mask"] = mask
    return path


def text_of(word, text):
    return word if text is str else np.bytes_(word.encode())


def tiled(name, seed=0):
    """Return a dataset of it as [sample, time, component, x, y], by hand."""
    values = arrays(seed)[name]
    sample, time, x, y = VARYING[name]
    grid = "".join(letter for letter, varies in zip("stxy", (sample, time, x, y), strict=True) if varies)
    components = values.shape[len(grid) :]
    values = values.reshape(*values.shape[: len(grid)], int(np.prod(components)))
    full = np.einsum(
        f"{grid}c,s,t,x,y->stcxy", values, *(np.ones(n, np.float32) for n in (NUM, FRAMES, *CELLS))
    )
    return full.astype(np.float32)
