"""From what the user typed to a recipe: a name, file.py:function, or a .yaml/.json file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import ups.recipes
from ups.config import merge, nearest, read_tree
from ups.pipeline import Run
from ups.types import UserError


def find_run(recipe: str) -> tuple[str, Run]:
    """Return the short name and the settings of a recipe.

    A .yaml or .json file names the recipe that it starts from as `extends` and the settings that differ.

    Raises:
        UserError: there is no such recipe (the nearest name is given), or the file is at fault.
    """
    path, _, function = recipe.partition(":")
    if path.endswith((".yaml", ".yml", ".json")):
        tree = read_tree(Path(path))
        if "extends" not in tree:
            raise UserError(f"{path}: name the recipe that it starts from, e.g. 'extends: burgers.quick'")
        _, parent = find_run(str(tree.pop("extends")))
        return Path(path).stem, merge(parent, tree)
    if path.endswith(".py"):
        return function, _call(_module_from_file(Path(path)), function, path)
    named = dict(_recipes())
    if recipe not in named:
        raise UserError(f"recipe '{recipe}': no such recipe{nearest(recipe, named)}; `ups list` shows all")
    return recipe, named[recipe]()


def describe_recipes() -> list[tuple[str, str]]:
    """Return the name and the first docstring line of each recipe."""
    return [(name, (inspect.getdoc(function) or "").split("\n")[0]) for name, function in _recipes()]


def _recipes() -> Iterator[tuple[str, Callable[[], Run]]]:
    """Every public function of a module in this package that says it returns a Run is a recipe."""
    for module_info in pkgutil.iter_modules(ups.recipes.__path__):
        if module_info.name == "find":
            continue
        module = importlib.import_module(f"ups.recipes.{module_info.name}")
        for name, function in vars(module).items():
            if (
                not name.startswith("_")
                and inspect.isfunction(function)
                and function.__module__ == module.__name__
            ):
                yield f"{module_info.name}.{name}", function


def _module_from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"recipe file {path}: no such file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call(module: ModuleType, function: str, path: str) -> Run:
    functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
    if function not in functions:
        raise UserError(
            f"{path}: no function '{function}'{nearest(function, functions)}; write {path}:FUNCTION"
        )
    settings = getattr(module, function)()
    if not isinstance(settings, Run):
        raise UserError(f"{path}:{function}: must return a ups.pipeline.Run, not {type(settings).__name__}")
    return settings
