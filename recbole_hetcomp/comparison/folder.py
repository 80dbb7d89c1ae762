"""What lies where in a benchmark's folder, and how a cell's result gets there and back.

A result counts once ``result.json`` is there, whole and of the cell's key; it is written last and renamed into place.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_hetcomp.comparison.grid import Cell
from recbole_hetcomp.files import find_json, sha256_of, write_json
from recbole_hetcomp.locks import Lock

CELLS = "cells"
RESULT, ERROR, CELL, LOG = "result.json", "error.json", "cell.json", "log.txt"
PER_USER, LISTS = "per_user.parquet", "lists.safetensors"


@dataclass(frozen=True)
class CellSetup:
    """Where and how a cell works; nothing in its result depends on it.

    Attributes:
        store_dir: folder of the trajectory store.
        data_path: folder of the data set's folder, or None for RecBole's.
        threads: threads that it may use.
    """

    store_dir: str
    data_path: str | None
    threads: int

    def settings(self, folder: Path) -> dict[str, Any]:
        """Settings of RecBole and the plugin that keep a cell's files in its folder."""
        places = {
            "store_dir": self.store_dir,
            "checkpoint_dir": str(folder / "checkpoint"),
            "result_dir": str(folder / "run"),
            "show_progress": False,
        }
        return places if self.data_path is None else {**places, "data_path": self.data_path}


class CellFolder:
    """The folder of one cell.

    Args:
        root: the benchmark's folder.
        cell: the cell.
    """

    def __init__(self, root: Path, cell: Cell) -> None:
        self.cell = cell
        self.path = root / CELLS / cell.key

    def result(self) -> dict[str, Any] | None:
        """The result, or None if the cell is not done, or what it left is damaged, which is said."""
        found = find_json(self.path / RESULT)
        if found is None or found.get("key") != self.cell.key:
            return None
        if not self.cell.tuning and not (self.path / PER_USER).is_file():
            return None
        return found if self._intact(found.get("files", {})) else None

    def _intact(self, checksums: Mapping[str, str]) -> bool:
        """Whether the files beside a result are those that were written with it; lists may have been deleted."""
        for name, checksum in checksums.items():
            file = self.path / name
            if file.is_file() and _checksum(file, file.stat().st_size, file.stat().st_mtime_ns) != checksum:
                logging.getLogger().warning(
                    f"{file} is damaged: its content does not match its checksum; it is run again"
                )
                return False
        return True

    def error(self) -> dict[str, Any] | None:
        """What went wrong the last time, or None."""
        return find_json(self.path / ERROR)

    def prepare(self, setup: CellSetup) -> None:
        """Write down what is to be run; forget an earlier error."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / ERROR).unlink(missing_ok=True)
        write_json(self.path / CELL, {"cell": self.cell.plain(), "setup": vars(setup)})

    def fail(self, message: str, details: str = "") -> None:
        """Record an error."""
        record_error(self.path, self.cell, message, details)


@functools.cache
def _checksum(file: Path, size: int, changed: int) -> str:
    """A file's checksum, read once as long as its size and its time of change (in ns) stay."""
    return sha256_of(file)


def record_error(folder: Path, cell: Cell, message: str, details: str = "") -> None:
    """Write ``error.json`` into the folder of a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ERROR, {"key": cell.key, "cell": cell.label, "error": message, "details": details})


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Wait until no other process works on a folder's cell: one may be left of a run that was killed."""
    with Lock(folder / ".lock", f"cell {folder.name}"):
        yield
