"""Trajectories of systems that are steered: actuators, and the policies that drive them while data are gathered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import Generator, Tensor

from ups import memory
from ups.config import Settings, digest
from ups.data.blocks import BLOCK
from ups.data.cache import cache_folder, cached
from ups.data.simulated import AXES, Cells
from ups.progress import Progress
from ups.solvers import initial
from ups.solvers.actuated import Actuated, Actuators, longest_step
from ups.solvers.equations import EQUATIONS
from ups.streams import stream
from ups.types import Axis, Fields, Grid, Trajectory

GENERATOR = 1
"""Version of what the settings mean."""

LARGEST = {"burgers": 3.0, "heat": 0.0, "vorticity": 0.0}
"""Speed of what moves, of fields that the default actuators can make; 0 where the scheme's own step will do."""

STEPS = {"burgers": 1.0, "heat": 1.0, "vorticity": 0.05}
"""Longest step in time, of flows of order one."""


class Policy(Settings):
    """How actions are chosen while data are gathered: at random, or against what an actuator feels.

    A random action is uniform in [-size, size] and held for some frames. Feedback answers with
    -gain x (mean of the field under the bump), plus a random action of a third of the size.
    """

    size: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Largest random action."""
    hold: PositiveInt = 4
    """Frames for which a random action is held."""
    feedback: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the trajectories that are steered by feedback."""
    gain: NonNegativeFloat = 2.0
    """Action per unit of the field."""


class Controlled(Settings):
    """Solutions of a forced equation on a periodic line or plane; each frame carries the action that follows it."""

    kind: Literal["controlled"] = "controlled"
    equation: Literal["burgers", "heat", "vorticity"] = "burgers"
    """Which; Burgers has PDEBench's convention, vorticity is a plane's and is not stirred but by the actuators."""
    nu: PositiveFloat = 0.1
    """Diffusion."""
    actuators: Actuators = Actuators()
    """What can be done."""
    policy: Policy = Policy()
    """What is done while data are gathered."""
    num_trajectories: PositiveInt = 400
    """The first n of an endless list."""
    num_frames: Annotated[int, Field(ge=3)] = 61
    """Frames of a trajectory, the initial one included."""
    num_cells: Annotated[Cells, BeforeValidator(lambda v: (v,) if isinstance(v, int) else v)] = (64,)
    """Cells along each axis; the solver has twice as many."""
    extent: PositiveFloat = 1.0
    """Length of every axis."""
    dt: PositiveFloat = 0.05
    """Physical time between two frames, for which an action is held."""
    seed: NonNegativeInt = 0
    """Of initial conditions and actions."""

    @model_validator(mode="after")
    def _lives_on_its_axes(self) -> Controlled:
        axes = 2 if self.equation == "vorticity" else 1
        if len(self.num_cells) != axes:
            raise ValueError(
                f"{self.equation} lives on {axes} {'axes' if axes > 1 else 'axis'}: give num_cells as many numbers"
            )
        return self

    @property
    def equation_class(self) -> None:
        """No classical solver as a rung: one that is not told the actions solves another problem."""
        return

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Trajectory:
        """Return the trajectories, from the cache if they were made before."""
        content = self.model_dump(mode="json") | {"generator": GENERATOR, "block": BLOCK}
        path = cache_folder(cache_dir) / f"controlled-{self.equation}-{digest(content)}.safetensors"
        made = cached(path, lambda: self._make(progress))
        return Trajectory(made["values"], made["params"], self.fields, actions=made["actions"])

    @property
    def fields(self) -> Fields:
        """What the numbers mean; what is forced is not conserved, but for vorticity, whose mean stays zero."""
        each = tuple(
            type(field)(field.name, field.unit, conserved=self.equation == "vorticity")
            for field in EQUATIONS[self.equation].data.fields
        )
        return Fields(each, self.grid(1), self.dt, actions=self.actuators.names)

    def grid(self, refinement: int) -> Grid:
        """Return the grid with so many solver cells in each that is kept."""
        axes = []
        for name, cells in zip(AXES, self.num_cells, strict=False):
            # every n-th solver cell is kept: samples are the centres of wider cells, shifted to the left
            fine = 2 * cells
            shift = 0.5 * self.extent * (1 / fine - 1 / cells) if refinement == 1 else 0.0
            axes.append(Axis(name, cells * refinement, self.extent, origin=shift))
        return Grid(tuple(axes))

    def solver(self) -> Actuated:
        """Return the solver that makes the data, on its own grid: (frame, actions) -> the next frame."""
        equation = EQUATIONS[self.equation]
        known = {"nu": torch.tensor([self.nu], dtype=torch.float64)}
        if self.equation == "vorticity":
            known["strength"] = torch.zeros(1, dtype=torch.float64)
        grid = self.grid(2)
        longest = min(STEPS[self.equation], self.dt)
        if speed := LARGEST[self.equation]:
            longest = min(longest, longest_step(grid, self.dt, speed))
        made: Any = equation(**known)
        return Actuated(made, grid, self.dt, self.actuators, longest, self.equation == "vorticity")

    def answers(
        self, frame: Float[Tensor, "batch 1 *grid"], actions: Float[Tensor, "batch time actuator"]
    ) -> Float[Tensor, "batch time 1 *kept"]:
        """Return the frames that follow frames on the solver's grid under a plan, on the grid of the data."""
        solver, state, frames = self.solver(), frame[:, 0].double(), []
        for action in actions.unbind(1):
            state = solver(state, action)
            frames.append(self.kept(state)[:, None])
        return torch.stack(frames, 1)

    def refined(self, frames: Float[Tensor, "batch 1 *grid"]) -> Float[Tensor, "batch 1 *fine"]:
        """Return the waves through samples that are kept, on the solver's grid: what `kept` keeps of them is the same.

        Without Nyquist's, whose phase no sample tells.
        """
        frames = frames.double()
        for place in range(2, frames.ndim):
            cells = frames.shape[place]
            spectrum = torch.fft.rfft(frames, dim=place).narrow(place, 0, (cells + 1) // 2)
            frames = 2 * torch.fft.irfft(spectrum, n=2 * cells, dim=place)
        return frames

    def kept(self, frames: Float[Tensor, "*batch_and_grid"]) -> Float[Tensor, "*batch_and_kept"]:
        """Return the samples that are kept of frames on the solver's grid."""
        return frames[(..., *(slice(None, None, 2) for _ in self.num_cells))]

    def starts(self, block: int) -> Float[Tensor, "batch *grid"]:
        """Return the initial frames of a block of trajectories, on the solver's grid."""
        law = "gaussian_field" if self.equation == "vorticity" else "clean"
        generator = stream(self.seed, "initial", block)
        return initial.start(law, BLOCK, self.grid(2), generator, 0.0, False)[:, 0]

    def _make(self, progress: Progress | None) -> dict[str, Tensor]:
        number, count = self.num_trajectories, self.actuators.number
        cells = torch.Size(self.num_cells).numel()
        memory.require(
            8.0 * number * self.num_frames * cells, f"data: {number} controlled trajectories", "fewer of them"
        )
        values = torch.empty(number, self.num_frames, 1, *self.num_cells)
        actions = torch.zeros(number, self.num_frames, count)
        solver = self.solver()
        for start in range(0, number, BLOCK):
            rows = min(BLOCK, number - start)
            frames, done = self._block(start // BLOCK, solver)
            values[start : start + rows], actions[start : start + rows] = frames[:rows], done[:rows]
            if progress:
                progress(min(1.0, (start + BLOCK) / number), f"solving {self.equation} under control")
        return {"values": values, "params": torch.zeros(number, 0), "actions": actions}

    def _block(self, block: int, solver: Actuated) -> tuple[Tensor, Tensor]:
        """Return the frames of one block of trajectories, and the actions that follow each."""
        state, generator = self.starts(block), stream(self.seed, "actions", block)
        steered = torch.rand(BLOCK, 1, generator=generator) < self.policy.feedback
        frames, actions, held = [self.kept(state)], [], torch.zeros(BLOCK, self.actuators.number)
        for frame in range(self.num_frames):
            if frame % self.policy.hold == 0:
                held = self.policy.size * (2 * _uniform(held.shape, generator) - 1)
            action = torch.where(steered, self._answer(state, solver) + held / 3, held).clamp(-1, 1)
            actions.append(action)
            if frame < self.num_frames - 1:
                state = solver(state, action)
                frames.append(self.kept(state))
        return torch.stack(frames, 1)[:, :, None].float(), torch.stack(actions, 1).float()

    def _answer(self, state: Float[Tensor, "batch *grid"], solver: Actuated) -> Tensor:
        """Return feedback: minus the gain times the mean of the field under each bump."""
        shapes = solver.shapes.flatten(1).clamp(min=0)
        felt = state.flatten(1) @ (shapes / shapes.sum(1, keepdim=True)).T
        return -self.policy.gain * felt.float()


def _uniform(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator)
