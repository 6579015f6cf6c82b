"""The image bench: a small U-Net on 32 x 32 images, where a weighting, a schedule or a sampler is tried first."""

from __future__ import annotations

from ups.config import override
from ups.evaluation.denoiser_probes import Probe
from ups.images.bench import ImageRun
from ups.images.denoiser import DenoiserSettings
from ups.images.embedded_images import Digits
from ups.images.features import EfficientNetLite0
from ups.images.image_files import ParquetImages
from ups.images.milestones import MilestoneSettings
from ups.images.sweep import Sweep
from ups.models.noise import MinSNR
from ups.studies.study import Decision, PrimaryMetric, Study
from ups.training.settings import Fit

FRECHET = PrimaryMetric(protocol="classifier/*, 256 against 360", stepper="ddim 25 ema", metric="frechet")
TEST_LOSS = PrimaryMetric(protocol="denoising", stepper="ema", metric="unweighted_loss")
TRACE = PrimaryMetric(protocol="curvature, noise error, unweighted", stepper="ema", metric="trace")


def ddpm() -> ImageRun:
    """Digits of 32 x 32 pixels, linear betas, unweighted noise error: minutes on two cores."""
    return ImageRun(
        data=Digits(),
        # The loss is that of the noise, whatever the network predicts. At pure noise an error of a predicted noise is
        # 157 times as large in the image: samples of a short training have wrong colors. v has no such factor.
        denoiser=DenoiserSettings(width=16, predicts="v"),
        training=Fit(
            updates=2000,
            batch_size=16,
            optimizer="adamw",
            learning_rate=1e-3,
            weight_decay=0.0,
            unroll=((0.0, 1),),
        ),
        sweep=Sweep(num_samples=128),
    )


def min_snr() -> ImageRun:
    """The same under Min-SNR with gamma 5; weighting.gamma=1 and denoiser.process.betas=cosine change it."""
    return ddpm().model_copy(update={"weighting": MinSNR()})


def ddpm_full() -> ImageRun:
    """E5 of the source study on CIFAR-10 (give data.folder=PATH), for an accelerator; training.batch_size=64 too."""
    return ImageRun(
        data=ParquetImages(folder="cifar10"),
        mirror=True,
        denoiser=DenoiserSettings(width=32),
        training=Fit(
            updates=10_000,
            batch_size=4,
            optimizer="adamw",
            learning_rate=1e-4,
            warmup=0,
            schedule="constant",
            weight_decay=0.0,
            unroll=((0.0, 1),),
        ),
        milestones=MilestoneSettings(every=2000, num_vectors=4, num_samples=36),
        sweep=Sweep(steps=(5, 10, 20, 50, 100, 250, 1000), num_samples=2000, batch_size=500),
        features=EfficientNetLite0(),
        probe=Probe(num_images=256, num_vectors=16, max_lanczos=50),
    )


def min_snr_full() -> ImageRun:
    """E6 of the source study on CIFAR-10 (give data.folder=PATH): Min-SNR with gamma 5."""
    return ddpm_full().model_copy(update={"weighting": MinSNR()})


def min_snr_study() -> Study[ImageRun]:
    """Does Min-SNR find flatter minima, or is it the probe? Digits, three seeds: half an hour on two cores."""
    short = ["training.updates=1200", "training.num_validations=4", "milestones.every=600"]
    short += ["milestones.num_samples=12", "sweep.samplers=[ddim]", "sweep.steps=[10,25]"]
    short += ["probe.num_vectors=6", "probe.max_lanczos=8"]
    return _min_snr_study(override(ddpm(), short))


def min_snr_study_full() -> Study[ImageRun]:
    """The same on CIFAR-10 with batches of 64, for an accelerator (give base.data.folder=PATH)."""
    short = ["training.batch_size=64", "sweep.samplers=[ddim,ancestral]", "sweep.steps=[10,50,250]"]
    return _min_snr_study(override(ddpm_full(), short))


def quality_study() -> Study[ImageRun]:
    """Samples, loss and curvature under Min-SNR, and after a quarter of the updates."""
    return Study[ImageRun](
        question="Do Min-SNR or fewer updates change samples, loss and curvature?",
        base=_short(),
        variants={
            "min_snr": ("weighting.kind=min_snr", "weighting.gamma=5"),
            "quarter_of_the_updates": ("training.updates=200",),
        },
        metric=FRECHET,
        also=(TEST_LOSS, TRACE),
        decision=Decision(minimal_percent=5.0),
    )


def cosine_study() -> Study[ImageRun]:
    """Min-SNR again, on cosine betas: does the one change what the other does?"""
    return Study[ImageRun](
        question="With cosine betas, does Min-SNR change samples, loss and curvature?",
        base=override(_short(), ["denoiser.process.betas=cosine"]),
        variants={"min_snr": ("weighting.kind=min_snr", "weighting.gamma=5")},
        metric=FRECHET,
        also=(TEST_LOSS, TRACE),
        decision=Decision(minimal_percent=5.0),
    )


def _short() -> ImageRun:
    """Digits for 800 updates at a constant rate, so that more updates go on where fewer ended."""
    short = ["training.updates=800", "training.schedule=constant", "training.num_validations=4"]
    short += ["milestones.num_vectors=0", "milestones.num_samples=0"]
    short += ["sweep.samplers=[ddim]", "sweep.steps=[25]", "sweep.weights=[ema]", "sweep.num_samples=256"]
    short += ["probe.weights=[ema]", "probe.num_vectors=6", "probe.max_lanczos=8"]
    return override(ddpm(), short)


def _min_snr_study(base: ImageRun) -> Study[ImageRun]:
    return Study[ImageRun](
        question="Probed under one common objective, is a denoiser that was trained under Min-SNR flatter?",
        base=base,
        variants={"min_snr": ("weighting.kind=min_snr", "weighting.gamma=5")},
        seeds=(0, 1, 2),
        metric=TRACE,
        decision=Decision(minimal_percent=5.0, confidence=0.95),
    )
