"""The image bench from top to bottom: images, sampler oracle, denoiser, sweep over calls, curvature, report."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt
from torch import Tensor

from ups import checkpoint, record
from ups.config import Settings, digest
from ups.data.cache import cache_folder
from ups.data.windows import draw_windows
from ups.diffusion.exact import GaussianDenoiser
from ups.evaluation.denoiser_probes import Frozen, Probe, curvature_rows, probe, probe_set
from ups.evaluation.examples import save_arrays
from ups.evaluation.rows import RowStore, to_columns
from ups.files import written_whole
from ups.images.cifar import CifarBatches
from ups.images.classifier import Classifier
from ups.images.denoiser import (
    DenoiserManifest,
    DenoiserSettings,
    ImageDenoiser,
    build_denoiser,
)
from ups.images.embedded_images import Crops, Digits
from ups.images.features import FeatureSettings, build_extractor
from ups.images.fidelity import require_enough_samples
from ups.images.image_files import FolderImages, ParquetImages
from ups.images.images import Images
from ups.images.milestones import Milestones, MilestoneSettings
from ups.images.report import write_image_report
from ups.images.sampler_oracle import require_right_samplers
from ups.images.sampling import Road, as_bytes, strips
from ups.images.stage import Denoise, as_frames, draw_mirrored, level_losses
from ups.images.sweep import Judge, Scored, Sweep, Weights, judge, sweep, sweep_rows
from ups.models.noise import NoiseError, WeightingSettings, mean_weight
from ups.probes.curvature import Curvature
from ups.probes.frozen import ProbeSet
from ups.progress import bar
from ups.record import Fitted, ImageRecord
from ups.streams import stream
from ups.training import distributed
from ups.training.fit import fit
from ups.training.settings import Fit
from ups.training.store import Store
from ups.training.trackers import Tracker, open_tracker
from ups.types import Row

NUM_SHOWN = 36
NUM_STRIPS = 6

ImageSettings = Annotated[
    Crops | Digits | ParquetImages | FolderImages | CifarBatches, Field(discriminator="kind")
]


class ImageRun(Settings):
    """All that a run of the image bench depends on."""

    data: ImageSettings = Digits()
    """Where the images come from."""
    mirror: bool = False
    """Whether training images are mirrored left to right half of the time."""
    denoiser: DenoiserSettings = DenoiserSettings()
    """The network, the noise process, and what is predicted."""
    weighting: WeightingSettings = NoiseError()
    """How the levels of noise are weighted in training."""
    training: Fit = Fit(updates=2000, unroll=((0.0, 1),))
    """How the denoiser is trained."""
    milestones: MilestoneSettings = MilestoneSettings()
    """What is looked at during training."""
    sweep: Sweep = Sweep()
    """Samplers and numbers of steps."""
    features: FeatureSettings = Classifier()
    """The features between which distances are measured."""
    probe: Probe = Probe()
    """How curvature is measured."""
    seed: NonNegativeInt = 0
    """Of initial weights, batches and noise in training; sweep and probe have their own."""


@dataclass(frozen=True)
class Bench:
    """The images as tensors in [-1, 1], what is known of them, and what they are probed with."""

    train: Images
    test: Images
    train_values: Float[Tensor, "image channel height width"]
    test_values: Float[Tensor, "other channel height width"]
    probe_set: ProbeSet

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image: channel, height, width."""
        return tuple(self.train_values.shape[1:])

    @property
    def digest(self) -> str:
        """Of both splits."""
        return digest([self.train.digest, self.test.digest])


def run_images(settings: ImageRun, folder: Path, tracker: str = "none") -> None:
    """Train one denoiser, sweep the samplers, measure curvature, write the report. Run again to resume.

    Nothing is written before the images are read, the samplers have passed the oracle and the features are there.
    """
    dashboard = open_tracker(tracker, "ups", folder)
    process = settings.denoiser.process.build()
    require_enough_samples(settings.sweep.num_samples, settings.features.num_features)
    with bar("sampler oracle"):
        answers = require_right_samplers(process, settings.sweep.samplers, settings.sweep.steps)
    bench = load_bench(settings)
    denoiser = build(settings, bench)
    judged_by = build_judge(settings, bench)
    with Store(folder) as store:
        begun: Any = record.begin(folder, settings, ImageRecord) if distributed.is_main() else None
        if begun is not None and begun.finished:
            sys.stderr.write(f"finished before; report: {folder / 'report.html'}\n")
            return
        fitted = train(settings, bench, judged_by, denoiser, store, dashboard)
        if not distributed.is_main():
            return

        home = folder / "stages" / "denoiser"
        checkpoint.save(denoiser, home / "ema")
        raw = checkpoint.load(home / "raw").to(distributed.device())
        denoisers: dict[Weights, ImageDenoiser] = {"ema": denoiser, "raw": raw}
        with bar("sampling") as progress:
            scored = sweep(settings.sweep, denoisers, bench.shape, judged_by, distributed.device(), progress)
        with bar("probing curvature") as progress:
            measured = measure_curvature(settings, denoisers, bench.probe_set, progress)
        write_curvature(folder, measured)
        keep_pictures(settings, folder, bench, denoisers, scored)
        rows = [*sweep_rows(judged_by, scored), *curvature_rows(measured)]
        rows += [*loss_rows(settings, bench, denoisers), *cost_rows(settings, fitted)]
        write_rows(folder, settings.seed, rows)
        found = {
            "stages": {"denoiser": fitted},
            "data": describe(settings, bench),
            "weighting": describe_weighting(settings),
            "features": judged_by.extractor.name,
            "oracle": tuple(asdict(answer) for answer in answers),
        }
        made = begun.also(**found, evaluated=record.now())
        record.write(folder, made)
        write_image_report(folder)
        record.write(folder, made.also(finished=record.now()))
        sys.stderr.write(f"report: {folder / 'report.html'}\n")


def load_bench(settings: ImageRun) -> Bench:
    """Return both splits, and the probe set made from the first."""
    with bar("images") as progress:
        train, test = (settings.data.load(split, progress=progress) for split in ("train", "test"))
    values = train.batch(slice(None))
    return Bench(train, test, values, test.batch(slice(None)), probe_set(values, settings.probe))


def build(settings: ImageRun, bench: Bench) -> ImageDenoiser:
    """Return the untrained denoiser, its input scaled by the training pixels."""
    std, mean = torch.std_mean(bench.train_values)
    manifest = DenoiserManifest(
        settings=settings.denoiser, channels=bench.shape[0], data_mean=mean.item(), data_std=std.item()
    )
    return build_denoiser(manifest, stream(settings.seed, "denoiser")).to(distributed.device())


def build_judge(settings: ImageRun, bench: Bench) -> Judge:
    """Return features, reference and anchors; a classifier is trained once for equal images, and cached."""
    folder = cache_folder(None) / "classifiers"
    with bar("features and anchors"):
        extractor = build_extractor(
            settings.features, bench.train_values.to(distributed.device()), bench.train.labels, folder
        ).to(distributed.device())
        chosen = settings.sweep
        return judge(extractor, bench.train_values, bench.test_values, chosen.num_samples, chosen.seed)


def train(
    settings: ImageRun,
    bench: Bench,
    judged_by: Judge,
    denoiser: ImageDenoiser,
    store: Store,
    tracker: Tracker | None,
) -> Fitted:
    """Train the denoiser; it ends with the averaged weights, those of the last update are in stages/denoiser/raw."""
    manifest = denoiser.manifest()
    stage = Denoise(
        "denoiser",
        denoiser,
        settings.weighting.build(),
        GaussianDenoiser(denoiser.process, manifest.data_std, manifest.data_mean),
    )
    milestones = Milestones(
        settings.milestones,
        store.folder / "stages" / "denoiser",
        bench.shape,
        judged_by,
        bench.probe_set,
        settings.probe.all_objectives(settings.weighting),
        settings.sweep.seed,
    )
    with bar("training denoiser") as progress:
        return fit(
            stage,
            as_frames(bench.train_values),
            store,
            settings.training,
            settings.seed,
            held_out=as_frames(bench.test_values),
            draw=draw_mirrored if settings.mirror else draw_windows,
            milestone=milestones,
            tracker=tracker,
            progress=progress,
            digest=digest([
                bench.train.digest,
                manifest.model_dump(mode="json"),
                settings.weighting.model_dump(mode="json"),
                settings.mirror,
            ]),
        )


def measure_curvature(
    settings: ImageRun,
    denoisers: dict[Weights, ImageDenoiser],
    found: ProbeSet,
    progress: Callable[[float, str], None],
) -> list[Curvature]:
    """Return the curvature of the chosen weights, each under every objective."""
    objectives = settings.probe.all_objectives(settings.weighting)
    measured = []
    for place, weights in enumerate(settings.probe.weights):
        progress(place / len(settings.probe.weights), weights)
        frozen = Frozen(denoisers[weights], found, settings.probe.precision)
        measured += probe(frozen, settings.probe, objectives, weights)
    return measured


def write_curvature(folder: Path, measured: Sequence[Curvature]) -> None:
    """Write every figure, raw values and hashes of the probe set included, to curvature.json."""
    with written_whole(folder / "curvature.json") as temporary:
        temporary.write_text(json.dumps([asdict(each) for each in measured], indent=1))


def keep_pictures(
    settings: ImageRun,
    folder: Path,
    bench: Bench,
    denoisers: dict[Weights, ImageDenoiser],
    scored: Sequence[Scored],
) -> None:
    """Write the images that the report shows to samples.npz, as bytes [image, channel, height, width]."""
    arrays = {"test": bench.test.pixels[:NUM_SHOWN]}
    arrays |= {f"sweep/{point.stepper}": as_bytes(point.images[:NUM_SHOWN]) for point in scored}
    sampler = settings.sweep.samplers[0]
    for num_steps in settings.sweep.steps:
        road = Road(
            denoisers["ema"], sampler, num_steps, bench.shape, settings.sweep.seed, distributed.device()
        )
        arrays[f"strip/{sampler} {num_steps} ema"] = as_bytes(strips(road, NUM_STRIPS))
    save_arrays(folder / "samples.npz", {name: array.numpy() for name, array in arrays.items()})


def loss_rows(
    settings: ImageRun, bench: Bench, denoisers: dict[Weights, ImageDenoiser], num_images: int = 256
) -> list[Row]:
    """Return the loss of test images for each level of noise, unweighted and as it is weighted in training."""
    rows = []
    x0 = bench.test_values[:num_images].to(distributed.device())
    for weights, denoiser in denoisers.items():
        generator = stream(settings.sweep.seed, "test loss", 0, distributed.device())
        for name, value in level_losses(denoiser, x0, settings.weighting.build(), generator).items():
            metric, _, level = name.partition(", ")
            rows.append(Row("", "", 0, "denoising", weights, -1, f"{metric}_loss", level, math.nan, value))
    return rows


def cost_rows(settings: ImageRun, fitted: Fitted) -> list[Row]:
    """Return what the denoiser cost; the same for both kinds of weights."""
    costs = {
        "num_parameters": fitted.num_parameters,
        "training_seconds": fitted.seconds,
        "updates": fitted.updates,
        "images_seen": fitted.updates * settings.training.batch_size,
    }
    return [
        Row("", "", 0, "cost", weights, -1, name, "", math.nan, float(value))
        for weights in ("ema", "raw")
        for name, value in costs.items()
    ]


def write_rows(folder: Path, seed: int, rows: Sequence[Row]) -> None:
    """Write rows.parquet."""
    store = RowStore(folder, run=folder.name, seed=seed)
    stamped = ("run", "variant", "seed")
    store.write("images", {name: column for name, column in to_columns(rows).items() if name not in stamped})
    store.combine()


def describe(settings: ImageRun, bench: Bench) -> dict[str, Any]:
    """Return what the report says about the images."""
    return {
        "digest": bench.digest,
        "source": settings.data.kind,
        "description": bench.train.description,
        "images": {"train": len(bench.train), "test": len(bench.test)},
        "shape": list(bench.shape),
        "classes": list(bench.train.classes),
    }


def describe_weighting(settings: ImageRun) -> dict[str, Any]:
    """Return the objectives and the mean weight of each over the levels of the process, relative to the noise error."""
    process = settings.denoiser.process.build()
    objectives = settings.probe.all_objectives(settings.weighting)
    return {
        "trained_under": settings.weighting.name,
        "mean_weight": {each.name: mean_weight(process, each.build()) for each in objectives},
    }
