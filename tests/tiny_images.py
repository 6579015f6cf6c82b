"""A run of the image bench in a few seconds: 8 x 8 pictures, one resolution, a handful of updates."""

from pathlib import Path

import numpy as np
from PIL import Image

from ups.evaluation.denoiser_probes import Probe
from ups.images.bench import ImageRun
from ups.images.classifier import Classifier
from ups.images.denoiser import DenoiserSettings
from ups.images.image_files import FolderImages
from ups.images.milestones import MilestoneSettings
from ups.images.sweep import Sweep
from ups.studies.study import PrimaryMetric, Study
from ups.training.settings import Fit


def write_pictures(folder: Path) -> Path:
    """Write 60 training and 40 test pictures of two classes: bright above, or bright below."""
    rng = np.random.default_rng(0)
    for split, num in (("train", 30), ("test", 20)):
        for name, bright in (("above", slice(0, 4)), ("below", slice(4, 8))):
            (folder / split / name).mkdir(parents=True)
            for index in range(num):
                pixels = rng.integers(0, 80, (8, 8, 3), np.uint8)
                pixels[bright] += 120
                Image.fromarray(pixels).save(folder / split / name / f"{index:02d}.png")
    return folder


def tiny(folder: Path = Path("pictures")) -> ImageRun:
    """Pictures of a folder, 18 updates."""
    return ImageRun(
        data=FolderImages(folder=folder, size=8),
        denoiser=DenoiserSettings(width=16, multipliers=(1,), num_blocks=1),
        training=Fit(
            updates=18,
            batch_size=4,
            optimizer="adamw",
            warmup=0,
            unroll=((0.0, 1),),
            num_validations=2,
            log_every=1,
        ),
        milestones=MilestoneSettings(every=6, num_vectors=1, num_samples=12, steps=2),
        sweep=Sweep(samplers=("ddim", "heun"), steps=(5, 8), num_samples=20, batch_size=16),
        features=Classifier(num_features=8, width=8, num_updates=5, batch_size=16),
        probe=Probe(num_images=4, num_vectors=2, num_levels=2, max_lanczos=2),
    )


def weightings(folder: Path = Path("pictures")) -> Study[ImageRun]:
    """Does Min-SNR change anything in 18 updates?"""
    return Study[ImageRun](
        question="Does Min-SNR change anything in 18 updates?",
        base=tiny(folder),
        variants={"min_snr": ("weighting.kind=min_snr",)},
        metric=PrimaryMetric(protocol="curvature, noise error, unweighted", stepper="ema", metric="trace"),
    )
