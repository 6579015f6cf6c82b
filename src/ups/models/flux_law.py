"""An operator that learns the law itself: the flux and the diffusion of a scalar conservation law."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ups.config import Settings
from ups.models.autoencoder import Codec
from ups.models.initialization import initialize
from ups.models.law_regression import NO_DIFFUSION, regress_law
from ups.models.normalizer import Normalizer
from ups.models.refined import RefinedCodec
from ups.nets.blocks import ConditionEmbedding, zero_init
from ups.nets.flux_law import advance_law
from ups.progress import Progress
from ups.types import Fields, Trajectory, UserError

COND_DIM = 16
"""Length of the vector that tells the law the parameters."""

VALUE_SCALE = 4.0
"""Normalized values are divided by this, so that the powers of nearly all of them are at most 1."""

SPEED_UNIT = 0.02
"""Unit of what is learned about the speed, in parts of the speed that training starts from."""

SLOWEST_DIFFUSION = 1e-5
"""Smallest unit of what is learned about the diffusion, in squared lengths of the domain a frame; otherwise it is
the diffusion that training starts from."""


class FluxLawOperator(nn.Module):
    """One frame of v_t + f(v; params)_x = D(params) v_xx, solved on the cells of the state; f and D are learned.

    The speed f'(v) is a polynomial, D a number not below 0; a small network gives both from the parameters. Space
    is measured in lengths of the domain, time in training steps, so `dt` scales the law. What the law cannot
    express (memory, sources, derivatives of higher order) this operator cannot learn; what it can express needs
    little data. The idea: Karlbauer et al., Finite volume neural networks, arXiv:2111.11798.
    """

    speed: Tensor
    log_diffusion: Tensor
    speed_unit: Tensor

    def __init__(self, settings: FluxLaw, num_params: int) -> None:
        super().__init__()
        self.settings = settings
        self.condition = ConditionEmbedding(num_params, COND_DIM) if num_params else None
        self.head = zero_init(nn.Linear(COND_DIM, settings.degree + 1))
        self.head.weight.requires_grad_(num_params > 0)
        self.register_buffer("speed", torch.zeros(settings.degree, 1 + num_params))
        self.register_buffer("log_diffusion", torch.tensor([math.log(NO_DIFFUSION)] + num_params * [0.0]))
        self.register_buffer("speed_unit", torch.tensor(SPEED_UNIT))

    @torch.no_grad()
    def start_from(
        self, codec: Codec, train: Trajectory, normalizer: Normalizer, progress: Progress | None = None
    ) -> None:
        """Set the law to the one that fits normalized trajectories best, whatever the codec.

        Everything learned is a correction of it, in parts of it.
        """
        found = regress_law(train.values[:, :, 0] / VALUE_SCALE, train.params, self.settings.degree)
        self.speed.copy_(found.speed)
        self.log_diffusion.copy_(found.log_diffusion)
        self.speed_unit.copy_(SPEED_UNIT * found.speed[:, 0].norm())

    def take(self, law: FluxLawOperator) -> None:
        """Start from a law that was read before."""
        self.load_state_dict(law.state_dict())

    def law(
        self, params: Float[Tensor, "batch param"]
    ) -> tuple[Float[Tensor, "batch power"], Float[Tensor, " batch"]]:
        """Return the coefficients of the speed in powers of v / VALUE_SCALE, and the diffusion."""
        learned = self.head.bias.expand(len(params), -1)
        if self.condition is not None:
            # nothing at the mean of the parameters, so that one that never varies adds no way to be wrong
            features = self.condition(params) - self.condition(torch.zeros_like(params))
            learned = learned + nn.functional.linear(features, self.head.weight)
        affine = torch.cat([params.new_ones(len(params), 1), params], 1)
        speed = affine @ self.speed.T + self.speed_unit * learned[:, :-1]
        found = (affine @ self.log_diffusion).exp()
        diffusion = found + found.clamp(min=SLOWEST_DIFFUSION) * learned[:, -1]
        # not negative, with a gradient that leads back from where it would be
        diffusion = diffusion + (diffusion.clamp(min=0) - diffusion).detach()
        return speed, diffusion

    def forward(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens `dt` later, in units of the training step."""
        speed, diffusion = self.law(params)
        v = advance_law(z[..., 0] / VALUE_SCALE, dt[:, None] * speed, dt * diffusion)
        return (v * VALUE_SCALE)[..., None]


class FluxLaw(Settings):
    """A finite-volume scheme with a learned law of the flux: exact conservation, few numbers to learn."""

    kind: Literal["flux_law"] = "flux_law"
    degree: PositiveInt = Field(default=4, le=8)
    """Coefficients of the polynomial that gives the speed f'(v): its degree plus one."""

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> FluxLawOperator:
        """Return the operator.

        Raises:
            UserError: the codec has no finer cells, or the data are not one conserved field.
        """
        if not isinstance(codec, RefinedCodec):
            raise UserError(
                f"operator.kind=flux_law works on cell averages, not on '{codec.settings.kind}' tokens: set "
                "codec.kind=refined"
            )
        if len(fields.names) != 1 or fields.conserved != fields.names:
            raise UserError(
                f"operator.kind=flux_law learns the law of one conserved field; the data have the fields "
                f"{', '.join(fields.names)}, of which conserved: {', '.join(fields.conserved) or 'none'}; choose "
                "operator.kind=spectral_flux with codec.kind=identity"
            )
        return initialize(lambda: FluxLawOperator(self, len(fields.params)), generator)
