"""What lies where in a benchmark's folder, and how a cell's result gets there and back.

A result counts once ``result.json`` is there, whole and of the cell's key; it is written last and renamed into place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from recbole_hetcomp.comparison.grid import Cell
from recbole_hetcomp.files import read_json, write_json

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
        """The result, or None if the cell is not done."""
        found = read_json(self.path / RESULT)
        whole = found is not None and found.get("key") == self.cell.key
        return found if whole and (self.cell.tuning or (self.path / PER_USER).is_file()) else None

    def error(self) -> dict[str, Any] | None:
        """What went wrong the last time, or None."""
        return read_json(self.path / ERROR)

    def prepare(self, setup: CellSetup) -> None:
        """Write down what is to be run; forget an earlier error."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / ERROR).unlink(missing_ok=True)
        write_json(self.path / CELL, {"cell": self.cell.plain(), "setup": vars(setup)})

    def fail(self, message: str, details: str = "") -> None:
        """Record an error."""
        record_error(self.path, self.cell, message, details)


def record_error(folder: Path, cell: Cell, message: str, details: str = "") -> None:
    """Write ``error.json`` into the folder of a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ERROR, {"key": cell.key, "cell": cell.label, "error": message, "details": details})


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Wait until no other process works on a folder's cell: one may be left of a run that was killed."""
    with FileLock(folder / ".lock"):
        yield
