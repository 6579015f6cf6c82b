"""How large networks are, for whatever role they play."""

from __future__ import annotations

from pydantic import PositiveInt, field_validator, model_validator

from ups.config import Settings
from ups.types import UserError


class SpectralLocalSize(Settings):
    """The size of a `ups.nets.fourier.SpectralLocalNet`."""

    width: PositiveInt = 32
    """Channels."""
    num_blocks: PositiveInt = 4
    """Residual blocks."""
    modes: PositiveInt = 32
    """Fourier modes of the global path along each axis; at most half the number of its cells."""
    kernel_size: PositiveInt = 7
    """Cells that the local path sees along each axis; odd."""

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that the kernel has a centre")
        return value

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """The arguments of the network: width, blocks, modes, kernel."""
        return self.width, self.num_blocks, self.modes, self.kernel_size

    def require(self, cells: tuple[int, ...], who: str, advice: str) -> None:
        """See that every axis is long enough.

        Raises:
            UserError: it has too few cells for the modes or the kernel.
        """
        least = max(2 * self.modes, self.kernel_size)
        if min(cells) < least:
            raise UserError(
                f"{who}: modes={self.modes}, kernel_size={self.kernel_size} need at least {least} cells, there are "
                f"{' x '.join(map(str, cells))}; {advice}"
            )


class AttentionSize(Settings):
    """The width of blocks of attention, and the heads that share it."""

    hidden_dim: PositiveInt = 96
    """Width of the blocks; a multiple of num_heads."""
    num_heads: PositiveInt = 6
    """Attention heads."""

    @model_validator(mode="after")
    def _heads_divide(self) -> AttentionSize:
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}")
        return self
