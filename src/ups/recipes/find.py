"""From what the user typed to a recipe or a study: a name, file.py:function, or a .yaml/.json file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import ups.recipes
from ups.config import Settings, merge, nearest, read_tree, shown, validate
from ups.runs.kinds import KINDS, AnyRun
from ups.studies.study import Study
from ups.types import UserError


def find_run(recipe: str) -> tuple[str, AnyRun]:
    """Return the short name and the settings of a recipe, of whichever kind of run.

    A .yaml or .json file names the recipe that it starts from as `extends` (a file, relative to its own folder) and the
    settings that differ. A Python file may import its neighbours.

    Raises:
        UserError: there is no such recipe (the nearest name is given), or the file is at fault.
    """
    return _find(recipe, KINDS)


def find_study(study: str) -> tuple[str, Study]:
    """Return the short name and the definition of a study; named as `find_run` says.

    Raises:
        UserError: there is no such study (the nearest name is given), or the file is at fault.
    """
    return _find(study, (Study,))


def describe_recipes() -> list[tuple[str, str]]:
    """Return the name and the first docstring line of each recipe."""
    return [(name, _first_line(function)) for name, function in _named(KINDS)]


def describe_studies() -> list[tuple[str, str]]:
    """Return the name and the first docstring line of each study."""
    return [(name, _first_line(function)) for name, function in _named((Study,))]


def _find(
    text: str, kinds: tuple[type[Settings], ...], folder: Path = Path(), below: tuple[Path, ...] = ()
) -> tuple[str, Any]:
    """Find what is meant in a folder; `below` are the files that extend it."""
    name, _, function = text.partition(":")
    noun, path = "study" if Study in kinds else "recipe", folder / name
    if path.suffix in (".yaml", ".yml", ".json"):
        if path.resolve() in below:
            raise UserError(f"{path}: extends itself")
        tree = read_tree(path)
        if "extends" not in tree:
            raise UserError(f"{path}: name the {noun} that it starts from, e.g. 'extends: burgers.quick'")
        _, parent = _find(str(tree.pop("extends")), kinds, path.parent, (*below, path.resolve()))
        return path.stem, merge(parent, tree)
    if path.suffix == ".py":
        with _blamed_on(path):
            return function, _call(_module_from_file(path), function, path, kinds)
    named = dict(_named(kinds))
    if text not in named:
        raise UserError(f"{noun} '{shown(text)}': no such {noun}{nearest(text, named)}; `ups list` shows all")
    return text, named[text]()


def _first_line(function: Callable) -> str:
    return (inspect.getdoc(function) or "").split("\n")[0]


def _named(kinds: tuple[type[Settings], ...]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every public function of a module in this package that says it returns one of these kinds."""
    for module_info in pkgutil.iter_modules(ups.recipes.__path__):
        if module_info.name == "find":
            continue
        module = importlib.import_module(f"ups.recipes.{module_info.name}")
        for name, function in list(vars(module).items()):
            if (
                not name.startswith("_")
                and inspect.isfunction(function)
                and function.__module__ == module.__name__
                and issubclass(get_type_hints(function)["return"], kinds)
            ):
                yield f"{module_info.name}.{name}", function


def _module_from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_file_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"recipe file {path}: no such file")
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)  # last: what the house and its packages are called keeps its meaning
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _blamed_on(path: Path) -> Generator[None]:
    """Turn whatever a user's file raises into one line that says where."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        where = path if line is None else f"{path}, line {line}"
        raise UserError(f"{where}: {type(error).__name__}: {shown(what)}") from None


def _call(module: ModuleType, function: str, path: Path, kinds: tuple[type[Settings], ...]) -> Any:
    functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
    if function not in functions:
        raise UserError(
            f"{path}: no function '{shown(function)}'{nearest(function, functions)}; write {path}:FUNCTION"
        )
    settings = getattr(module, function)()
    if not isinstance(settings, kinds):
        wanted = " or ".join(f"{kind.__module__}.{kind.__name__}" for kind in kinds)
        raise UserError(f"{path}:{function}: must return a {wanted}, not {type(settings).__name__}")
    return validate(type(settings), settings.model_dump(mode="json", warnings=False))
