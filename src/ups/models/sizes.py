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
    kernel_size: PositiveInt | None = None
    """Cells that the local path sees along each axis, odd; null: 7 of a line, 3 where there are more axes."""

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int | None) -> int | None:
        if value is not None and value % 2 == 0:
            raise ValueError("must be odd, so that the kernel has a centre")
        return value

    def sizes(self, num_axes: int = 1) -> tuple[int, int, int, int]:
        """Return the arguments of the network: width, blocks, modes, kernel."""
        return self.width, self.num_blocks, self.modes, self.kernel_size or (7 if num_axes == 1 else 3)

    def require(self, cells: tuple[int, ...], who: str, advice: str) -> None:
        """See that every axis is long enough.

        Raises:
            UserError: it has too few cells for the modes or the kernel.
        """
        kernel_size = self.sizes(len(cells))[-1]
        least = max(2 * self.modes, kernel_size)
        if min(cells) < least:
            raise UserError(
                f"{who}: modes={self.modes}, kernel_size={kernel_size} need at least {least} cells, there are "
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
