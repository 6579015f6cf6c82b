"""What is known of the equation behind data, saved with what uses it."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from ups.checkpoint import Manifest, kinds
from ups.config import nearest, validate
from ups.models.emulator import Emulator, EmulatorManifest
from ups.models.step_residual import Residual, of_equation, of_law
from ups.solvers.equations import EQUATIONS
from ups.types import Fields, UserError


class KnownManifest(Manifest):
    """What is known of the equation behind data."""

    kind: Literal["known"] = "known"
    fields: Fields
    """The data."""
    equation: str = ""
    """The name of its class, where it is stated."""
    cells: tuple[int, ...] | None = None
    """Of the solver that made them, where they are known."""
    law: EmulatorManifest | None = None
    """The law that was read off them, where one was."""

    def build(self) -> Known:
        """Return it, the numbers of the law still to be restored.

        Raises:
            UserError: there is no such equation.
        """
        return Known(self.fields, self.equation, self.cells, self.law.build() if self.law else None)


class Known(nn.Module):
    """The equation behind data: stated with them (`equation`), read off them (`law`), or not known at all."""

    def __init__(
        self,
        fields: Fields,
        equation: str = "",
        cells: tuple[int, ...] | None = None,
        law: Emulator | None = None,
    ) -> None:
        super().__init__()
        self.fields, self.equation, self.cells, self.law = fields, equation, cells, law
        known = {kind.__name__: kind for kind in EQUATIONS.values()}
        if equation and equation not in known:
            raise UserError(f"search: no equation '{equation}'{nearest(equation, known)}")
        self.residual: Residual | None = None
        if law is not None:
            self.residual = of_law(law)
        elif equation:
            self.residual = of_equation(known[equation], fields, cells)

    def manifest(self) -> KnownManifest:
        """Return what is needed to know it again."""
        law = self.law.manifest() if self.law is not None else None
        return KnownManifest(fields=self.fields, equation=self.equation, cells=self.cells, law=law)


def stated(stepper: Any) -> dict[str, Any]:
    """Return from what a stepper was built, as the manifest of what wraps it holds it."""
    return stepper.manifest().model_dump(mode="json")


def built(manifest: dict[str, Any]) -> Any:
    """Return the stepper of a manifest, its numbers still to be restored.

    Raises:
        UserError: its kind is not known, or the manifest does not fit it.
    """
    kind, known = str(manifest.get("kind")), kinds()
    if kind not in known:
        raise UserError(f"a model of kind '{kind}' is not known{nearest(kind, known)}")
    return validate(known[kind], manifest).build()
