"""The code of what comes from outside of the package and of RecBole: another code is another model."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recbole_hetcomp.files import sha256_of
from recbole_hetcomp.recbole_bridge.registry import registered

_OURS = ("recbole_hetcomp.", "recbole.")


def contents_of_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """Checksums of the files that settings name, a path with a folder or an ending, by the setting's name."""
    return {
        name: sha256_of(Path(value))[:16]
        for name, value in settings.items()
        if isinstance(value, str) and ("." in value or os.sep in value) and Path(value).is_file()
    }


def code_of(kind: Any) -> str:
    """Checksum of the file that a class is written in, of what it imports from the same folder, and of its ``files``.

    A class that reads files of a fixed name lists them in the attribute ``files``, relative to the working directory
    or to the file that it is written in.

    One without a file (typed into a session) has another one in each process, so that nothing stored is taken for its
    work.
    """
    try:
        file = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        return _of_this_process(repr(kind))
    if not file.is_file():
        return _of_this_process(repr(kind))
    others = [*_imported_beside(file), *(_found(name, file.parent) for name in getattr(kind, "files", ()))]
    sums = [sha256_of(file), *(sha256_of(other) for other in others)]
    return (sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest())[:16]


def _found(name: str, beside: Path) -> Path:
    for file in (Path(name), beside / name):
        if file.is_file():
            return file
    raise ValueError(f"files names {name!r}, which is neither in {Path.cwd()} nor in {beside}")


def _imported_beside(file: Path) -> list[Path]:
    """Python files below the folder of one that are loaded, or imported by it; none of an installed package."""
    if "site-packages" in file.parts:
        return []
    found: set[Path] = set()
    to_read = [file]
    while to_read:
        for other in _named_imports(to_read.pop()):
            if other not in found and other != file:
                found.add(other)
                to_read.append(other)
    return sorted(found)


def _named_imports(file: Path) -> Iterator[Path]:
    """The files beside one, or in folders beside it, that its import statements name."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = [node.module] if node.module else []
            names = [".".join([*start, alias.name]) for alias in node.names] + start
        else:
            continue
        for name in names:
            parts = name.split(".")
            for begin in range(len(parts)):  # a module's own package may stand before what lies beside it
                place = file.parent.joinpath(*parts[begin:])
                for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                    if candidate.is_file():
                        yield candidate.resolve()


@functools.cache
def _of_this_process(name: str) -> str:
    return uuid.uuid4().hex[:16]


def outside_code(*names: str) -> dict[str, str]:
    """The code of those of the named models that somebody has registered, by name; empty for ours and RecBole's."""
    known = registered()
    return {
        name: code_of(known[name].model)
        for name in names
        if name in known and not known[name].model.__module__.startswith(_OURS)
    }
