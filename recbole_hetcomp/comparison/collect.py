"""The cells that are done as the tables that a reader, and the report, reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file

from recbole_hetcomp.comparison.folder import LISTS, PER_USER, CellFolder
from recbole_hetcomp.comparison.grid import Cell, Grid, Tuned
from recbole_hetcomp.comparison.trials import best_trial
from recbole_hetcomp.files import write_whole
from recbole_hetcomp.metrics.likeness import LIKENESS_MEASURES, likeness
from recbole_hetcomp.recbole_bridge.property_files import read_properties

RUNS, USERS, CURVES, TRIALS, FAILURES = "runs", "per_user", "curves", "tuning", "failures"
_IDENTITY = ("method", "role", "dataset", "backbone", "dimension", "seed")
_LIKENESS = f"^({'|'.join(LIKENESS_MEASURES)})@"
_SUMMED = ("parameters", "bytes", "train_seconds", "latency_ms")  # an ensemble costs what its teachers cost


@dataclass(frozen=True)
class FinishedCell:
    """A cell that is done.

    Attributes:
        cell: the cell.
        folder: its folder.
        result: its ``result.json``.
    """

    cell: Cell
    folder: Path
    result: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """The columns that name a run."""
        named = {name: getattr(self.cell, name) for name in _IDENTITY}
        return {**named, "dimension": math.nan if self.cell.dimension is None else self.cell.dimension}


def valid_score(grid: Grid, result: dict[str, Any]) -> float:
    """A result's validation score."""
    return float(result["row"][f"valid_{grid.plan.settings['valid_metric'].lower()}"])


def chosen(grid: Grid, root: Path, what: Tuned) -> dict[str, Any] | None:
    """The settings of the best trial on validation; None while trials are to be run, or if all failed."""
    scores: list[float | None] = []
    for trial in grid.trials(what):
        folder = CellFolder(root, trial)
        result = folder.result()
        if result is None and folder.error() is None:
            return None
        scores.append(None if result is None else valid_score(grid, result))
    if all(score is None for score in scores):
        return None
    return grid.drawn(what, best_trial(scores))


def final_cells(grid: Grid, root: Path) -> Iterator[Cell]:
    """Teachers, ensembles and every final run whose settings are known."""
    yield from grid.teachers()
    yield from grid.ensembles()
    for row, before in grid.finals():
        settings = chosen(grid, root, before[0]) if before else {}
        if settings is not None:
            yield from grid.runs(row, settings)


def done_cells(grid: Grid, root: Path) -> list[FinishedCell]:
    """All final cells that are done, in the order of the plan."""
    found = ((cell, CellFolder(root, cell)) for cell in final_cells(grid, root))
    return [
        FinishedCell(cell, folder.path, result) for cell, folder in found if (result := folder.result()) is not None
    ]


def runs_table(grid: Grid, done: list[FinishedCell], before: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row a run: its name, its metrics, what it cost and what its lists are like.

    Args:
        grid: the benchmark.
        done: its cells that are done.
        before: an earlier table with the same ensembles, from which a run whose lists have been deleted has its
            likeness to its ensemble.
    """
    known = {} if before is None else before.set_index("cell").filter(regex=_LIKENESS).to_dict("index")
    ensembles = {entry.cell.split_seed: entry for entry in done if entry.cell.role == "ensemble"}
    rows = []
    for entry in done:
        used = {name: entry.result[name] for name in ("peak_rss_mib", "cpu_seconds")}
        row = {**entry.identity, **entry.result["row"], **used}
        if entry.cell.role == "ensemble":
            row.update(_summed(done, entry.cell.split_seed))
        if entry.cell.split_seed in ensembles:
            ensemble = ensembles[entry.cell.split_seed]
            earlier = known.get(entry.cell.key, {}) if ensemble.cell.key in known else {}
            row.update(_likeness(grid, entry, ensemble) or earlier)
        row["split_seed"], row["cell"] = entry.cell.split_seed, entry.cell.key
        row["settings"] = json.dumps(entry.cell.settings)
        rows.append(row)
    return _ordered(pd.DataFrame(rows))


def _ordered(runs: pd.DataFrame) -> pd.DataFrame:
    """Names first, then test metrics, validation metrics, costs and the rest."""
    columns = list(runs.columns)
    valid = [name for name in columns if name.startswith("valid_")]
    test = [name.removeprefix("valid_") for name in valid]
    ordered = [*_IDENTITY, *test, *valid, "parameters", "bytes", "train_seconds", "latency_ms", "epochs"]
    return runs[ordered + [name for name in columns if name not in ordered]]


def _summed(done: list[FinishedCell], split: int) -> dict[str, float]:
    teachers = [
        entry.result["row"] for entry in done if entry.cell.role == "teacher" and entry.cell.split_seed == split
    ]
    return {name: sum(row[name] for row in teachers) for name in _SUMMED}


def _likeness(grid: Grid, entry: FinishedCell, ensemble: FinishedCell) -> dict[str, float]:
    """Overlap with the ensemble's lists of the same split, and discrepancy to them."""
    if not all((folder / LISTS).is_file() for folder in (entry.folder, ensemble.folder)):
        return {}
    own, other = load_file(entry.folder / LISTS), load_file(ensemble.folder / LISTS)
    if not own["users"].equal(other["users"]):
        raise ValueError(f"{entry.folder} and {ensemble.folder} hold lists of different users")
    defaults = read_properties("model", "HetComp")
    settings = {**defaults, **grid.plan.students.settings}
    return likeness(own["lists"], other["lists"], min(settings["K_D"], other["lists"].shape[1]), settings["T_r"])


def users_table(done: list[FinishedCell]) -> pd.DataFrame:
    """A row a run and user: its metrics."""
    tables = []
    for entry in done:
        table = pd.read_parquet(entry.folder / PER_USER)
        for number, (name, value) in enumerate(entry.identity.items()):
            table.insert(number, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def curves_table(done: list[FinishedCell]) -> pd.DataFrame:
    """A row a run and epoch: validation score, loss, mean discrepancy, share of pairs at their last snapshot."""
    rows = []
    for entry in done:
        for line in entry.result["history"]:
            distances, shares = line.get("discrepancy"), line.get("snapshot_shares")
            rows.append(
                {
                    **entry.identity,
                    "epoch": line["epoch"],
                    "valid": _number(line.get("valid")),
                    "loss": _number(line.get("loss")),
                    "discrepancy": sum(distances.values()) / len(distances) if distances else math.nan,
                    "share_last": shares[-1] if shares else math.nan,
                }
            )
    return pd.DataFrame(rows)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def trials_table(grid: Grid, root: Path) -> pd.DataFrame:
    """A row a trial: what it changed and its validation score."""
    rows = []
    for what in grid.tuned():
        for number, trial in enumerate(grid.trials(what)):
            result = CellFolder(root, trial).result()
            rows.append(
                {
                    "method": what.method,
                    "backbone": trial.backbone,
                    "dimension": math.nan if what.dimension is None else what.dimension,
                    "trial": number,
                    "valid": math.nan if result is None else valid_score(grid, result),
                    "seconds": math.nan if result is None else result["seconds"],
                    "changed": json.dumps(grid.drawn(what, number)),
                }
            )
    return pd.DataFrame(rows)


def write_tables(grid: Grid, root: Path) -> int:
    """Write ``runs``, ``per_user``, ``curves`` and ``tuning`` from what is done; each file whole or not at all.

    Returns:
        Number of runs.
    """
    done = done_cells(grid, root)
    if not done:
        return 0
    table = root / f"{RUNS}.parquet"
    before = pd.read_parquet(table) if table.is_file() else None
    runs, trials = runs_table(grid, done, before), trials_table(grid, root)
    write_whole(root / f"{RUNS}.csv", lambda path: runs.to_csv(path, index=False))
    if not trials.empty:
        write_whole(root / f"{TRIALS}.csv", lambda path: trials.to_csv(path, index=False))
    for name, table in ((RUNS, runs), (USERS, users_table(done)), (CURVES, curves_table(done))):
        write_whole(root / f"{name}.parquet", partial(table.to_parquet, index=False))
    return len(done)
