"""How long a benchmark takes, in words: from what is done there already, or else from ml-100k's times."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from recbole_hetcomp.comparison import estimate
from recbole_hetcomp.comparison.estimate import benchmark_in_words
from recbole_hetcomp.comparison.grid import Cell


def cell(role: str, method: str, seed: int = 1, **settings: Any) -> Cell:
    return Cell(role, method, method, "ml-100k", "data", method, 8, seed, 0, settings)


@pytest.fixture
def said(monkeypatch, tmp_path):
    """``said(cells, done={})``: the words, where cells named by method took as many seconds."""

    def of(cells: list[Cell], done: dict[str, float] | None = None, workers: int = 1) -> str:
        class Folder:
            def __init__(self, root: Any, cell: Cell) -> None:
                self.cell = cell

            def result(self) -> dict[str, float] | None:
                known = (done or {}).get(self.cell.method)
                return None if known is None or self.cell.seed != 1 else {"seconds": known}

        monkeypatch.setattr(estimate, "CellFolder", Folder)
        grid = SimpleNamespace(plan=SimpleNamespace(data_path=None, dataset="ml-100k", workers=workers))
        return benchmark_in_words(grid, tmp_path, cells)  # type: ignore[arg-type]

    return of


def test_cells_that_are_done_tell_of_those_that_are_not(said):
    cells = [cell("student", "RRD", seed) for seed in (1, 2, 3)]
    assert said(cells, {"RRD": 600.0}) == "plan: 3 cells, 1 of them done; about 20 min on two CPU cores"
    assert "about 10 min" in said(cells, {"RRD": 600.0}, workers=2)
    assert said(cells[:1], {"RRD": 600.0}) == "plan: 1 cells, 1 of them done"


def test_without_any_the_times_of_other_data_are_taken(said):
    cells = [
        cell("teacher", "BPR"),
        cell("ensemble", "TeacherEnsemble"),
        *(cell("student", "HetComp", n) for n in (1, 2)),
    ]
    assert "about 2 min on" in said(cells * 2)  # 2 * (20 + 2 * 5), and what each takes to start


def test_a_method_whose_time_is_not_known_is_named(said):
    assert said([cell("baseline", "SGL")]).endswith("beside SGL, whose time is not known")
