"""A run folder as a finished run leaves it, with steepening waves for truth and forecasts of known faults."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from records import data, fitted, physics
from toy_ensembles import write_ensemble_run
from ups.evaluation.protocols import FROM_INITIAL, ONE_STEP, PDEBENCH
from ups.record import PhysicsRecord

NUM_TRAJECTORIES, NUM_FRAMES, NUM_CELLS, DT = 100, 31, 128, 0.05
COLUMNS = ("run", "variant", "seed", "protocol", "stepper", "trajectory", "metric", "field", "time", "value")
LADDER = [
    {"name": "persistence", "kind": "trivial"},
    {"name": "linear", "kind": "trivial"},
    {"name": "coarse solver (64 cells)", "kind": "solver"},
    {"name": "FNO", "kind": "baseline"},
    {"name": "FNO (tuned)", "kind": "baseline"},
    {"name": "dilated ResNet", "kind": "baseline"},
    {"name": "operator", "kind": "ours"},
    {"name": "+ corrector", "kind": "ours"},
    {"name": "+ student", "kind": "ours"},
    {"name": "autoencoder", "kind": "reference"},
]


def waves(rng: np.random.Generator) -> np.ndarray:
    """Burgers' equation with a little viscosity by an upwind scheme: [trajectory time cell]."""
    x = (np.arange(NUM_CELLS) + 0.5) / NUM_CELLS
    k = np.arange(1, 5)[:, None, None]
    size, phase = rng.normal(size=(2, 4, NUM_TRAJECTORIES, 1)) * np.array([0.4, 9.0])[:, None, None, None]
    u = (size / np.sqrt(k) * np.sin(2 * np.pi * k * x + phase)).sum(0) + 0.1
    frames, num_steps = [u], 40
    for _ in range(NUM_FRAMES - 1):
        for _ in range(num_steps):
            right = np.roll(u, -1, -1)
            speed = np.maximum(abs(u), abs(right))
            flux = (u**2 + right**2) / 4 - speed * (right - u) / 2 - 0.002 * (right - u) * NUM_CELLS
            u = u - DT / num_steps * NUM_CELLS * (flux - np.roll(flux, 1, -1)) / 4
        frames.append(u)
    return np.stack(frames, 1)


def shifted(truth: np.ndarray, cells: np.ndarray, smoothing: np.ndarray) -> np.ndarray:
    """The truth moved by a phase error and smoothed, per trajectory and frame."""
    k = np.fft.rfftfreq(NUM_CELLS, 1 / NUM_CELLS)
    mode = np.exp(-2j * np.pi * k * cells[..., None] / NUM_CELLS - (k * smoothing[..., None]) ** 2)
    return np.fft.irfft(np.fft.rfft(truth) * mode, NUM_CELLS)


def forecasts(truth: np.ndarray, rng: np.random.Generator, start: int) -> dict[str, np.ndarray]:
    age = np.maximum(np.arange(NUM_FRAMES) - start + 1, 0)[None]
    hard = np.exp(rng.normal(size=(len(truth), 1)) * 0.7)
    drift = truth[:, start - 1, None] - truth[:, start - 2 if start > 1 else 0, None]

    def fault(shift: float, smoothing: float, power: float) -> np.ndarray:
        own = np.exp(rng.normal(size=(len(truth), 1)) * 0.15)
        return shifted(
            truth, shift * hard * own * age**power, np.broadcast_to(smoothing * np.sqrt(age), age.shape)
        )

    operator = fault(0.004, 0.002, 0.7)
    return {
        "persistence": np.where(age[..., None] > 0, truth[:, start - 1, None], truth),
        "linear": np.where(age[..., None] > 0, truth[:, start - 1, None] + drift * age[..., None], truth),
        "coarse solver (64 cells)": fault(0.03, 0.013, 0.8),
        "FNO": fault(0.05, 0.005, 1.1),
        "FNO (tuned)": fault(0.018, 0.003, 0.9),
        "dilated ResNet": fault(0.03, 0.002, 1.0),
        "operator": operator,
        "+ corrector": operator,
        "+ student": truth + (1.25 + 0.2 * rng.random((len(truth), 1, 1))) * (operator - truth),
    }


def table_rows(
    protocol: str, stepper: str, truth: np.ndarray, prediction: np.ndarray, start: int
) -> list[tuple]:
    error, truth = (prediction - truth)[:, start:], truth[:, start:]
    per_frame = np.sqrt((error**2).mean(-1) / (truth**2).mean(-1))
    whole = np.sqrt((error**2).sum((1, 2)) / (truth**2).sum((1, 2)))
    alike = np.array([
        [np.corrcoef(a, b)[0, 1] for a, b in zip(*pair, strict=True)]
        for pair in zip(truth, truth + error, strict=True)
    ])
    rows = [
        ("demo", "", 0, protocol, stepper, i, "relative_l2", "u", np.nan, float(whole[i]))
        for i in range(len(truth))
    ]
    for name, values in (("nrmse", per_frame), ("correlation", alike)):
        rows += [
            ("demo", "", 0, protocol, stepper, i, name, "u", (start + j) * DT, float(values[i, j]))
            for i, j in np.ndindex(values.shape)
        ]
    return rows


def write_rows(path: Path, rows: list[tuple]) -> None:
    columns = {  # noqa: F841 - DuckDB reads the local name
        name: np.array(values, dtype=object if isinstance(values[0], str) else None)
        for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    }
    sql = """select * replace (coalesce(time, 'nan'::double) as time, coalesce(value, 'nan'::double) as value)
             from columns"""
    with duckdb.connect() as connection:
        connection.sql(sql).write_parquet(str(path))


def cost_rows() -> list[tuple]:
    milliseconds = [0.001, 0.001, 5.1, 0.21, 0.33, 0.62, 0.35, 1.9, 0.52]
    parameters = [0, 0, 0, 58_000, 310_000, 412_000, 179_000, 391_000, 391_000]
    seconds = [0, 0, 0, 240.0, 600.0, 590.0, 600.0, 480.0, 360.0]
    rows = []
    for rung, ms, count, trained in zip(LADDER, milliseconds, parameters, seconds, strict=False):
        costs = {"ms_per_frame": ms, "ms_per_frame_single": 3.1 * ms, "peak_memory_mib": 40 + count / 4000}
        costs |= {"num_parameters": count, "training_seconds": trained}
        rows += [
            ("demo", "", 0, "cost", rung["name"], -1, key, "", np.nan, float(v)) for key, v in costs.items()
        ]
    return rows


def record() -> PhysicsRecord:
    settings = {
        "seed": 0,
        "data": {"kind": "pdebench", "path": "data/1D_Burgers_Sols_Nu0.001.hdf5", "num_trajectories": 1024},
        "operator": {"kind": "spectral_flux", "modes": 32, "width": 32, "kernel": 7, "num_blocks": 4},
        "training": {
            "learning_rate": 0.002,
            "batch_size": 50,
            "clip": 1.0,
            "windows": [2, 4, 7],
            "seconds": 600.0,
        },
    }
    return physics(
        settings=settings,
        versions={"ups": "0.1.0", "torch": "2.13.0", "numpy": "2.4.1", "python": "3.12.3"},
        machine={"cpu": "2 threads of a server", "memory_gb": 16, "device": "cpu"},
        evaluated="2026-01-05T10:41:12Z",
        ladder=LADDER,
        protocols=[
            {"name": "pdebench", "metric": "nrmse", "description": PDEBENCH.description},
            {"name": "from_initial", "metric": "relative_l2", "description": FROM_INITIAL.description},
            {"name": "one_step", "metric": "nrmse", "description": ONE_STEP.description},
        ],
        stages={
            "operator": fitted(skill=0.0031, score=0.0112),
            "corrector": fitted(skill=1.08, score=0.0112, num_parameters=212_000),
        },
        data=data(truth_floor=0.0013),
        notes=["The corrector ended above its trivial predictor: read its rung as a failed stage."],
        not_scored={"from_initial": {"FNO": "needs 10 context frames, the protocol gives 1"}},
    )


def write_logs(run_dir: Path, rng: np.random.Generator) -> None:
    for name, level in (("operator", 0.004), ("corrector", 1.05)):
        folder = run_dir / "stages" / name
        folder.mkdir(parents=True)
        lines = []
        for update in range(0, 900, 3):
            loss = (level + np.exp(-update / 90)) * np.exp(0.3 * rng.normal())
            row = {
                "update": update,
                "progress": update / 900,
                "loss": loss * 0.2,
                "trivial": 0.2,
                "gradient": 0.5,
            }
            if update % 90 == 87:
                row["validation"] = 3 * (level + np.exp(-update / 90)) / 3
            lines.append(json.dumps(row if update != 300 else row | {"loss": None}))
        (folder / "log.jsonl").write_text("\n".join(lines) + "\n")


def write_examples(path: Path, truth: np.ndarray, predictions: dict[str, np.ndarray]) -> None:
    error = np.sqrt(((predictions["operator"] - truth) ** 2).mean((1, 2)))
    index = np.argsort(error)[[10, len(error) // 2, -1]]
    instants = [10, 20, 30]

    def spectrum(values: np.ndarray) -> np.ndarray:
        power = abs(np.fft.rfft(values[:, instants], norm="forward")) ** 2
        power[..., 1:-1] *= 2
        return power.mean(0)[:, None]

    np.savez(
        path,
        x=(np.arange(NUM_CELLS) + 0.5) / NUM_CELLS,
        time=np.arange(10, NUM_FRAMES) * DT,
        labels=np.array(["good", "median", "worst"]),
        index=index,
        truth=truth[index, 10:, None].astype(np.float32),
        wavenumber=np.arange(NUM_CELLS // 2 + 1),
        spectrum_time=np.array(instants) * DT,
        **{"spectrum/truth": spectrum(truth)},
        **{f"spectrum/{name}": spectrum(values) for name, values in predictions.items()},
        **{
            f"forecast/{name}": values[index, 10:, None].astype(np.float32)
            for name, values in predictions.items()
        },
    )


def write_run(run_dir: Path) -> Path:
    rng = np.random.default_rng(3)
    truth = waves(rng)
    rows = cost_rows()
    for protocol, start in (("pdebench", 10), ("from_initial", 1), ("one_step", 10)):
        predictions = forecasts(truth, rng, start)
        if protocol == "one_step":
            predictions = {name: truth + (values - truth) / 8 for name, values in predictions.items()}
        for name, values in predictions.items():
            if (protocol, name) != ("from_initial", "FNO"):
                rows += table_rows(protocol, name, truth, values, start)
        if protocol == "pdebench":
            write_examples(run_dir / "examples.npz", truth, predictions)
            smooth = shifted(truth, np.zeros((1, 1)), np.full((1, 1), 0.004))
            rows += table_rows(protocol, "autoencoder", truth, smooth, start)
    write_rows(run_dir / "rows.parquet", rows)
    write_logs(run_dir, rng)
    (run_dir / "run.json").write_text(record().model_dump_json())
    return run_dir


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run folder; tests that change it work on a copy."""
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that writes a folder with given errors per trajectory and frame, and nothing else."""

    def make(
        errors: dict[str, np.ndarray], kinds: Sequence[str], protocol: str = "pdebench", **record: Any
    ) -> Path:
        rows = [
            ("demo", "", 0, protocol, name, i, "nrmse", "u", (1 + j) * DT, float(values[i, j]))
            for name, values in errors.items()
            for i, j in np.ndindex(values.shape)
        ]
        write_rows(tmp_path / "rows.parquet", rows)
        ladder = [{"name": name, "kind": kind} for name, kind in zip(errors, kinds, strict=True)]
        (tmp_path / "run.json").write_text(physics(ladder=ladder, **record).model_dump_json())
        return tmp_path

    return make


@pytest.fixture(scope="session")
def ensemble_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with ensembles, measured; tests that change it work on a copy."""
    return write_ensemble_run(tmp_path_factory.mktemp("ensembles"))
