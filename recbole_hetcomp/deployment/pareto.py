"""What no other model beats in everything, and the picture of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_hetcomp.extras import MissingPackageError, require
from recbole_hetcomp.files import write_whole

_COLOURS = {"teacher": "#7f7f7f", "ensemble": "#000000", "student": "#d55e00", "student alone": "#0072b2"}
_TITLES = {"bytes": "bytes", "p95_ms": "ms for one user, 95th percentile"}


def pareto_front(accuracy: np.ndarray, *costs: np.ndarray) -> np.ndarray:
    """Whether a model is on the front: none is at least as good and as cheap, and better in one of them.

    Args:
        accuracy: larger is better, [n]; NaN: not known, on no front.
        costs: smaller is better, [n] each; likewise.

    Returns:
        bool [n].

    >>> pareto_front(np.array([0.3, 0.2, 0.1]), np.array([9, 1, 2]))
    array([ True,  True, False])
    """
    table = np.column_stack([accuracy, *(-np.asarray(cost, dtype=float) for cost in costs)])
    known = ~np.isnan(table).any(axis=1)
    front = known.copy()
    for row in np.flatnonzero(known):
        others = table[known]
        front[row] = not ((others >= table[row]).all(axis=1) & (others > table[row]).any(axis=1)).any()
    return front


def write_pareto(
    table: pd.DataFrame,
    metric: str,
    path: Path,
    limits: dict[str, float | None] | None = None,
    chosen: int | None = None,
) -> None:
    """Draw accuracy over bytes and over milliseconds to a PNG file; without matplotlib it is said that there is none.

    Args:
        table: columns ``name``, ``role``, the metric, ``bytes``, ``p95_ms`` and ``pareto``.
        metric: the column that is drawn upwards.
        path: the file.
        limits: a budget, drawn as a line: column → its most.
        chosen: the row that is named in bold.
    """
    try:
        require(path.name, "matplotlib")
    except MissingPackageError as error:
        logging.getLogger().warning(f"no {error}")
        return
    write_whole(path, lambda place: _draw(table.reset_index(drop=True), metric, place, limits or {}, chosen))


def _draw(table: pd.DataFrame, metric: str, path: Path, limits: dict[str, float | None], chosen: int | None) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [cost for cost in _TITLES if cost in table and table[cost].notna().any()]
    figure = Figure(figsize=(5.5 * max(1, len(shown)), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, cost in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), place)
        _panel(axes, table.dropna(subset=[cost, metric]), metric, cost, chosen)
        limit = limits.get(cost)
        if limit is not None:
            axes.axvline(limit, color="#e69f00", linestyle="--", label="budget")
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_xlabel(f"{_TITLES[cost]} (logarithmic)")
        axes.set_ylabel(metric)
        axes.legend(loc="lower right", fontsize="small")
    figure.savefig(path, dpi=120)


def _panel(axes: Any, table: pd.DataFrame, metric: str, cost: str, chosen: int | None) -> None:
    for role, rows in table.groupby("role", sort=False):
        axes.scatter(rows[cost], rows[metric], color=_COLOURS[str(role)], label=role, s=30)
    front = table[pareto_front(table[metric].to_numpy(float), table[cost].to_numpy(float))].sort_values(cost)
    axes.plot(front[cost], front[metric], color="#009e73", linewidth=1, drawstyle="steps-post", label="Pareto front")
    for number, row in table.iterrows():
        if row["pareto"] or number == chosen:
            weight = "bold" if number == chosen else "normal"
            axes.annotate(
                row["name"], (row[cost], row[metric]), (4, 4), textcoords="offset points", fontsize=7, weight=weight
            )
