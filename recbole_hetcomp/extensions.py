"""Modules of a user's that add methods, teachers, backbones, formats or metrics (docs/extending.md).

A module that is imported before a command runs adds what its decorators declare. ``--extension`` imports it, and so
does ``HETCOMP_EXTENSIONS`` in the environment, which reaches the processes that a command starts; an installed package
may name its own under the entry point ``recbole_hetcomp.extensions``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

VARIABLE = "HETCOMP_EXTENSIONS"
GROUP = "recbole_hetcomp.extensions"


class ExtensionError(ValueError):
    """An extension cannot be imported."""


def use_extension(name: str) -> ModuleType:
    """Import an extension here, and in the processes that are started from now on.

    Args:
        name: a module's dotted name, or a Python file.

    Raises:
        ExtensionError: there is none, or it cannot be imported.
    """
    place = _place(name)
    module = _import(place)
    named = _named()
    if place not in named:
        os.environ[VARIABLE] = os.pathsep.join([*named, place])
    return module


def load_extensions() -> None:
    """Import what the environment names and what installed packages bring.

    Raises:
        ExtensionError: one cannot be imported.
    """
    for place in _named():
        _import(place)
    found = entry_points()
    chosen = found.select(group=GROUP) if hasattr(found, "select") else found.get(GROUP, [])  # type: ignore[arg-type]  # Python 3.9: a dict
    for entry in chosen:
        entry.load()


def place_in_extension(error: BaseException) -> str:
    """`` (file:line)`` where an error came from an extension's file, for a message; nothing otherwise."""
    files = {str(getattr(sys.modules.get(Path(place).stem), "__file__", "")) for place in _named()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _named() -> list[str]:
    return [_place(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def _place(name: str) -> str:
    return str(Path(name).resolve()) if name.endswith(".py") else name


def _import(place: str) -> ModuleType:
    try:
        return _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise ExtensionError(f"extension {place!r} cannot be imported: {type(error).__name__}: {error}") from error


def _import_file(file: Path) -> ModuleType:
    """A file as the module of its name, so that other processes find its classes by the same name."""
    known = sys.modules.get(file.stem)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() == file:
            return known
        raise ImportError(f"a module {file.stem!r} is imported already; call the file otherwise")
    installed = importlib.util.find_spec(file.stem)
    if installed is not None and Path(installed.origin or "").resolve() != file:
        raise ImportError(f"there is a module {file.stem!r} at {installed.origin}; call the file otherwise")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[file.stem]
        raise
    return module
