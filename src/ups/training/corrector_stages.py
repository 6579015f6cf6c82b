"""How a corrector and its student are trained, and what says whether they have learned anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.denoiser import Posterior
from ups.diffusion.flow_maps import ddim, move
from ups.diffusion.losses import consistency, denoising, shortcut
from ups.diffusion.times import beta, dyadic, stratified
from ups.models.corrector import Corrected, Corrector, Given, Wiener, given_of
from ups.models.residual import ResidualSpectrum, mode_powers
from ups.models.student import Student
from ups.training.stages import Loss
from ups.types import Trajectory, UserError

LEVELS = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""LogSNRs at which a denoiser is compared with the best linear one."""

FAILED = 1.02
"""Mean skill above which a corrector is worse than none."""

NUM_WINDOWS = 512
"""Windows of held-out data on which a corrector is judged."""


def residuals(
    corrected: Any, batch: Trajectory, num_rolled: int
) -> tuple[Given, Float[Tensor, "batch token dim"]]:
    """Return what a corrector is given after `num_rolled` steps of the operator's rollout, and the residual there.

    residual = encode(truth) - operator(state), in units of the tokens; `corrected` is an emulator or a corrected one.
    """
    emulator = getattr(corrected, "emulator", corrected)
    past = emulator.codec.spin_up
    with torch.no_grad():
        state = emulator.encode(batch.values[:, :past], batch.params)
        for _ in range(num_rolled):
            state = emulator.advance(state)
        forecast, _ = emulator.advance(state)
        truth, _ = emulator.encode(batch.values[:, num_rolled + 1 : num_rolled + 1 + past], batch.params)
    return given_of(state, forecast), truth - forecast


def residual_spectrum(emulator: Any, data: Trajectory, num_rolled: int) -> ResidualSpectrum:
    """Return the spectrum of the residuals after 0 to `num_rolled` steps of rollout, over all frames.

    Raises:
        UserError: the trajectories are too short.
    """
    past, num_frames = emulator.codec.spin_up, data.values.shape[1]
    if num_frames < past + num_rolled + 1:
        raise UserError(
            f"stage 'corrector': trajectories have {num_frames} frames, but a residual after {num_rolled} steps needs "
            f"{past + num_rolled + 1}; lower corrector.rolled_steps"
        )
    powers = [
        mode_powers(residuals(emulator, data.window(start, past + rolled + 1), rolled)[1])
        for rolled in range(num_rolled + 1)
        for start in range(num_frames - past - rolled)
    ]
    return ResidualSpectrum(torch.stack(powers).mean(0), emulator.codec.num_tokens)


@dataclass(frozen=True)
class Correct:
    """Train a corrector's denoiser on the operator's residuals.

    The loss is the weighted squared error of the standardized residual at random noise levels. The trivial
    predictor is the best linear denoiser that knows the residual's spectrum: what coloured noise knows. So a loss of
    1 is a corrector that is no better than coloured noise.
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
        law = stratified() if settings.time_law == (1.0, 1.0) else beta(*settings.time_law)
        t = law((len(x0),), generator).to(x0)
        noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
        weighting = settings.weighting.build()
        loss = denoising(self.corrector.denoiser.given(*given), x0, noise, t, weighting)
        with torch.no_grad():
            linear = denoising(self._wiener(), x0, noise, t, weighting)
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
        given, found = residuals(self.corrected, batch, num_rolled)
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
      the residual's own spectrum. 1 or more is no better than coloured noise.
    - "residual" and "residual in training": standard deviations of the one-step residual, physical units of the
      normalizer, on held-out and on training trajectories; "variance ratio" is training over held-out.
    """
    given, x0 = _pool(stage, held_out)
    denoiser, wiener = stage.corrector.denoiser.given(*given), stage._wiener()
    errors = [_errors((denoiser, wiener), x0, level, generator) for level in LEVELS]
    ours, linear = (sum(column) for column in zip(*errors, strict=True))
    std = stage.corrector.spectrum.std
    here, there = (float((part * std).square().mean()) for part in (x0, _pool(stage, train)[1]))
    return {
        "mean skill": _mean_skill(denoiser, x0, generator),
        "structure learned": ours / linear,
        **{f"structure at logSNR {level:g}": a / b for level, (a, b) in zip(LEVELS, errors, strict=True)},
        "residual": here**0.5,
        "residual in training": there**0.5,
        "variance ratio": there / here,
    }


def explain(found: dict[str, float]) -> list[str]:
    """Return in words what `judge` found: why the residual's loss is the size it is."""
    skill, structure, ratio = found["mean skill"], found["structure learned"], found["variance ratio"]
    if skill > FAILED:
        mean = f"the stage has failed: predicting zero is better by {skill - 1:.0%}"
    elif skill > 0.98:
        mean = "the mean of the residual cannot be predicted, which is no fault: what is left is noise"
    else:
        mean = f"the mean of the forecast is corrected by {1 - skill:.0%} of the residual's energy"
    if structure >= 1:
        shape = "no better than coloured noise of the residual's spectrum"
    else:
        shape = f"{1 - structure:.0%} below the best that coloured noise of the residual's spectrum can do"
    return [
        f"mean skill {skill:.3f}: {mean}",
        f"structure learned {structure:.3f}: the denoiser's error is {shape}",
        f"residual {found['residual']:.3g} of the data's deviation on held-out trajectories, "
        f"{found['residual in training']:.3g} in training (variance ratio {ratio:.2f})",
    ]


@dataclass(frozen=True)
class Distill:
    """Train a student towards its teacher, the K-step corrector, on the residuals of the data.

    "trajectory": the teacher walks its K hops from noise; jumps over the whole walk, over its halves and between two
    random points of it have to land where it leads. "consistency" (with `ddim` hops) and "shortcut" are the losses
    of `ups.diffusion.losses`. The trivial predictor finds no residual, x0_hat = 0.
    """

    name: str
    student: Corrected
    teacher: Corrected

    @property
    def model(self) -> nn.Module:
        """The student."""
        return self.student.correction

    def window(self, progress: float) -> int:
        """Return the frames of one residual."""
        return self.student.emulator.codec.spin_up + 1

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the loss of each window, and that of predicting no residual."""
        student: Student = self.student.correction
        corrector: Corrector = self.teacher.correction
        given, found = residuals(self.teacher, batch, 0)
        x0 = found / corrector.spectrum.std
        noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
        weighting = corrector.settings.weighting.build()
        jump, teacher = student.jump.given(*given), ddim(corrector.denoiser.given(*given))
        num_steps = student.settings.teacher_steps
        match student.settings.method:
            case "shortcut":
                hops = dyadic(num_steps.bit_length() - 1, 0.5)((len(x0),), generator)
                t, s = hops.t.to(x0), hops.s.to(x0)
                loss = shortcut(jump, jump, x0, noise, t, s, hops.smallest, weighting)
            case "consistency":
                grid = corrector.grid(num_steps).to(x0)
                k = torch.randint(num_steps, (len(x0),), generator=generator, device=generator.device)
                x_t = corrector.denoiser.process.corrupt(x0, noise, grid[k])
                loss = consistency(jump, jump, teacher, x_t, grid[k], grid[k + 1], weighting)
            case _:
                return self._trajectory(given, noise, generator)
        return loss, {"trivial": x0.square().flatten(1).mean(1)}

    def _trajectory(
        self, given: Given, noise: Float[Tensor, "batch token dim"], generator: Generator
    ) -> Loss:
        student: Student = self.student.correction
        corrector: Corrector = self.teacher.correction
        process, num_steps = corrector.denoiser.process, student.settings.teacher_steps
        grid = corrector.grid(num_steps).to(noise)
        with torch.no_grad():
            hop = corrector.flow_map(given, generator)
            points = [process.corrupt(torch.zeros_like(noise), noise, grid[:1].expand(len(noise)))]
            for k in range(num_steps):
                points.append(hop(points[-1], grid[k].expand(len(noise)), grid[k + 1].expand(len(noise))))
        # the walk costs as much as five jumps are to learn, so it teaches several: the whole, both halves, any part
        start = torch.randint(num_steps, (len(noise),), generator=generator, device=generator.device)
        far = torch.rand((len(noise),), generator=generator, device=generator.device)
        end = (start + 1 + (far * (num_steps - start)).long()).clamp(max=num_steps)
        none, half, all_ = (torch.full_like(start, k) for k in (0, num_steps // 2, num_steps))
        walk, rows = torch.stack(points), torch.arange(len(noise), device=noise.device)
        losses, trivial = [], []
        for first, last in ((none, all_), (none, half), (half, all_), (start, end)):
            x_t, x_s, t, s = walk[first, rows], walk[last, rows], grid[first], grid[last]
            still = move(
                process, x_t, torch.zeros_like(x_t), t, s
            )  # without x0_hat it only shrinks the noise
            losses.append((student.jump(x_t, t, s, *given) - x_s).square().flatten(1).mean(1))
            trivial.append((x_s - still).square().flatten(1).mean(1))
        return torch.stack(losses).mean(0), {"trivial": torch.stack(trivial).mean(0)}


def _pool(stage: Correct, data: Trajectory) -> tuple[Given, Float[Tensor, "batch token dim"]]:
    """Return one-step residuals of windows spread over trajectories and frames."""
    length = stage.corrected.emulator.codec.spin_up + 1
    starts = data.values.shape[1] - length + 1
    count = min(NUM_WINDOWS, len(data) * starts)
    place = torch.linspace(0, len(data) * starts - 1, count).long().tolist()
    values = torch.stack([data.values[p // starts, p % starts : p % starts + length] for p in place])
    params = torch.stack([data.params[p // starts] for p in place])
    return stage._standardized(Trajectory(values, params, data.fields), 0)


def _mean_skill(denoiser: Posterior, x0: Tensor, generator: Generator) -> float:
    one = torch.ones(len(x0), device=x0.device)
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
