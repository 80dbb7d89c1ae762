"""A sweep as one HTML page: parallel coordinates, the metric against each parameter, how much each matters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recbole_hetcomp.files import write_text_whole
from recbole_hetcomp.results import document
from recbole_hetcomp.results.document import Drawing, Section, Table

if TYPE_CHECKING:
    from recbole_hetcomp.tune.sweep_plan import SweepPlan

REPORT = "report.html"
LEAST_TRIALS = 6  # for an importance that says anything
_TREES, _REPEATS = 200, 20
_SPREAD = 100.0  # ratio of bounds above which an axis is logarithmic


def write_report(frame: pd.DataFrame, plan: SweepPlan, folder: Path) -> Path:
    """Write ``report.html``, which needs no network and no other file.

    Args:
        frame: the result table.
        plan: the sweep.
        folder: where it is written.
    """
    text = page(frame, plan)
    write_text_whole(folder / REPORT, text)
    return folder / REPORT


def page(frame: pd.DataFrame, plan: SweepPlan) -> str:
    """The page's HTML."""
    names, score = [parameter.name for parameter in plan.job.space], f"best {plan.metric}"
    validated = frame.dropna(subset=[score]) if score in frame else frame.iloc[:0]
    sections = [Section("The sweep", _heading(frame, plan)), *_drawings(validated, names, score, plan)]
    cells = frame.apply(lambda column: column.map(_cell))
    sections.append(Section("Trials", [Table("All trials", cells)]))
    return document.html(f"Sweep of {plan.job.model} on {plan.job.dataset}", sections)


def _cell(value: object) -> str:
    """
    >>> _cell(0.123456789), _cell(float("nan")), _cell(3), _cell("EASE")
    ('0.123457', '', '3', 'EASE')
    """
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def _heading(frame: pd.DataFrame, plan: SweepPlan) -> list[str]:
    options = plan.options
    counts = ", ".join(f"{count} {status}" for status, count in frame.get("status", pd.Series()).value_counts().items())
    what = f"{plan.job.model} on {plan.job.dataset}: search {options.search}, scheduler {options.scheduler}, "
    what += f"seed {plan.seed}; trials: {counts or 'none'}."
    return [what, f"Trials are chosen by validation {plan.metric}. Only the winner was tested."]


def _drawings(validated: pd.DataFrame, names: Sequence[str], score: str, plan: SweepPlan) -> list[Section]:
    if validated.empty:
        return [Section("Results", ["No trial was validated."])]
    drawn = [
        ("Parallel coordinates", _parallel(validated, names, score), ""),
        (f"Validation {plan.metric} against each parameter", _scatter(validated, names, score), ""),
    ]
    shares = importance(validated, names, score)
    if shares is not None:
        note = "Mean loss of R² of a random forest when a parameter's column is shuffled. A trial that was stopped "
        note += "early counts with the best that it had reached."
        drawn.append(("Parameter importance", _bars(shares), note))
    sections = [
        Section(title, [Drawing(_fitted(figure).to_html(full_html=False, include_plotlyjs=number == 0), note)])
        for number, (title, figure, note) in enumerate(drawn)
    ]
    if shares is None:
        too_few = f"It takes at least {LEAST_TRIALS} trials of different scores."
        sections.append(Section("Parameter importance", [too_few]))
    return sections


def _fitted(figure: Any) -> Any:
    """A figure without plotly's wide margins, through which the page's cue for what is wider can be seen."""
    names = figure.data[0].type == "parcoords"  # above its axes
    margin = {"t": 70 if names else 40, "b": 40, "l": 80, "r": 50}
    bar = {"bgcolor": "rgba(255,255,255,0.7)", "color": "#777777"}
    return figure.update_layout(margin=margin, paper_bgcolor="rgba(0,0,0,0)", modebar=bar, font={"size": 13})


def encoded(column: pd.Series) -> tuple[np.ndarray, list[str] | None]:
    """A parameter's column as numbers, and the names of its options where it has any.

    >>> encoded(pd.Series(["user", "global", "user"]))
    (array([1., 0., 1.]), ['global', 'user'])
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=float), None
    texts = column.map(str)
    options = sorted(texts.unique())
    return texts.map(options.index).to_numpy(dtype=float), options


def importance(validated: pd.DataFrame, names: Sequence[str], score: str) -> dict[str, float] | None:
    """How much each parameter matters to the score: permutation importance under a random forest.

    Args:
        validated: the result table's validated trials.
        names: the parameters.
        score: name of the score's column.

    Returns:
        Loss of R² by parameter, greatest first, at least 0; None where there is too little to tell.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    if len(validated) < LEAST_TRIALS or validated[score].nunique() < 2:
        return None
    inputs = np.column_stack([np.nan_to_num(encoded(validated[name])[0]) for name in names])
    target = validated[score].to_numpy(dtype=float)
    forest = RandomForestRegressor(_TREES, random_state=0).fit(inputs, target)
    found = permutation_importance(forest, inputs, target, n_repeats=_REPEATS, random_state=0)
    shares = {name: max(0.0, float(value)) for name, value in zip(names, found.importances_mean)}
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def _parallel(validated: pd.DataFrame, names: Sequence[str], score: str) -> Any:
    import plotly.graph_objects as graph

    axes = []
    for name in names:
        values, options = encoded(validated[name])
        if options is not None:
            axes.append({"label": name, "values": values, "tickvals": list(range(len(options))), "ticktext": options})
        elif _logarithmic(values):
            ticks = np.linspace(np.log10(values.min()), np.log10(values.max()), 5)
            texts = [f"{10**tick:.2g}" for tick in ticks]
            axes.append({"label": name, "values": np.log10(values), "tickvals": ticks, "ticktext": texts})
        else:
            axes.append({"label": name, "values": values})
    scores = validated[score].to_numpy(dtype=float)
    line = {"color": scores, "colorscale": "Viridis", "showscale": True}
    return graph.Figure(graph.Parcoords(line=line, dimensions=[*axes, {"label": score, "values": scores}]))


def _scatter(validated: pd.DataFrame, names: Sequence[str], score: str) -> Any:
    import plotly.graph_objects as graph
    from plotly.subplots import make_subplots

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=list(names), shared_yaxes=True)
    colors = {"finished": "#1f77b4", "stopped": "#bbbbbb"}
    marker = {"color": [colors.get(status, "#d62728") for status in validated["status"]]}
    for number, name in enumerate(names):
        values, options = encoded(validated[name])
        shown = values if options is None else validated[name].map(str)
        place = {"row": number // columns + 1, "col": number % columns + 1}
        dots = graph.Scatter(x=shown, y=validated[score], mode="markers", text=validated["trial"], marker=marker)
        figure.add_trace(dots, **place)
        if options is None and _logarithmic(values):
            figure.update_xaxes(type="log", **place)
    figure.update_layout(height=280 * rows, showlegend=False)
    return figure


def _bars(shares: dict[str, float]) -> Any:
    import plotly.graph_objects as graph

    names = list(shares)[::-1]
    figure = graph.Figure(graph.Bar(x=[shares[name] for name in names], y=names, orientation="h"))
    return figure.update_layout(height=80 + 40 * len(names), yaxis={"automargin": True})


def _logarithmic(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() > _SPREAD)
