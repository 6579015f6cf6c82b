"""A model in a folder: `model.json` says what to build, a safetensors file holds the numbers; loading runs no code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ups.config import Settings, validate
from ups.files import written_whole
from ups.types import UserError

MANIFEST = "model.json"

S = TypeVar("S", bound=Settings)
M = TypeVar("M", bound=nn.Module)


class Record(Settings):
    """What `model.json` holds."""

    format: Literal["ups model 1"] = "ups model 1"
    """Marks the file as ours, and the version of its layout."""
    weights: str
    """Name of the file of weights beside this one."""
    sha256: str
    """Digest of that file."""
    model: dict[str, Any]
    """The model's manifest."""


class Described(Settings):
    """What every manifest says, whatever else it holds."""

    model_config = ConfigDict(extra="ignore")

    kind: str
    """What the model is."""


@runtime_checkable
class Saveable(Protocol):
    """A module that can say from what it was built."""

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors of the module by name."""
        ...

    def manifest(self) -> Settings:
        """Return everything but the numbers that is needed to build the module again."""
        ...


def save(model: Saveable, folder: Path) -> None:
    """Write a model into a folder, in place of the one that was there.

    The weights go into a file named by their sha256, then `model.json` is replaced in one step, then older weights
    are removed: whoever reads meanwhile, or after a crash, finds the old model or the new one, whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = save_tensors(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    name = f"{digest[:16]}.safetensors"
    with written_whole(folder / name) as temporary:
        temporary.write_bytes(weights)
    record = Record(weights=name, sha256=digest, model=model.manifest().model_dump(mode="json"))
    with written_whole(folder / MANIFEST) as temporary:
        temporary.write_text(record.model_dump_json(indent=2))
    for path in folder.glob("*.safetensors"):
        if path.name != name:
            path.unlink()


def read(folder: Path, kind: type[S]) -> tuple[S, dict[str, Tensor]]:
    """Return what `save` wrote: the manifest and the tensors.

    Raises:
        UserError: there is no model in the folder, or it is damaged or of another kind.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot read the model: {error.strerror or error}") from None
    except ValueError:
        raise UserError(f"{path}: damaged, not valid JSON; train or copy the model again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a model; expected what training writes into stages/")
    try:
        record = validate(Record, content)
        manifest = validate(kind, record.model)
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

    Raises:
        UserError: the tensors are not those of the model.
    """
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder}: the weights do not fit the settings in {MANIFEST}: {reason}") from None
    return model.eval()
