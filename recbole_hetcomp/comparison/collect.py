"""The cells that are done as the tables that a reader, and the report, reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file

from recbole_hetcomp.comparison.folder import LISTS, PER_USER, CellFolder
from recbole_hetcomp.comparison.grid import Cell, Contender, Grid
from recbole_hetcomp.comparison.report.files import COSTS, IDENTITY, read_runs
from recbole_hetcomp.comparison.trials import best_trials
from recbole_hetcomp.files import write_csv, write_whole
from recbole_hetcomp.metrics.likeness import LIKENESS_MEASURES, likeness
from recbole_hetcomp.recbole_bridge.property_files import read_properties

RUNS, USERS, CURVES, TRIALS, FAILURES = "runs", "per_user", "curves", "tuning", "failures"
_LIKENESS = f"^({'|'.join(LIKENESS_MEASURES)})@"


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
        named = {name: getattr(self.cell, name) for name in IDENTITY}
        return {**named, "dimension": math.nan if self.cell.dimension is None else self.cell.dimension}


def valid_score(grid: Grid, result: dict[str, Any] | None) -> float:
    """A result's validation score, NaN where there is none."""
    if result is None:
        return math.nan
    return float(result["row"][f"valid_{grid.plan.settings['valid_metric'].lower()}"])


def _scores(grid: Grid, root: Path, trials: Sequence[Cell]) -> list[float | None]:
    """Validation scores of trials, None for one that failed; none at all while one is to be run."""
    scores: list[float | None] = []
    for trial in trials:
        folder = CellFolder(root, trial)
        result = folder.result()
        if result is None and folder.error() is None:
            return []
        scores.append(None if result is None else valid_score(grid, result))
    return scores


def finalists(grid: Grid, root: Path, what: Contender) -> dict[int, Cell]:
    """The trials that run again as the final runs will, by number; none while trials are to be run."""
    if not grid.finalists:
        return {}
    best = best_trials(_scores(grid, root, grid.trials(what)), grid.finalists)
    return {number: grid.finalist(what, number) for number in sorted(best)}


def chosen(grid: Grid, root: Path, what: Contender) -> dict[str, Any] | None:
    """The settings that validation chose: of the best finalist, or of the best trial where none run again.

    None while trials are to be run, or if all failed.
    """
    last: Mapping[int, Cell] = finalists(grid, root, what) if grid.finalists else dict(enumerate(grid.trials(what)))
    best = best_trials(_scores(grid, root, list(last.values())), 1)
    return grid.drawn(what, list(last)[best[0]]) if best else None


def final_cells(grid: Grid, root: Path) -> Iterator[Cell]:
    """Teachers, ensembles and every final run whose settings are known."""
    yield from grid.teachers()
    yield from grid.ensembles()
    for row, before in grid.finals():
        settings = chosen(grid, root, before[0]) if before else {}
        if settings is not None:
            yield from grid.runs(row, settings)


def finished_cells(grid: Grid, root: Path) -> list[FinishedCell]:
    """All final cells that are done, in the order of the plan."""
    found = ((cell, CellFolder(root, cell)) for cell in final_cells(grid, root))
    return [
        FinishedCell(cell, folder.path, result) for cell, folder in found if (result := folder.result()) is not None
    ]


def runs_table(grid: Grid, finished: list[FinishedCell], before: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row a run: its name, its metrics, what it cost and what its lists are like.

    Args:
        grid: the benchmark.
        finished: its cells that are done.
        before: an earlier table with the same ensembles, from which a run whose lists have been deleted has its
            likeness to its ensemble.
    """
    known = {} if before is None else before.set_index("cell").filter(regex=_LIKENESS).to_dict("index")
    ensembles = {one.cell.split_seed: one for one in finished if one.cell.role == "ensemble"}
    rows = []
    for one in finished:
        used = {name: one.result[name] for name in ("peak_rss_mib", "cpu_seconds")}
        row = {**one.identity, **one.result["row"], **used}
        if one.cell.role == "ensemble":
            row = {**_summed(finished, one.cell.split_seed), **row}  # what was measured of all together counts
        if one.cell.split_seed in ensembles:
            ensemble = ensembles[one.cell.split_seed]
            earlier = known.get(one.cell.key, {}) if ensemble.cell.key in known else {}
            row.update(_likeness(grid, one, ensemble) or earlier)
        row["split_seed"], row["cell"] = one.cell.split_seed, one.cell.key
        row["settings"] = json.dumps(one.cell.settings)
        rows.append(row)
    return _ordered(pd.DataFrame(rows))


def _ordered(runs: pd.DataFrame) -> pd.DataFrame:
    """Names first, then test metrics, validation metrics, costs and the rest."""
    columns = list(runs.columns)
    valid = [name for name in columns if name.startswith("valid_")]
    test = [name.removeprefix("valid_") for name in valid]
    ordered = [*IDENTITY, *test, *valid, *COSTS, "epochs"]
    return runs[ordered + [name for name in columns if name not in ordered]]


def _summed(finished: list[FinishedCell], split: int) -> dict[str, float]:
    """What the ensemble of a split costs: as much as its teachers."""
    teachers = [one.result["row"] for one in finished if one.cell.role == "teacher" and one.cell.split_seed == split]
    return {name: sum(row.get(name, math.nan) for row in teachers) for name in COSTS}


def _likeness(grid: Grid, one: FinishedCell, ensemble: FinishedCell) -> dict[str, float]:
    """Overlap with the ensemble's lists of the same split, and discrepancy to them."""
    if not all((folder / LISTS).is_file() for folder in (one.folder, ensemble.folder)):
        return {}
    own, other = load_file(one.folder / LISTS), load_file(ensemble.folder / LISTS)
    if not own["users"].equal(other["users"]):
        raise ValueError(f"{one.folder} and {ensemble.folder} hold lists of different users")
    defaults = read_properties("model", "HetComp")
    settings = {**defaults, **grid.plan.students.settings}
    return likeness(own["lists"], other["lists"], min(settings["K_D"], other["lists"].shape[1]), settings["T_r"])


def users_table(finished: list[FinishedCell]) -> pd.DataFrame:
    """A row a run and user: its metrics."""
    tables = []
    for one in finished:
        table = pd.read_parquet(one.folder / PER_USER)
        for number, (name, value) in enumerate(one.identity.items()):
            table.insert(number, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def curves_table(finished: list[FinishedCell]) -> pd.DataFrame:
    """A row a run and epoch: validation score, loss, mean discrepancy, share of pairs at their last snapshot."""
    rows = []
    for one in finished:
        for line in one.result["history"]:
            distances, shares = line.get("discrepancy"), line.get("snapshot_shares")
            rows.append(
                {
                    **one.identity,
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
    """A row a trial: what it changed, its validation score, and a finalist's with the settings of the final runs."""
    rows = []
    for what in grid.tuned():
        again = finalists(grid, root, what)
        for number, trial in enumerate(grid.trials(what)):
            result = CellFolder(root, trial).result()
            final = CellFolder(root, again[number]).result() if number in again else None
            rows.append(
                {
                    "method": what.method,
                    "backbone": trial.backbone,
                    "dimension": math.nan if what.dimension is None else what.dimension,
                    "trial": number,
                    "valid": valid_score(grid, result),
                    **({"valid_finalist": valid_score(grid, final)} if again else {}),
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
    finished = finished_cells(grid, root)
    if not finished:
        return 0
    runs, trials = runs_table(grid, finished, read_runs(root)), trials_table(grid, root)
    write_csv(root / f"{RUNS}.csv", runs)
    if not trials.empty:
        write_csv(root / f"{TRIALS}.csv", trials)
    for name, table in ((RUNS, runs), (USERS, users_table(finished)), (CURVES, curves_table(finished))):
        write_whole(root / f"{name}.parquet", partial(table.to_parquet, index=False))
    return len(finished)
