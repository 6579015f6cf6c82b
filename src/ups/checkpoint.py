"""A model in a folder: `model.json` says what to build, a safetensors file holds the numbers; loading runs no code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ups.config import Settings, nearest, override, validate
from ups.files import sealed, unsealed, written_whole
from ups.types import UserError

MANIFEST = "model.json"

M = TypeVar("M")


class Saved(Settings):
    """What `model.json` holds."""

    format: Literal["ups model 1"] = "ups model 1"
    """Marks the file as ours, and the version of its layout."""
    weights: str
    """Name of the file of weights beside this one."""
    sha256: str
    """Digest of that file."""
    model: dict[str, Any]
    """The model's manifest."""


class Manifest(Settings):
    """From what a model was built: all but its numbers. Every kind of model that is saved has one.

    A kind is known as soon as the module that defines it is imported; nothing registers it.
    """

    kind: str
    """What the model is."""

    free: ClassVar[tuple[str, ...]] = ()
    """Paths of the settings that may change after the training: how a sampler samples, say."""

    def build(self) -> Any:
        """Return the model, its numbers still to be restored."""
        raise NotImplementedError

    def changed(self, assignments: Iterable[str]) -> Any:
        """Return the manifest with free settings changed, each named by the last part of its path.

        Raises:
            UserError: a setting is not free, or its value is not valid.
        """
        free = {path.rpartition(".")[2]: path for path in self.free}
        changes = []
        for assignment in assignments:
            name, _, value = assignment.partition("=")
            if name not in free:
                known = nearest(name, free) if free else ""
                raise UserError(f"setting '{name}' of a trained {self.kind} cannot change now{known}")
            changes.append(f"{free[name]}={value}")
        return override(self, changes)


def kinds() -> dict[str, type[Manifest]]:
    """Return every kind of model whose module is imported."""
    found: dict[str, type[Manifest]] = {}
    waiting: list[type[Manifest]] = [Manifest]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            found[kind.model_fields["kind"].default] = kind
    return found


@runtime_checkable
class Saveable(Protocol):
    """A model that can say from what it was built; its numbers, if it has any, are those of a module."""

    def manifest(self) -> Manifest:
        """Return everything but the numbers that is needed to build the module again."""
        ...


def save(model: Saveable, folder: Path) -> None:
    """Write a model into a folder, in place of the one that was there.

    The weights go into a file named by their sha256, then `model.json` is replaced in one step, then older weights
    are removed: whoever reads meanwhile, or after a crash, finds the old model or the new one, whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict() if isinstance(model, nn.Module) else {}
    # clones, since a model may hold one part in two places
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}
    weights = save_tensors(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    name = f"{digest[:16]}.safetensors"
    with written_whole(folder / name) as temporary:
        temporary.write_bytes(weights)
    record = Saved(weights=name, sha256=digest, model=model.manifest().model_dump(mode="json"))
    with written_whole(folder / MANIFEST) as temporary:
        temporary.write_text(sealed(record.model_dump(mode="json")))
    for path in folder.glob("*.safetensors"):
        if path.name != name:
            path.unlink()


def load(folder: Path, assignments: Iterable[str] = ()) -> Any:
    """Return the model that `save` wrote into a folder, in evaluation mode; `assignments` change its free settings.

    Raises:
        UserError: there is no model in the folder, it is damaged, or of a kind that is not known here.
    """
    manifest, tensors = read(folder)
    return restore(manifest.changed(assignments).build(), tensors, folder)


def read(folder: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """Return what `save` wrote: the manifest and the tensors.

    Raises:
        UserError: there is no model in the folder, or it is damaged or of a kind that is not known here.
    """
    path = folder / MANIFEST
    try:
        content = unsealed(path.read_bytes(), path)
    except OSError as error:
        raise UserError(f"{path}: cannot read the model: {error.strerror or error}") from None
    try:
        record = validate(Saved, content)
        kind, known = str(record.model.get("kind")), kinds()
        if kind not in known:
            raise UserError(f"a model of kind '{kind}' is not known{nearest(kind, known)}")
        manifest = validate(known[kind], record.model)
    except UserError as error:
        raise UserError(f"{path}: not a model that can be loaded here: {error}") from None
    weights_path = folder / Path(record.weights).name
    try:
        weights = weights_path.read_bytes()
    except OSError as error:
        raise UserError(f"{weights_path}: cannot read the weights: {error.strerror or error}") from None
    if hashlib.sha256(weights).hexdigest() != record.sha256:
        raise UserError(
            f"{weights_path}: damaged, its sha256 is not the one in {MANIFEST}; copy the model again"
        )
    try:
        return manifest, load_tensors(weights)
    except SafetensorError as error:
        raise UserError(f"{weights_path}: damaged: {error}") from None


def restore(model: M, tensors: dict[str, Tensor], folder: Path) -> M:
    """Put tensors into a freshly built model, every one and no other; return it in evaluation mode.

    A model without numbers, a classical solver, needs none and is returned as it is.

    Raises:
        UserError: the tensors are not those of the model.
    """
    if not isinstance(model, nn.Module):
        return model
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder}: the weights do not fit the settings in {MANIFEST}: {reason}") from None
    return model.eval()
