"""An entry of a store as a folder: its name, the folders that stand beside it while it is written, how it goes."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from recbole_hetcomp.trajectories.scratch import Scratch

MANIFEST = "manifest.json"
LOCKS = "locks"
"""Of a store: the folder of the locks on what is in it."""

TEMPORARY = ".writing-"
"""Begins the name of a folder that is no entry yet, or none any more."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def check_name(label: str, value: str) -> str:
    """A plain file name, as it is.

    Raises:
        ValueError: it is none.

    >>> check_name("name", "../BPR")
    Traceback (most recent call last):
    ValueError: name='../BPR' is not allowed: letters, digits and _ . + - (not first)
    """
    if not _SAFE_NAME.fullmatch(value):
        raise ValueError(f"{label}={value!r} is not allowed: letters, digits and _ . + - (not first)")
    return value


def entries_of(root: Path, group: str = "*") -> list[Path]:
    """The folders of all entries, none while one is written.

    Args:
        root: the store.
        group: the folder of it that they are in, ``*`` for any.
    """
    found = (manifest.parent for manifest in root.glob(f"{group}/*/{MANIFEST}"))
    return sorted(folder for folder in found if not folder.name.startswith(TEMPORARY))


def temporary_beside(entry: Path) -> Scratch:
    """A new empty folder, to be renamed to an entry or filled with one that goes."""
    return Scratch(entry.parent, f"{TEMPORARY}{entry.name}-")


def delete(folder: Path) -> None:
    """Delete a folder of a store, or a link to one; what it links to, and what is mapped from it, stays readable."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    with temporary_beside(folder) as doomed:
        os.replace(folder, doomed)  # vanishes at once, not file by file
        shutil.rmtree(doomed)
