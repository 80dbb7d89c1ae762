"""About how long a benchmark takes, before it begins and while it goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_hetcomp.comparison.folder import CellFolder
from recbole_hetcomp.comparison.grid import Cell, Grid
from recbole_hetcomp.teachers.estimate import Size, in_time, model_seconds, size_of_files, student_seconds

_OVERHEAD = 8.0  # seconds that a cell takes to start, load the data and test


def benchmark_in_words(grid: Grid, root: Path, cells: Sequence[Cell]) -> str:
    """How many of some cells are done, and a guess of the time that the others take.

    The guess is from the cells of the same method that are done here, or else from what other data took, by their
    size. A method of which neither says anything is named.

    Args:
        grid: the benchmark.
        root: its folder.
        cells: those that are known, and in place of those that tuning will decide on as many others.
    """
    done: dict[str, list[float]] = defaultdict(list)
    waiting = []
    for cell in cells:
        result = CellFolder(root, cell).result()
        if result is None:
            waiting.append(cell)
        else:
            done[_kind(cell)].append(float(result.get("seconds", 0.0)))
    size = size_of_files(grid.plan.data_path, grid.plan.dataset)
    guessed = [(cell, _guess(cell, done, size)) for cell in waiting]
    seconds = sum(guess for _, guess in guessed if guess is not None) / max(1, grid.plan.workers)
    unknown = [cell.method for cell, guess in guessed if guess is None]
    said = f"plan: {len(cells)} cells, {len(cells) - len(waiting)} of them done"
    return f"{said}; {in_time(seconds, unknown)}" if waiting else said


def _kind(cell: Cell) -> str:
    return f"{cell.role} {cell.method} {cell.dimension} {cell.tuning}"


def _guess(cell: Cell, done: Mapping[str, Sequence[float]], size: Size) -> float | None:
    known = done.get(_kind(cell))
    if known:
        return sum(known) / len(known)
    epochs: Any = cell.settings.get("epochs")
    if cell.role == "ensemble":
        return _OVERHEAD
    if cell.role == "student":
        dimension = cell.dimension if cell.settings.get("items_per_dimension", True) else None
        return _OVERHEAD + student_seconds(epochs, size, dimension, alone=cell.method == "NoKD")
    guess = model_seconds(cell.method, epochs, size)
    return None if guess is None else _OVERHEAD + guess
