"""Python's pickles read as data: nothing that a file names is imported or called."""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ups.types import UserError


class Name(NamedTuple):
    """A function or class that the file names; it stays a name."""

    module: str
    name: str


class RefusedError(Exception):
    """The file asks for more than plain data."""


_U1 = object()
"""Stands for NumPy's dtype of bytes, the only one that is known."""

_TEXT = {"BINSTRING", "SHORT_BINSTRING"}
"""Python 2's strings, which hold bytes; they come decoded as Latin-1."""

_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_serialized(path: Path) -> Any:
    """Return what a pickle holds, if that is lists, tuples, dicts, numbers, text, bytes and NumPy arrays of bytes.

    Binary protocols, 1 to 5; the strings of Python 2 come as bytes, as they do with `encoding="bytes"`. The opcodes
    are walked by `pickletools`, which runs nothing. The few calls by which NumPy's arrays and Python 3's bytes are
    written are recognized and done here; any other name is refused.

    Raises:
        UserError: the file is missing or damaged, or it asks for anything else.
    """
    try:
        return _read(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RefusedError as refusal:
        raise UserError(f"{path}: refused, it holds more than data: {refusal}") from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged, or no pickle of images: {reason}") from None


def _read(data: bytes) -> Any:
    """Return the value that the opcodes leave on the stack."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    marks: list[int] = []
    opcodes: Iterator[Any] = pickletools.genops(data)
    for opcode, argument, _ in opcodes:
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case name if name in _VALUES:
                stack.append(argument)
            case name if name in _TEXT:
                stack.append(argument.encode("latin-1"))
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _EMPTY:
                stack.append(_EMPTY[name]())
            case name if name in _TUPLES:
                count = _TUPLES[name]
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(_above(stack, marks.pop())))
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = _above(stack, marks.pop())
                stack[-1].extend(items)
            case "SETITEM":
                pair = [stack.pop(-2), stack.pop()]
                _assign(stack[-1], pair)
            case "SETITEMS":
                items = _above(stack, marks.pop())
                _assign(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(Name(*argument.split(" ")))
            case "STACK_GLOBAL":
                stack[-2:] = [Name(*stack[-2:])]
            case "REDUCE":
                stack[-2:] = [_call(*stack[-2:])]
            case "BUILD":
                state = stack.pop()
                _fill(stack[-1], state)
            case name:
                raise RefusedError(f"opcode {name}")
    raise ValueError("it does not end")


def _above(stack: list[Any], mark: int) -> list[Any]:
    """Take off the stack what lies above a mark."""
    items = stack[mark:]
    del stack[mark:]
    return items


def _assign(target: Any, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(target, dict) or not isinstance(key, str | bytes):
            raise RefusedError("items of something else than a dict by name")
        target[key] = value


def _call(function: Any, arguments: Any) -> Any:
    """Do what the known functions would do."""
    match function, arguments:
        case (
            Name("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"),
            (Name("numpy", "ndarray"), (0,), b"b"),
        ):
            return np.empty(0, np.uint8)
        case Name("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer"), (
            raw,
            kind,
            shape,
            "C" | "F" as order,
        ):
            return _array(raw, kind, shape, order)
        case Name("numpy", "dtype"), ("u1" | b"u1", _, _):
            return _U1
        case Name("_codecs", "encode"), (str(text), "latin1"):  # how protocol 2 writes bytes
            return text.encode("latin-1")
        case Name("__builtin__" | "builtins", "bytes"), ():
            return b""
        case Name(module, name), _:
            named = f"{module}.{name}"
            raise RefusedError(f"a call of {named!r} with arguments that no image file has")
    raise RefusedError("a call of what is no name")


def _fill(target: Any, state: Any) -> None:
    """Give an array its shape and bytes; a dtype's state says nothing new."""
    if target is _U1:
        return
    match target, state:
        case np.ndarray(size=0), (1, shape, kind, is_fortran, raw):
            values = _array(raw, kind, shape, "F" if is_fortran else "C")
            target.resize(values.shape, refcheck=False)
            target[...] = values
        case _:
            raise RefusedError("the state of an object")


def _array(raw: Any, kind: Any, shape: Any, order: Literal["C", "F"]) -> np.ndarray:
    if kind is not _U1 or not isinstance(raw, bytes | bytearray):
        raise RefusedError("an array of something else than bytes")
    return np.frombuffer(raw, np.uint8).reshape(shape, order=order)
