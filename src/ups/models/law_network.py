"""An operator of two parts: a law that is read off the data, and a network that learns what the law leaves."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ups.models.autoencoder import Codec
from ups.models.initialization import initialize
from ups.models.law_operator import Law, LawOperator, require_cells
from ups.models.normalizer import Normalizer
from ups.models.sizes import SpectralLocalSize
from ups.models.waves import flux_counts, rate
from ups.nets.blocks import ConditionEmbedding
from ups.nets.fourier import SpectralLocalNet
from ups.progress import Progress
from ups.types import Fields, Trajectory

COND_DIM = 16
"""Length of the vector that tells the blocks dt and the parameters."""


class LawNetworkOperator(nn.Module):
    """z' = law(z) + dt unit change(z, law(z)): a law in waves, and spectral and local convolutions for what it leaves.

    The law is fixed (`law_operator`). The network sees the frame and the change that the law makes; its outputs are in
    units of what the law leaves on the training data, and, where a field is conserved, fluxes. Both change only the
    waves that the data have. At initialization the operator is the law.
    """

    def __init__(self, settings: LawNetwork, fields: Fields) -> None:
        super().__init__()
        self.settings = settings
        self.law = LawOperator(Law(), fields)
        self.walls = fields.grid.walls
        self.conserved = [field.conserved for field in fields.each]
        self.condition = ConditionEmbedding(1 + len(fields.params), COND_DIM)
        inputs, outputs = 2 * len(fields.names), sum(flux_counts(self.conserved, len(fields.grid)))
        self.net = SpectralLocalNet(inputs, outputs, *settings.sizes(len(fields.grid)), COND_DIM, self.walls)
        if all(self.conserved) and fields.grid.is_periodic:  # a constant flux changes nothing
            self.net.head[-1].bias.requires_grad_(False)

    def start_from(
        self, codec: Codec, train: Trajectory, normalizer: Normalizer, progress: Progress | None = None
    ) -> None:
        """Read the law off normalized trajectories."""
        self.law.start_from(codec, train, normalizer, progress)

    def take(self, law: LawOperator) -> None:
        """Stand on a law that was read before."""
        self.law.load_state_dict(law.state_dict())

    def forward(
        self,
        z: Float[Tensor, "batch token dim"],
        dt: Float[Tensor, " batch"],
        params: Float[Tensor, "batch param"],
    ) -> Float[Tensor, "batch token dim"]:
        """Return the tokens `dt` later, in units of the training step."""
        modes, across = self.law.modes, self.law.across
        frame = z.mT.unflatten(2, modes.grid.shape)
        made = self.law.frame(frame, params)
        seen = torch.cat([frame, (made - frame) / across(self.law.change_unit)], 1)
        out = self.net(seen, self.condition(torch.cat([dt[:, None], params], 1))).float()
        change = rate(out, self.conserved, self.walls)
        change = modes.back(self.law.law.band * modes.forth(change)) * across(self.law.left_unit)
        return (made + dt.reshape(-1, *(1,) * (frame.ndim - 1)) * change).flatten(2).mT


class LawNetwork(SpectralLocalSize):
    """A law that is read off the data, and spectral and local convolutions for what it leaves."""

    kind: Literal["law_network"] = "law_network"

    def build(self, codec: Codec, fields: Fields, generator: Generator) -> LawNetworkOperator:
        """Return the operator.

        Raises:
            UserError: the codec compresses, an axis is neither periodic nor between walls, or has too few cells.
        """
        require_cells(codec, fields, "operator.kind=law_network")
        self.require(fields.grid.shape, "operator.kind=law_network", "take fewer modes")
        return initialize(lambda: LawNetworkOperator(self, fields), generator)
