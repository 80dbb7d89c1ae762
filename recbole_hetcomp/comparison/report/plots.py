"""The report's pictures, in colours that the colour-blind tell apart (Wong, Nature Methods 8, 2011)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from recbole_hetcomp.comparison.report.files import Results
from recbole_hetcomp.comparison.report.pairs import (
    ALONE,
    METHOD,
    Condition,
    ablations_of,
    best_other,
    is_ablation,
    methods_of,
    plain_name,
)
from recbole_hetcomp.results.document import Picture

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
GREY = "#7f7f7f"
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)  # of the others: vermillion is HetComp's, black the ensemble's
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))
_MARKERS = "sD^vPX*<>p"
_STYLE = {"fontsize": 9}


@dataclass(frozen=True)
class Styles:
    """How each method is drawn, the same in every picture.

    Args:
        names: the methods, in order.
    """

    names: tuple[str, ...]

    def of(self, name: str) -> dict[str, Any]:
        """Colour, dash and width of a method's line."""
        if name == METHOD:
            return {"color": VERMILLION, "linestyle": "-", "linewidth": 2.4, "zorder": 4}
        place = [other for other in self.names if other != METHOD].index(name)
        dash = _DASHES[place // len(_COLOURS) % len(_DASHES)]
        return {"color": _COLOURS[place % len(_COLOURS)], "linestyle": dash, "linewidth": 1.4, "zorder": 3}

    def marker(self, name: str) -> str:
        """Its marker."""
        if name == METHOD:
            return "o"
        return _MARKERS[[other for other in self.names if other != METHOD].index(name) % len(_MARKERS)]


def styles(runs: pd.DataFrame) -> Styles:
    """The styles of a benchmark's students."""
    return Styles(tuple(dict.fromkeys(runs.loc[runs["role"] == "student", "method"])))


def training_curves(results: Results, condition: Condition) -> Picture | None:
    """Validation metric over epochs of each method, a line a seed, with the ensemble and the best teacher as lines."""
    if results.curves is None:
        return None
    curves = condition.students(results.curves)
    curves = curves[~curves["method"].map(is_ablation)].dropna(subset=["valid"])
    if curves.empty:
        return None
    figure, axes = _figure(8.4, 4.4)
    look = styles(results.runs)
    for name, own in curves.groupby("method", sort=False):
        for _, line in own.sort_values("epoch").groupby("seed"):
            axes.plot(line["epoch"], line["valid"], alpha=0.85, **look.of(name))
    handles = [Line2D([], [], label=name, **look.of(name)) for name in dict.fromkeys(curves["method"])]
    handles += _validation_lines(axes, results, condition.dataset)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {results.valid_metric or 'score'}")
    _legend(axes, handles)
    seeds = curves["seed"].nunique()
    what = f"Validation {results.valid_metric or 'score'} over epochs, {condition.dataset}, {condition.label}"
    caption = f"{what}; {'a line a seed' if seeds > 1 else 'one seed'}."
    return _picture(figure, f"curves-{condition.key}", caption)


def _validation_lines(axes: Any, results: Results, dataset: str) -> list[Line2D]:
    """The ensemble's and the best teacher's validation score, where it is known under which metric the curves are."""
    column = f"valid_{results.valid_metric}"
    if column not in results.runs:
        return []
    here = results.runs[results.runs["dataset"] == dataset]
    handles = []
    for role, color, dash in (("ensemble", BLACK, (0, (4, 2))), ("teacher", GREY, (0, (1.5, 1.5)))):
        means = here[here["role"] == role].groupby("method", sort=False)[column].mean().dropna()
        if means.empty:
            continue
        label = str(means.idxmax()) if role == "ensemble" else f"best teacher ({means.idxmax()})"
        handles.append(axes.axhline(means.max(), color=color, linestyle=dash, linewidth=1.5, label=label))
    return handles


def accuracy_against_parameters(results: Results, dataset: str, backbone: str, metric: str) -> Picture | None:
    """Test accuracy over number of parameters, the ensemble as a line; None where parameters are not known."""
    runs = results.runs[results.runs["dataset"] == dataset]
    if "parameters" not in runs:
        return None
    students = runs[(runs["role"] == "student") & (runs["backbone"] == backbone) & ~runs["method"].map(is_ablation)]
    students = students.dropna(subset=["parameters", metric])
    if students.empty:
        return None
    figure, axes = _figure(8.4, 4.6)
    look = styles(results.runs)
    handles = []
    for name, own in students.groupby("method", sort=False):
        points = own.groupby("dimension").agg({"parameters": "mean", metric: ["mean", "std"]})
        x, y, spread = points["parameters"]["mean"], points[metric]["mean"], points[metric]["std"].fillna(0)
        size = 7 if name == METHOD else 5.5
        line = axes.errorbar(
            x,
            y,
            yerr=spread,
            marker=look.marker(name),
            markersize=size,
            elinewidth=1,
            markeredgewidth=0,
            **look.of(name),
        )
        line.set_label(name)
        handles.append(line)
    below = _far_below(students, runs, metric)
    handles += _others(axes, runs[(runs["role"] != "baseline") | ~runs["method"].isin(below.index)], metric)
    axes.set_xscale("log")
    axes.margins(x=0.08)
    axes.set_xlabel("parameters")
    axes.set_ylabel(f"test {metric}")
    _legend(axes, handles)
    caption = (
        f"Test {metric} against the number of parameters (logarithmic), {dataset}, {backbone} students of dimension "
        f"{', '.join(f'{d:g}' for d in sorted(students['dimension'].unique()))}; bars: s.d. over seeds."
    )
    if not below.empty:
        caption += f" Below the picture: {', '.join(f'{name} {mean:.4f}' for name, mean in below.items())}."
    return _picture(figure, f"size-{plain_name(dataset)}-{plain_name(backbone)}", caption)


def _others(axes: Any, runs: pd.DataFrame, metric: str) -> list[Any]:
    """The ensemble as a line; teachers and RecBole's recommenders as points with their names."""
    handles: list[Any] = []
    ensemble = runs.loc[runs["role"] == "ensemble", metric].mean()
    if not np.isnan(ensemble):
        handles.append(axes.axhline(ensemble, color=BLACK, linestyle=(0, (4, 2)), linewidth=1.5, label="ensemble"))
    for role, marker, label in (("teacher", "2", "teachers"), ("baseline", "x", "RecBole's recommenders")):
        rows = runs[(runs["role"] == role) & (runs["parameters"] > 0)]
        means = rows.groupby("method")[["parameters", metric]].mean().dropna()
        if not means.empty:
            points = axes.scatter(means["parameters"], means[metric], marker=marker, s=45, color=GREY, label=label)
            handles.append(points)
        for name, (x, y) in means.iterrows():
            label = axes.annotate(name, (x, y), (5, 0), textcoords="offset points", va="center", color=GREY, fontsize=7)
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5})  # lines pass behind
    return handles


def _far_below(students: pd.DataFrame, runs: pd.DataFrame, metric: str) -> pd.Series:
    """Means of RecBole's recommenders that are so far below all else that they would squeeze the picture."""
    rows = runs[runs["parameters"] > 0]
    taught = rows[rows["role"].isin(["teacher", "ensemble"])].groupby("method")[metric].mean().dropna()
    shown = [students[metric].min(), students[metric].max(), *taught]
    baselines = rows[rows["role"] == "baseline"].groupby("method", sort=False)[metric].mean()
    return baselines[baselines < min(shown) - (max(shown) - min(shown))]


def user_gains(results: Results, condition: Condition, metric: str) -> Picture | None:
    """How each user's accuracy changes against the student alone; None without it or without users' values."""
    if results.per_user is None or metric not in results.per_user:
        return None
    values = condition.students(results.per_user)
    wide = values.groupby(["user", "method"])[metric].mean().unstack("method")
    names = [name for name in methods_of(values) if name != ALONE]
    if ALONE not in wide or not names:
        return None
    gains = wide[names].sub(wide[ALONE], axis=0).dropna()
    figure = Figure(figsize=(9.6, 0.9 + max(3.0, 0.32 * len(names))), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
    _cumulative(left, gains, condition, results, metric)
    _shares(right, gains)
    caption = (
        f"Users' gains in test {metric} over {ALONE}, {condition.dataset}, {condition.label}, {len(gains):,} users, "
        "averaged over seeds. Left: share of the users that gain at most so much. Right: who gains and who loses."
    )
    return _picture(figure, f"gains-{condition.key}", caption)


def _cumulative(axes: Any, gains: pd.DataFrame, condition: Condition, results: Results, metric: str) -> None:
    look = styles(results.runs)
    other = best_other(condition.students(results.runs), metric)
    for name in dict.fromkeys(name for name in (METHOD, other) if name in gains):
        axes.ecdf(gains[name], label=name, **look.of(str(name)))
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel(f"gain in {metric} over {ALONE}")
    axes.set_ylabel("share of users")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", frameon=False, **_STYLE)


def _shares(axes: Any, gains: pd.DataFrame) -> None:
    """Stacked bars of the users that gain, stay and lose, the method with the most gaining users on top."""
    order = (gains > 0).mean().sort_values().index
    start = np.zeros(len(order))
    parts = (("gains", gains > 0, BLUE), ("same", gains == 0, "#d9d9d9"), ("loses", gains < 0, ORANGE))
    for label, hit, color in parts:
        share = hit.mean()[order].to_numpy()
        axes.barh(range(len(order)), share, left=start, color=color, label=label, height=0.75)
        for place, (width, left) in enumerate(zip(share, start)):
            if width >= 0.08:
                ink = "white" if color == BLUE else "black"
                axes.text(left + width / 2, place, f"{width:.0%}", ha="center", va="center", color=ink, fontsize=8)
        start += share
    axes.set_yticks(range(len(order)), order)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("share of users")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, **_STYLE)


def curriculum_progress(results: Results, condition: Condition) -> Picture | None:
    """How far the users are in their curricula, and how far the student is from what comes next; None without."""
    if results.curves is None or "share_last" not in results.curves:
        return None
    curves = condition.students(results.curves)
    taught = curves.dropna(subset=["share_last"])
    moving = taught.groupby("method", sort=False)["share_last"].min() < 1
    names = [name for name in (METHOD, *ablations_of(taught)) if moving.get(name, False)]
    if not names:
        return None
    figure = Figure(figsize=(8.4, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    look = Styles(tuple(names))
    for name in names:
        own = taught[taught["method"] == name].sort_values("epoch")
        for _, line in own.groupby("seed"):
            upper.plot(line["epoch"], line["share_last"], alpha=0.85, **look.of(name))
            known = line.dropna(subset=["discrepancy"]) if "discrepancy" in line else line[:0]
            lower.plot(known["epoch"], known["discrepancy"], alpha=0.85, **look.of(name))
    upper.set_ylim(-0.02, 1.02)
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    upper.set_ylabel("pairs at the last snapshot")
    lower.set_ylabel("mean D to the next snapshot")
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
    _legend(upper, [Line2D([], [], label=name, **look.of(name)) for name in names])
    caption = (
        f"The curriculum's progress, {condition.dataset}, {condition.label}. Above: share of (user, teacher) pairs "
        "that are taught the last snapshot. Below: mean discrepancy between the student and the next snapshot."
    )
    return _picture(figure, f"curriculum-{condition.key}", caption)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    return figure, axes


def _legend(axes: Any, handles: Sequence[Any]) -> None:
    """Beside the axes, where it hides nothing."""
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, **_STYLE)


def _picture(figure: Figure, name: str, caption: str) -> Picture:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, dpi=120, format="png", metadata={"Software": None})
    return Picture(name, caption, content.getvalue())
