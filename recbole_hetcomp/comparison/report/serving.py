"""What teachers, ensemble and students cost to serve, in one table of the report."""

from __future__ import annotations

import math

import pandas as pd

from recbole_hetcomp.comparison.report.files import Results
from recbole_hetcomp.comparison.report.tables import NONE
from recbole_hetcomp.results.document import Table

_COLUMNS = {
    "parameters": ("parameters", "{:,.0f}", 1.0),
    "bytes": ("MB", "{:,.3f}", 1e-6),
    "latency_ms": ("ms, median", "{:,.2f}", 1.0),
    "latency_p95_ms": ("ms, 95 of 100", "{:,.2f}", 1.0),
    "users_per_second": ("users/s", "{:,.0f}", 1.0),
}
_NOTE = (
    "One thread: the catalogue scored for one user, the first 50 taken; users/s in batches of 64. The ensemble is "
    "timed as it would be served: every teacher scores the user, and their lists are merged. Students of one backbone "
    "and dimension cost the same, whatever taught them: their mean."
)


def serving_table(results: Results, dataset: str) -> Table | None:
    """Parameters, bytes, latency and throughput, side by side; None where throughput was not measured."""
    runs = results.runs[results.runs["dataset"] == dataset]
    if "users_per_second" not in runs or runs["users_per_second"].isna().all():
        return None
    lines = []
    for _, own in runs.groupby(_name(runs), sort=False):
        first = own.iloc[0]
        lines.append({"model": _name(own).iloc[0], "role": first["role"], **_cells(own)})
    ensemble = runs.loc[runs["role"] == "ensemble", "latency_ms"].mean()
    if not math.isnan(ensemble):
        for line, (_, own) in zip(lines, runs.groupby(_name(runs), sort=False)):
            line["times as fast as the ensemble"] = _shown(ensemble / own["latency_ms"].mean(), "{:,.1f}")
    return Table(f"What serving costs, {dataset}", pd.DataFrame(lines), None, _NOTE)


def _name(runs: pd.DataFrame) -> pd.Series:
    """A model's name; of a student, its backbone and dimension."""
    students = runs["backbone"].astype(str) + " student, dimension " + runs["dimension"].map("{:g}".format)
    return runs["method"].where(runs["role"] != "student", students)


def _cells(own: pd.DataFrame) -> dict[str, str]:
    return {
        title: _shown(own[column].mean() * factor if column in own else math.nan, form)
        for column, (title, form, factor) in _COLUMNS.items()
    }


def _shown(value: float, form: str) -> str:
    return NONE if math.isnan(value) else form.format(value)
