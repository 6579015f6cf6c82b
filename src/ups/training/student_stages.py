"""How a student is trained: Distill, towards the corrector that teaches it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.diffusion.flow_maps import ddim, move
from ups.diffusion.losses import consistency, shortcut
from ups.diffusion.times import dyadic
from ups.models.corrector import Corrected, Corrector, Given, pure_noise
from ups.models.student import Student
from ups.training.residuals import residuals
from ups.training.stages import Loss
from ups.types import Trajectory


@dataclass(frozen=True)
class Distill:
    """Train a student towards its teacher, the K-step corrector, on the residuals of the data.

    "trajectory": the teacher walks its K hops from noise; jumps over the whole walk, over its halves and between two
    random points of it have to land where it leads; the trivial predictor only shrinks the noise. "consistency" (with
    `ddim` hops) and "shortcut" are the losses of `ups.diffusion.losses`; the trivial predictor finds no residual,
    x0_hat = 0.
    """

    name: str
    student: Corrected
    teacher: Corrected

    @property
    def model(self) -> nn.Module:
        """The student."""
        return self.student.correction

    def window(self, progress: float) -> int:
        """Return the frames that the emulator reads, and the one to forecast."""
        return self.student.emulator.codec.spin_up + 1

    def loss(self, batch: Trajectory, generator: Generator) -> Loss:
        """Return the loss of each window, and that of the trivial predictor."""
        student: Student = self.student.correction
        corrector: Corrector = self.teacher.correction
        given, found = residuals(self.teacher.emulator, batch, 0)
        x0 = found / corrector.spectrum.std
        if student.settings.method == "trajectory":
            return self._trajectory(given, x0, generator)
        num_steps, weighting = student.settings.teacher_steps, corrector.settings.weighting.build()
        noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
        jump = student.jump.given(*given)
        process = corrector.denoiser.process
        if student.settings.method == "shortcut":
            hops = dyadic(num_steps.bit_length() - 1, 0.5)((len(x0),), generator)
            t, s = hops.t.to(x0), hops.s.to(x0)
            loss = shortcut(jump, jump, x0, noise, t, s, hops.smallest, weighting)
        else:
            grid = corrector.grid(num_steps).to(x0)
            k = torch.randint(num_steps, (len(x0),), generator=generator, device=generator.device)
            t = grid[k]
            x_t = process.corrupt(x0, noise, t)
            teacher = ddim(corrector.denoiser.given(*given))
            loss = consistency(jump, jump, teacher, x_t, t, grid[k + 1], weighting)
        trivial = weighting(process.logsnr(t)) * x0.square().flatten(1).mean(1)
        return loss, {"trivial": trivial}

    def _trajectory(self, given: Given, x0: Float[Tensor, "batch token dim"], generator: Generator) -> Loss:
        student: Student = self.student.correction
        corrector: Corrector = self.teacher.correction
        process, num_steps, num = corrector.denoiser.process, student.settings.teacher_steps, len(x0)
        grid = corrector.grid(num_steps).to(x0)
        with torch.no_grad():
            points = [pure_noise(process, x0, generator)]
            hop = corrector.flow_map(given, generator)
            for t, s in pairwise(grid):
                points.append(hop(points[-1], t.expand(num), s.expand(num)))
        # the walk costs as much as five jumps are to learn, so it teaches several: the whole, both halves, any part
        start = torch.randint(num_steps, (num,), generator=generator, device=generator.device)
        far = torch.rand((num,), generator=generator, device=generator.device)
        end = (start + 1 + (far * (num_steps - start)).long()).clamp(max=num_steps)
        none, half, all_ = (torch.full_like(start, k) for k in (0, num_steps // 2, num_steps))
        walk, rows = torch.stack(points), torch.arange(num, device=x0.device)
        losses, trivial = [], []
        for first, last in ((none, all_), (none, half), (half, all_), (start, end)):
            x_t, x_s, t, s = walk[first, rows], walk[last, rows], grid[first], grid[last]
            still = move(process, x_t, torch.zeros_like(x_t), t, s)
            losses.append((student.jump(x_t, t, s, *given) - x_s).square().flatten(1).mean(1))
            trivial.append((x_s - still).square().flatten(1).mean(1))
        return torch.stack(losses).mean(0), {"trivial": torch.stack(trivial).mean(0)}
