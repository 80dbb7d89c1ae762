"""What a benchmark has found, in short: HetComp against the ensemble, the student alone and the best other method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from recbole_hetcomp.comparison.report import tables
from recbole_hetcomp.comparison.report.files import Results
from recbole_hetcomp.comparison.report.pairs import ALONE, ALPHA, METHOD, Comparisons, Condition, best_other
from recbole_hetcomp.results.document import Block, Points, Table

SHARES = (0.9, 1.0)  # of the ensemble's accuracy, whose smallest dimension is told
_NOTE = (
    f"Means over seeds. Of ensemble: share of its mean. Best other: the best method besides {METHOD} by its mean, the "
    "student alone included; against it: over the seeds that both have; p: paired t-test over users, Holm over all "
    f"other methods; ▲ / ▼: {METHOD} is significantly above / below it (p < {ALPHA:g})."
)


def findings(results: Results, compared: Mapping[Condition, Comparisons], metrics: Sequence[str]) -> list[Block]:
    """A table with a line a condition and metric, and from which dimension on HetComp is as good as the ensemble.

    Args:
        results: the benchmark.
        compared: the comparisons of each condition.
        metrics: those that decide.
    """
    lines = [
        line
        for condition, comparisons in compared.items()
        for metric in metrics
        if (line := _line(results, condition, comparisons, metric)) is not None
    ]
    if not lines:
        return [Points((f"{METHOD} was not run.",))]
    found: list[Block] = [Table(f"{METHOD} in short", pd.DataFrame(lines), None, _NOTE)]
    sizes = tuple(size for metric in metrics for size in _sizes(results, compared, metric))
    return [*found, Points(sizes)] if sizes else found


def _line(results: Results, condition: Condition, comparisons: Comparisons, metric: str) -> dict[str, str] | None:
    """The line of a condition; None where HetComp does not have the metric."""
    students = condition.students(results.runs)
    means = students.groupby("method", sort=False)[metric].mean()
    own = means.get(METHOD, math.nan)
    if math.isnan(own):
        return None
    other = best_other(students, metric)
    row = None if other is None else comparisons.find(metric, other)
    theirs = math.nan if other is None else means[other]
    mark = tables.significance(students, comparisons, metric)
    return {
        "students": f"{condition.dataset}, {condition.label}",
        "metric": metric,
        METHOD: f"{own:.4f}" + (f" {mark}" if mark else ""),
        "of ensemble": tables.share_of(own, tables.ensemble_rows(results.runs, condition.dataset)[metric].mean()),
        f"against {ALONE}": _gain(own, means.get(ALONE, math.nan)),
        "best other": tables.NONE if other is None else f"{other} {theirs:.4f}",
        "against it": _gain(own, theirs) if row is None else tables.gain(row["relative"]),
        "p": tables.NONE if row is None else tables.p_value(row["p_t_holm"]),
    }


def _gain(own: float, other: float) -> str:
    return tables.gain(own / other - 1 if other > 0 else math.nan)


def _sizes(results: Results, compared: Mapping[Condition, Comparisons], metric: str) -> list[str]:
    """The smallest dimensions at which HetComp keeps 90 and 100 % of the ensemble's accuracy."""
    found = []
    for dataset, backbone in dict.fromkeys((one.dataset, one.backbone) for one in compared):
        ensemble = tables.ensemble_rows(results.runs, dataset)[metric].mean()
        runs = results.runs
        own = runs[(runs["dataset"] == dataset) & (runs["backbone"] == backbone) & (runs["method"] == METHOD)]
        means = own.groupby("dimension")[metric].mean().dropna()
        if math.isnan(ensemble) or means.empty:
            continue
        said = []
        for share in SHARES:
            enough = means.index[means >= share * ensemble]
            said.append(f"{share:.0%} at {'dimension ' + format(enough.min(), 'g') if len(enough) else 'none of them'}")
        tried = ", ".join(f"{d:g}" for d in means.index)
        found.append(
            f"{dataset}, {backbone}: of the dimensions tried ({tried}), the smallest that keeps a share of the "
            f"ensemble's {metric}: {'; '.join(said)}."
        )
    return found
