"""How a corrector is trained, and what says whether it has learned anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.denoiser import Posterior
from ups.diffusion.losses import denoising
from ups.diffusion.times import Adaptive
from ups.models.corrector import Corrected, Corrector, Given
from ups.models.residual import Wiener
from ups.models.token_waves import mode_powers
from ups.training.residuals import part_of, residuals, spread_residuals
from ups.training.stages import Loss
from ups.types import Trajectory

LEVELS = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""LogSNRs at which a denoiser is compared with the best linear one."""

MARGIN = 0.02
"""A mean skill that is this close to 1 is that of predicting zero: a sample of windows tells no more."""

LEAST_POWER = 1e-4
"""Share of the strongest mode's power below which a mode is not compared."""


@dataclass(frozen=True)
class Correct:
    """Train a corrector's denoiser on the operator's residuals.

    The loss is the weighted squared error of the standardized residual at random noise levels. The trivial
    predictor is the best linear denoiser that knows the residual's spectrum: what colored noise knows. So a loss of
    1 is a corrector that is no better than colored noise.
    """

    name: str
    corrected: Corrected

    @property
    def corrector(self) -> Corrector:
        """The corrector."""
        return self.corrected.correction

    @property
    def model(self) -> nn.Module:
        """The denoiser; the emulator underneath is fixed."""
        return self.corrector

    def window(self, progress: float) -> int:
        """Return the frames that the emulator reads, those of the rollout, and the one to forecast."""
        return self.corrected.emulator.codec.spin_up + self.corrector.settings.rolled_steps + 1

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the weighted loss of each window, and the linear denoiser's under the same noise."""
        settings = self.corrector.settings
        rolled = int(
            torch.randint(settings.rolled_steps + 1, (), generator=generator, device=generator.device)
        )
        given, x0 = self._standardized(batch, rolled)
        times = self.corrector.times
        t = times((len(x0),), generator).to(x0)
        noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
        weighting = settings.weighting.build()
        loss = denoising(self.corrector.denoiser.given(*given), x0, noise, t, weighting)
        with torch.no_grad():
            linear = denoising(self._wiener(), x0, noise, t, weighting)
        if isinstance(times, Adaptive):
            density = times.density(t)
            if self.corrector.training:
                times.record(t, loss)
            loss, linear = loss / density, linear / density
        return loss, {"trivial": linear}

    def diagnose(self, batch: Trajectory, generator: Generator) -> dict[str, float]:
        """Return the mean skill and, for each level of `LEVELS`, the structure learned; see `judge`."""
        given, x0 = self._standardized(batch, 0)
        denoiser, wiener = self.corrector.denoiser.given(*given), self._wiener()
        found = {"mean skill": _mean_skill(denoiser, x0, generator)}
        for level in LEVELS:
            ours, linear = _errors((denoiser, wiener), x0, level, generator)
            found[f"structure at logSNR {level:g}"] = ours / linear
        return found

    def _standardized(
        self, batch: Trajectory, num_rolled: int
    ) -> tuple[Given, Float[Tensor, "batch token dim"]]:
        given, found = residuals(self.corrected.emulator, batch, num_rolled)
        return given, found / self.corrector.spectrum.std

    def _wiener(self) -> Wiener:
        return Wiener(self.corrector.spectrum, self.corrector.denoiser.process)


@torch.no_grad()
def judge(stage: Correct, train: Trajectory, held_out: Trajectory, generator: Generator) -> dict[str, float]:
    """Return what a trained corrector has learned, measured on trajectories that no stage was trained on.

    - "mean skill": squared error of x0_hat at pure noise over that of predicting zero. There x0_hat is the
      conditional mean: above 1.02 the stage has failed, about 1 is a residual that cannot be predicted, below 1 the
      mean of the forecast is improved.
    - "structure learned": mean denoising error over the levels of `LEVELS`, over that of the best linear denoiser with
      the residual's own spectrum. 1 or more is no better than colored noise.
    - "power of the draws" and "worst mode of the draws": power of one draw for each window over that of the residuals,
      and the largest |ratio - 1| over the modes that hold a ten-thousandth of the strongest one's. Squared errors do
      not see either.
    - "residual" and "residual in training": standard deviations of the one-step residual, in units of the tokens, on
      held-out and on training trajectories; "variance ratio" is training over held-out.
    """
    emulator = stage.corrected.emulator
    num_windows = part_of(emulator.codec.num_tokens)
    given, found = next(spread_residuals(emulator, held_out, num_windows))
    _, known = next(spread_residuals(emulator, train, num_windows))
    x0 = found / stage.corrector.spectrum.std
    denoiser, wiener = stage.corrector.denoiser.given(*given), stage._wiener()
    errors = [_errors((denoiser, wiener), x0, level, generator) for level in LEVELS]
    ours, linear = (sum(column) for column in zip(*errors, strict=True))
    here, there = (float(part.square().mean()) for part in (found, known))
    skill = _mean_skill(denoiser, x0, generator)
    waves = stage.corrected.gain.waves
    drawn = mode_powers(stage.corrected.gain(stage.corrector.draw(given, generator)), waves).mean(0)
    wanted = mode_powers(found, waves).mean(0)
    seen = wanted >= LEAST_POWER * wanted.max()
    return {
        "mean skill": skill,
        "structure learned": ours / linear,
        "power of the draws": (drawn.sum() / wanted.sum()).item(),
        "worst mode of the draws": (drawn / wanted - 1)[seen].abs().max().item(),
        **{f"structure at logSNR {level:g}": a / b for level, (a, b) in zip(LEVELS, errors, strict=True)},
        "residual": here**0.5,
        "residual in training": there**0.5,
        "variance ratio": there / here,
    }


def explain(found: dict[str, float]) -> list[str]:
    """Return in words what `judge` found."""
    skill, structure, ratio = found["mean skill"], found["structure learned"], found["variance ratio"]
    if skill > 1 + MARGIN:
        mean = f"the stage has failed: predicting zero is better by {skill - 1:.0%}"
    elif skill > 1 - MARGIN:
        mean = "the mean of the residual cannot be predicted, which is no fault: what is left is noise"
    else:
        mean = f"the mean of the forecast is corrected by {1 - skill:.0%} of the residual's energy"
    if structure >= 1:
        shape = "no better than colored noise of the residual's spectrum"
    else:
        shape = f"{1 - structure:.0%} below the best that colored noise of the residual's spectrum can do"
    return [
        f"mean skill {skill:.3f}: {mean}",
        f"structure learned {structure:.3f}: the denoiser's error is {shape}",
        f"draws with {found['power of the draws']:.2f} of the residuals' power, "
        f"{found['worst mode of the draws']:.0%} off at the worst mode",
        f"residual {found['residual']:.3g}, in the units of the tokens, on held-out trajectories; "
        f"{found['residual in training']:.3g} in training (variance ratio {ratio:.2f})",
    ]


def _mean_skill(denoiser: Posterior, x0: Tensor, generator: Generator) -> float:
    one = x0.new_ones(len(x0))
    noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
    x_1 = denoiser.process.corrupt(torch.zeros_like(x0), noise, one)
    return ((denoiser(x_1, one) - x0).square().mean() / x0.square().mean()).item()


def _errors(
    denoisers: tuple[Posterior, ...], x0: Tensor, level: float, generator: Generator
) -> tuple[float, ...]:
    """Return the squared error of several denoisers under the same noise of one logSNR."""
    process = denoisers[0].process
    t = process.time(torch.full((len(x0),), level, dtype=torch.float64)).to(x0)
    noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
    x_t = process.corrupt(x0, noise, t)
    return tuple((denoiser(x_t, t) - x0).square().mean().item() for denoiser in denoisers)
