"""An operator that learns the law itself: the flux and the diffusion of a scalar conservation law."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from ups.config import Settings
from ups.models.autoencoder import Codec
from ups.models.initialization import initialize
from ups.models.refined import RefinedCodec
from ups.nets.blocks import ConditionEmbedding, zero_init
from ups.nets.flux_law import advance_law
from ups.types import Fields, UserError

COND_DIM = 16
"""Length of the vector that tells the law the parameters."""

VALUE_SCALE = 4.0
"""Normalized values are divided by this, so that the powers of nearly all of them are at most 1."""

HIGHER_POWERS = 0.1
"""Unit of the coefficients of v^2 and higher in the speed: a flux is quadratic unless the data insist."""

DIFFUSION_SCALE = 1e-3
"""Unit of the diffusion, in squared lengths of the domain a frame: what thins features to a thirtieth of it."""


class LawOperator(nn.Module):
    """One frame of v_t + f(v; params)_x = D(params) v_xx, solved on the cells of the state; f and D are learned.

    The speed f'(v) is a polynomial, D a number not below 0; a small network gives both from the parameters. Space
    is measured in lengths of the domain, time in training steps, so `dt` scales the law. What the law cannot
    express (memory, sources, derivatives of higher order) this operator cannot learn; what it can express needs
    little data. The idea: Karlbauer et al., Finite volume neural networks, arXiv:2111.11798.
    """

    scale: Tensor

    def __init__(self, settings: FluxLaw, num_params: int) -> None:
        super().__init__()
        self.settings = settings
        self.condition = ConditionEmbedding(num_params, COND_DIM) if num_params else None
        self.head = zero_init(nn.Linear(COND_DIM, settings.degree + 1))
        self.head.weight.requires_grad_(num_params > 0)
        scale = torch.tensor([1.0, 1.0] + [HIGHER_POWERS] * (settings.degree - 2))[: settings.degree]
        self.register_buffer("scale", scale, persistent=False)

    def law(
        self, params: Float[Tensor, "batch param"]
    ) -> tuple[Float[Tensor, "batch power"], Float[Tensor, " batch"]]:
        """Return the coefficients of the speed in powers of v / VALUE_SCALE, and the diffusion."""
        numbers = self.head.bias.expand(len(params), -1)
        if self.condition is not None:
            # nothing at the mean of the parameters, so that one that never varies adds no way to be wrong
            features = self.condition(params) - self.condition(torch.zeros_like(params))
            numbers = numbers + nn.functional.linear(features, self.head.weight)
        diffusion = numbers[:, -1]
        # not negative, with a gradient that leads back from where it would be
        diffusion = diffusion + (diffusion.clamp(min=0) - diffusion).detach()
        return self.scale * numbers[:, :-1], DIFFUSION_SCALE * diffusion

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

    def build(self, codec: Codec, fields: Fields, num_cells: int, generator: Generator) -> LawOperator:
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
        return initialize(lambda: LawOperator(self, len(fields.params)), generator)
