"""The report's tables, as text with marks for best and second."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from recbole_hetcomp.comparison.report.files import COSTS, Results
from recbole_hetcomp.comparison.report.pairs import ALPHA, METHOD, Comparisons, Condition, best_other, is_ablation
from recbole_hetcomp.results.document import Table

NONE = "–"  # a number that is not known
_LONGEST = 80  # characters of a setting's value
_COST_NAMES = {"parameters": "parameters", "bytes": "MB", "train_seconds": "training s", "latency_ms": "latency ms"}
_ACCURACY_NOTE = (
    "Test split; mean ± s.d. over seeds. Bold: best, underlined: second among the students. {mark} MB: what has to be "
    "stored to serve the model. Latency: median time to score the catalogue for one user and take the first 50."
)
_MARK_NOTE = (
    f"▲ / ▼ at {METHOD}: significantly above / below the best other method (paired t-test over users, Holm over all "
    f"other methods, p < {ALPHA:g})."
)


_IMPROVING_NOTE = " ↗: so many of its runs were best at their last validation; more epochs may help."


def seeds_of(results: Results, own: pd.DataFrame) -> str:
    """The number of seeds, and of runs that were still improving at their last validation.

    Args:
        results: the benchmark's, whose curves say when a run was validated last.
        own: a method's runs.
    """
    seeds = str(own["seed"].nunique())
    curves = results.curves
    if curves is None or "best_epoch" not in own or set(own["role"]) & {"teacher", "ensemble"}:
        return seeds  # a teacher's last recorded epoch is its best
    run = ["method", "dataset", "backbone", "dimension", "seed"]
    validated = curves.dropna(subset=["valid"]).groupby(run, dropna=False)["epoch"].agg(["size", "max"])
    known = own.merge(validated.reset_index(), on=run)
    improving = int(((known["size"] > 1) & (known["best_epoch"] >= known["max"])).sum())
    return f"{seeds}, {improving} ↗" if improving else seeds


def reference_table(results: Results, dataset: str) -> Table | None:
    """Teachers, ensemble and RecBole's own recommenders on a data set; None where there is none."""
    rows = results.runs[(results.runs["dataset"] == dataset) & (results.runs["role"] != "student")]
    if rows.empty:
        return None
    groups = list(rows.groupby(["method", "role"], sort=False))
    cells = pd.DataFrame(
        [
            {
                "model": name,
                "role": role,
                "seeds": seeds_of(results, own),
                **_scores(own, results.metrics),
                **_costs(own),
            }
            for (name, role), own in groups
        ]
    )
    note = (
        "Test split; mean ± s.d. over seeds. Bold: best, underlined: second. The ensemble costs what its teachers do; "
        "where its speed was measured, all are scored and merged."
    )
    note += _IMPROVING_NOTE if cells["seeds"].str.contains("↗").any() else ""
    marks = _ranked([own for _, own in groups], cells, results.metrics)
    return Table(f"Teachers, ensemble and RecBole's recommenders, {dataset}", cells, marks, note)


def accuracy_table(results: Results, condition: Condition, comparisons: Comparisons, metric: str) -> Table:
    """The students of a condition, with the ensemble above them; ablations are in a table of their own."""
    students = condition.students(results.runs)
    students = students[~students["method"].map(is_ablation)]
    ensemble = ensemble_rows(results.runs, condition.dataset)
    above, below = (list(part.groupby("method", sort=False)) for part in (ensemble, students))
    cells = pd.DataFrame(
        [
            {
                "method": name,
                "seeds": seeds_of(results, own),
                **_scores(own, results.metrics),
                "of ensemble": share_of(own[metric].mean(), ensemble[metric].mean()),
                **_costs(own),
            }
            for name, own in [*above, *below]
        ]
    )
    marks = _ranked([ensemble[:0]] * len(above) + [own for _, own in below], cells, results.metrics)
    marks.iloc[: len(above)] = "reference"
    marked = False
    for column in results.metrics:
        mark = significance(students, comparisons, column)
        if mark is not None:
            marked = True
            cells.loc[cells["method"] == METHOD, column] += f" {mark}" if mark else ""
    note = _ACCURACY_NOTE.format(
        mark=_MARK_NOTE if marked else f"{METHOD} was not tested against another method over users."
    )
    note += _IMPROVING_NOTE if cells["seeds"].str.contains("↗").any() else ""
    share = f" Of ensemble: share of its {metric}." if not ensemble.empty else ""
    return Table(
        f"Accuracy and cost of the students, {condition.dataset}, {condition.label}", cells, marks, note + share
    )


def significance(students: pd.DataFrame, comparisons: Comparisons, metric: str) -> str | None:
    """``▲``, ``▼`` or nothing for HetComp against the best other method; None where it was not tested."""
    other = best_other(students, metric)
    row = comparisons.find(metric, other) if other is not None else None
    if row is None:
        return None
    if row["p_t_holm"] >= ALPHA:
        return ""
    return "▲" if row["difference"] > 0 else "▼"


def comparison_table(caption: str, rows: pd.DataFrame, note: str, effect: bool = False) -> Table:
    """Comparisons of HetComp with others.

    Args:
        caption: what they are.
        rows: of ``Comparisons``.
        note: how to read it.
        effect: whether the others are variants, so that the difference is the effect of what they lack.
    """
    first = "effect" if effect else "difference"
    cells = pd.DataFrame(
        {
            "variant" if effect else f"{METHOD} against": [_part(name) if effect else name for name in rows["other"]],
            "metric": rows["metric"],
            "n": [f"{n:,}" for n in rows["n"]],
            METHOD: [f"{x:.4f}" for x in rows["mean"]],
            "other": [f"{x:.4f}" for x in rows["other_mean"]],
            first: [_signed(x) for x in rows["difference"]],
            "relative": [gain(x) for x in rows["relative"]],
            "95 % interval": [f"[{_signed(a)}, {_signed(b)}]" for a, b in zip(rows["low"], rows["high"])],
            "d_z": [_effect(x) for x in rows["d_z"]],
            "better / equal / worse": [
                f"{a:.0%} / {b:.0%} / {c:.0%}" for a, b, c in zip(rows["better"], rows["equal"], rows["worse"])
            ],
            **{
                f"p {test}": [p_value(p) for p in rows[f"p_{test}_holm"]]
                for test in ("t", "wilcoxon", "randomisation")
                if f"p_{test}_holm" in rows
            },
        }
    ).reset_index(drop=True)
    return Table(caption, cells, None, note)


def ablation_rows(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Comparisons of HetComp with its ablations by some metrics."""
    return rows[rows["metric"].isin(metrics) & (rows["family"] == "ablations")]


def beyond_table(results: Results, dataset: str) -> Table | None:
    """Popularity, concentration and likeness to the ensemble of every model; None where nothing was measured."""
    rows = results.runs[results.runs["dataset"] == dataset]
    if not results.beyond or rows[list(results.beyond)].isna().all(axis=None):
        return None
    keys = ["method", "role", "backbone", "dimension"]
    lines = []
    for (name, role, backbone, dimension), own in rows.groupby(keys, sort=False, dropna=False):
        student = role == "student"
        lines.append(
            {
                "model": name,
                "role": role,
                "backbone": str(backbone) if student else "",
                "dimension": f"{dimension:g}" if student else "",
                **{column: _measure(column, own[column]) for column in results.beyond},
            }
        )
    cells = pd.DataFrame(lines)
    cells = cells.drop(columns=[c for c in ("backbone", "dimension") if cells[c].replace("", pd.NA).nunique() < 2])
    note = (
        "averagepopularity: mean training interactions of a recommended item. popularitylift: how much more popular "
        "than users' own training items, 0 % is as popular. itemcoverage: share of the catalogue in anybody's list. "
        "giniindex: 0 if all items are recommended equally often. overlap and discrepancy: against the ensemble's list."
    )
    return Table(f"Beyond accuracy, {dataset}", cells, None, note)


def settings_tables(results: Results) -> list[Table]:
    """What all runs have in common, and what each student method has of its own."""
    every = [flat(settings) for settings in results.settings()]
    known = [settings for settings in every if settings]
    if not known:
        return []
    keys = list(dict.fromkeys(key for settings in known for key in settings))
    common = [
        key for key in keys if key != "seed" and len({json.dumps(s.get(key, None), default=str) for s in known}) == 1
    ]
    tables = []
    if common:
        tables.append(_listing("Settings of every run", {key: known[0][key] for key in common}))
    lines: dict[tuple[str, str], None] = {}
    for settings, run in zip(every, results.runs.itertuples()):
        own = {key: value for key, value in settings.items() if key not in common and key != "seed"}
        if own:
            where = (
                f"{run.method}, {run.backbone} {run.dimension:g}"
                if run.role == "student"
                else f"{run.method} ({run.role})"
            )
            lines[where, ", ".join(f"{key} {_value(value)}" for key, value in own.items())] = None
    if lines:
        cells = pd.DataFrame(list(lines), columns=["model", "its own settings"])
        marks = pd.DataFrame("", index=cells.index, columns=cells.columns).assign(**{"its own settings": "long"})
        tables.append(Table("Settings that differ between runs", cells, marks))
    return tables


def card_table(name: str, card: Any) -> Table:
    """A data card, or any nested data, as a list of names and values; what is empty is left out."""
    values = flat(card if isinstance(card, dict) else {"": card})
    return _listing(name, {key: value for key, value in values.items() if value not in (None, "", [], {})})


def ensemble_rows(runs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The runs of a data set's ensemble."""
    return runs[(runs["dataset"] == dataset) & (runs["role"] == "ensemble")]


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots.

    >>> flat({"a": {"b": 1}, "c": [2, 3]})
    {'a.b': 1, 'c': [2, 3]}
    """
    found: dict[str, Any] = {}
    for key, value in data.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value})
    return found


def gain(share: float) -> str:
    """A relative difference as text.

    >>> gain(0.0312), gain(-0.2), gain(float("nan"))
    ('+3.1%', '−20.0%', '–')
    """
    return NONE if math.isnan(share) else f"{share:+.1%}".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value as text.

    >>> p_value(0.0312), p_value(2e-9), p_value(float("nan"))
    ('0.031', '<0.001', '–')
    """
    if math.isnan(p):
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _listing(caption: str, values: dict[str, Any]) -> Table:
    cells = pd.DataFrame({"name": list(values), "value": [_value(value) for value in values.values()]})
    marks = pd.DataFrame("", index=cells.index, columns=cells.columns).assign(value="long")
    return Table(caption, cells, marks)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _scores(own: pd.DataFrame, metrics: Iterable[str]) -> dict[str, str]:
    return {metric: mean_and_spread(own[metric]) for metric in metrics}


def mean_and_spread(values: pd.Series) -> str:
    """Mean ± s.d. (n − 1), the mean alone where there is one value.

    >>> mean_and_spread(pd.Series([0.25, 0.27])), mean_and_spread(pd.Series([0.25]))
    ('0.2600 ± 0.0141', '0.2500')
    """
    known = values.dropna()
    if known.empty:
        return NONE
    return f"{known.mean():.4f}" + (f" ± {known.std(ddof=1):.4f}" if len(known) > 1 else "")


def _costs(own: pd.DataFrame) -> dict[str, str]:
    shown = {"parameters": "{:,.0f}", "bytes": "{:,.3f}", "train_seconds": "{:,.1f}", "latency_ms": "{:.2f}"}
    found = {}
    for cost in COSTS:
        mean = own[cost].mean() / (1e6 if cost == "bytes" else 1) if cost in own else math.nan
        found[_COST_NAMES[cost]] = NONE if math.isnan(mean) else shown[cost].format(mean)
    return found


def share_of(mean: float, ensemble: float) -> str:
    """Share of the ensemble's accuracy.

    >>> share_of(0.27, 0.3), share_of(0.27, float("nan"))
    ('90.0%', '–')
    """
    return NONE if math.isnan(mean) or math.isnan(ensemble) or ensemble == 0 else f"{mean / ensemble:.1%}"


def _measure(column: str, values: pd.Series) -> str:
    mean = values.mean()
    if math.isnan(mean):
        return NONE
    measure = column.split("@")[0]
    if measure == "averagepopularity":
        return f"{mean:,.1f}"
    if measure in ("popularitylift", "itemcoverage", "overlap"):
        return gain(mean) if measure == "popularitylift" else f"{mean:.1%}"
    return f"{mean:.3f}"


def _ranked(groups: Sequence[pd.DataFrame], cells: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Marks of the best and the second in each metric; equal means share a mark.

    Args:
        groups: the runs of each line of ``cells``; empty for a line that takes no part.
        cells: the table.
        metrics: its columns to be marked.
    """
    marks = pd.DataFrame("", index=cells.index, columns=cells.columns)
    for metric in metrics:
        means = pd.Series([own[metric].mean() for own in groups], index=cells.index).round(10)
        if means.count() < 2:
            continue
        for mean, mark in zip(sorted(means.dropna().unique(), reverse=True), ("best", "second")):
            marks.loc[means == mean, metric] = mark
    return marks


def _signed(x: float) -> str:
    return f"{x:+.4f}".replace("-", "−")


def _effect(x: float) -> str:
    return ("∞" if x > 0 else "−∞") if math.isinf(x) else f"{x:+.2f}".replace("-", "−")


def _part(name: str) -> str:
    """``HetComp (no DKC)`` as ``no DKC``."""
    return name[len(METHOD) + 2 : -1]
