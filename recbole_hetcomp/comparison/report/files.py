"""A benchmark's folder as checked tables.

=====================  ==============================================================================================
file                   what
=====================  ==============================================================================================
``runs.parquet``       a row a run: ``method``, ``role``, ``dataset``, ``backbone``, ``dimension``, ``seed``, metrics
(or ``runs.csv``)      under RecBole's names (``recall@50``; validation as ``valid_recall@50``), ``parameters``,
                       ``bytes``, ``train_seconds``, ``latency_ms``, ``epochs``, measures of ``beyond``,
                       ``latency_p95_ms``, ``users_per_second``, and ``settings`` as JSON
``per_user.parquet``   a row a run and user: the same six columns, ``user``, the test metrics
``curves.parquet``     a row a run and epoch: the same six or five, ``epoch``, ``valid``, ``loss``, ``discrepancy``,
                       ``share_last``
``plan.yaml``          ``plan``, ``versions``, ``data`` and ``command``
``tuning.csv``         a row a trial: ``method``, ``trial``
``failures.csv``       a row a failed run: ``cell``, ``error``
``data/*card*.json``   data cards
=====================  ==============================================================================================

Only ``runs`` has to be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from recbole_hetcomp.metrics.likeness import LIKENESS_MEASURES
from recbole_hetcomp.metrics.popularity import POPULARITY_MEASURES

ROLES = ("teacher", "ensemble", "baseline", "student")
IDENTITY = ("method", "role", "dataset", "backbone", "dimension", "seed")
COSTS = ("parameters", "bytes", "train_seconds", "latency_ms")
BEYOND = (*POPULARITY_MEASURES, *LIKENESS_MEASURES)
_AT_CUT_OFF = re.compile(r"[a-z_]+@\d+")


@dataclass(frozen=True)
class Results:
    """What a benchmark's folder holds.

    Attributes:
        runs: a row a run.
        per_user: a row a run and user, or None.
        curves: a row a run and epoch, or None.
        metrics: names of the accuracy metrics, as in RecBole's results.
        beyond: names of the measures beside accuracy.
        plan: content of ``plan.yaml``; empty without.
        cards: data cards by file name.
        trials: number of tuning trials of each method; empty without.
        failures: ``run: error`` of each run that failed.
        missing: what is not there, a sentence each.
    """

    runs: pd.DataFrame
    per_user: pd.DataFrame | None
    curves: pd.DataFrame | None
    metrics: tuple[str, ...]
    beyond: tuple[str, ...]
    plan: dict[str, Any]
    cards: dict[str, Any]
    trials: dict[str, int]
    failures: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def valid_metric(self) -> str | None:
        """The metric that chose the epochs, in lower case; None if the runs' settings do not agree on one."""
        named = {str(settings.get("valid_metric", "")).lower() for settings in self.settings() if settings}
        return named.pop() if len(named) == 1 and "" not in named else None

    def settings(self) -> list[dict[str, Any]]:
        """The settings of each run; empty where it has none."""
        if "settings" not in self.runs:
            return [{} for _ in range(len(self.runs))]
        return [json.loads(text) if isinstance(text, str) and text else {} for text in self.runs["settings"]]


def read_results(folder: Path) -> Results:
    """Read and check a benchmark's folder.

    Args:
        folder: the folder.

    Raises:
        FileNotFoundError: there is neither ``runs.parquet`` nor ``runs.csv``.
        ValueError: a table lacks a column or holds a role that is not one; names it.
    """
    runs = _runs(folder)
    per_user, curves = _optional(folder / "per_user.parquet"), _optional(folder / "curves.parquet")
    if per_user is not None:
        _need(per_user, [*IDENTITY, "user"], "per_user.parquet")
    if curves is not None:
        _need(curves, ["method", "dataset", "backbone", "dimension", "seed", "epoch", "valid"], "curves.parquet")
    at_cut_off = [
        column for column in runs.columns if _AT_CUT_OFF.fullmatch(column) and not column.startswith("valid_")
    ]
    beyond = tuple(column for measure in BEYOND for column in at_cut_off if column.split("@")[0] == measure)
    plan = _plan(folder / "plan.yaml")
    found = Results(
        runs=runs,
        per_user=per_user,
        curves=curves,
        metrics=tuple(column for column in at_cut_off if column.split("@")[0] not in BEYOND),
        beyond=beyond,
        plan=plan,
        cards={
            file.name: json.loads(file.read_text("utf-8")) for file in sorted((folder / "data").glob("*card*.json"))
        },
        trials=_trials(folder / "tuning.csv"),
        failures=_failures(folder / "failures.csv"),
        missing=(),
    )
    return Results(**{**vars(found), "missing": tuple(_missing(found))})


def read_runs(folder: Path) -> pd.DataFrame | None:
    """The table of runs as it stands in a benchmark's folder, from Parquet or CSV, which say the same; None without."""
    table, text = folder / "runs.parquet", folder / "runs.csv"
    if table.is_file():
        return pd.read_parquet(table)
    return pd.read_csv(text, dtype={"cell": str}, float_precision="round_trip") if text.is_file() else None


def _runs(folder: Path) -> pd.DataFrame:
    runs = read_runs(folder)
    if runs is None:
        raise FileNotFoundError(f"{folder} holds no benchmark: neither runs.parquet nor runs.csv is there")
    _need(runs, IDENTITY, "runs")
    unknown = [role for role in runs["role"].unique() if role not in ROLES]
    if unknown:
        raise ValueError(f"runs has role {unknown[0]!r}; allowed: {', '.join(ROLES)}")
    twice = runs.duplicated([*IDENTITY])
    if twice.any():
        row = runs.loc[twice].iloc[0]
        raise ValueError(f"runs has two rows for {', '.join(f'{name} {row[name]}' for name in IDENTITY)}")
    return runs.reset_index(drop=True)


def _optional(file: Path) -> pd.DataFrame | None:
    found = pd.read_parquet(file) if file.is_file() else None
    return None if found is None or found.empty else found


def _need(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    for column in columns:
        if column not in table:
            raise ValueError(f"{name} has no column {column!r}; there are: {', '.join(map(str, table.columns))}")


def _plan(file: Path) -> dict[str, Any]:
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}


def _trials(file: Path) -> dict[str, int]:
    """The most trials that one of a method's tunings had."""
    if not file.is_file():
        return {}
    table = pd.read_csv(file)
    return {str(name): int(rows["trial"].max()) + 1 for name, rows in table.groupby("method", sort=False)}


def _failures(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        return ()
    return tuple(f"{row.cell}: {row.error}" for row in pd.read_csv(file).itertuples())


def _missing(results: Results) -> list[str]:
    runs, found = results.runs, []
    for role, what in (
        ("teacher", "no teacher"),
        ("ensemble", "no ensemble, so no share of its accuracy"),
        ("baseline", "no recommender of RecBole's own beside the students"),
        ("student", "no student"),
    ):
        if not (runs["role"] == role).any():
            found.append(f"There is {what}.")
    students = runs[runs["role"] == "student"]
    if students.groupby(["dataset", "backbone", "dimension", "method"])["seed"].nunique().max() == 1:
        found.append("Every student was trained with one seed, so nothing is known about the spread over seeds.")
    if results.per_user is None:
        found.append("per_user.parquet is not there, so nothing is tested over users.")
    if results.curves is None:
        found.append("curves.parquet is not there, so no training curve is drawn.")
    if not results.beyond:
        found.append("No measure beside accuracy was taken.")
    lacking = [cost for cost in COSTS if cost not in runs or runs[cost].isna().all()]
    if lacking:
        found.append(f"Not measured: {', '.join(lacking)}.")
    if not results.plan:
        found.append("plan.yaml is not there, so neither the versions nor the plan are known.")
    elif "command" not in results.plan:
        found.append("plan.yaml does not say with which command the benchmark was run.")
    if not any(results.settings()):
        found.append("The runs do not say with which settings they were made.")
    return [*found, *_gaps(students), *(f"Failed: {failure}" for failure in results.failures)]


def _gaps(students: pd.DataFrame) -> list[str]:
    """Methods that lack a seed, within a data set, that another one has."""
    found = []
    for _, rows in students.groupby(["dataset", "backbone", "dimension"], sort=False, dropna=False):
        first = rows.iloc[0]
        where = f"{first['dataset']}, {first['backbone']} of dimension {first['dimension']:g}"
        everything = set(rows["seed"])
        for name, own in rows.groupby("method", sort=False):
            absent = sorted(everything - set(own["seed"]))
            if absent:
                found.append(f"{name} on {where}: no seed {', '.join(map(str, absent))}.")
    return found
