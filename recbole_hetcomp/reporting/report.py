"""The report of a benchmark: what it found, and how it can be told."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from recbole_hetcomp.config import PLACE_KEYS
from recbole_hetcomp.reporting import plots, tables
from recbole_hetcomp.reporting.comparison import (
    ALONE,
    ALPHA,
    BOOTSTRAPPED_USERS,
    METHOD,
    Comparisons,
    Condition,
    best_other,
    compare,
    conditions,
)
from recbole_hetcomp.reporting.document import Block, Points, Section, Table, write_document
from recbole_hetcomp.reporting.files import Results, read_results
from recbole_hetcomp.trainer.results import versions

_USERS_NOTE = (
    "Over users, each user's values averaged over the seeds. Interval: bootstrap (BCa), or Student's t above "
    f"{BOOTSTRAPPED_USERS:,} users. d_z: mean difference / s.d. of the differences. p: two-sided, Holm over the other "
    "methods; against the ensemble uncorrected. No randomisation p is below {least:.2g} before the correction, as "
    "{resamples:,} sign flips were drawn."
)
_SEEDS_NOTE = (
    "Over seeds. Interval: Student's t. p: two-sided, Holm over the other methods and over the ablations. With n seeds "
    "no randomisation p is below 2/2^n, even before the correction."
)
_ABLATION_NOTE = (
    f"Over users. The effect is {METHOD} less its variant: above 0, the part that the variant lacks helps, or what the "
    "variant adds does not; an interval that holds 0 does not tell. p: two-sided, Holm over the variants."
)


def write_report(folder: str | Path, metric: str = "recall@50", resamples: int = 9999) -> None:
    """Write ``report.md`` with its pictures, and ``report.html`` with everything inside, into a benchmark's folder.

    What is not in the folder is left out and named in the report.

    Args:
        folder: the benchmark's folder, see ``reporting.files``.
        metric: the metric that decides; ndcg at the same cut-off is tested as fully.
        resamples: of randomisation tests and bootstrap intervals.

    Raises:
        FileNotFoundError: the folder holds no runs.
        ValueError: the runs do not have the metric, or a table is not what it should be.
    """
    results = read_results(Path(folder))
    if metric not in results.metrics:
        raise ValueError(f"metric {metric!r} was not measured; there are: {', '.join(results.metrics) or 'none'}")
    main = [metric, *(m for m in results.metrics if m == f"ndcg@{metric.split('@')[1]}" and m != metric)]
    compared = {condition: compare(results, condition, main, resamples) for condition in conditions(results.runs)}
    sections = [Section("Findings", [Points(tuple(findings(results, compared, metric)))])]
    notes = [*results.missing, *dict.fromkeys(n for each in compared.values() for n in each.notes)]
    if notes:
        sections.append(Section("What is missing", [Points(tuple(notes))]))
    for dataset in dict.fromkeys(results.runs["dataset"]):
        sections += _dataset(results, dataset, compared, metric, main, resamples)
    sections.append(_origin(results))
    write_document(Path(folder), "report", "Comparison of distillation methods", sections)


def findings(results: Results, compared: dict[Condition, Comparisons], metric: str) -> list[str]:
    """What the tables say of HetComp, a sentence a condition, and from which size on it is as good as the ensemble."""
    found = []
    for condition, comparisons in compared.items():
        means = condition.students(results.runs).groupby("method", sort=False)[metric].mean()
        if METHOD in means and not math.isnan(means[METHOD]):
            found.append(_finding(results, condition, comparisons, means, metric))
    found += _sizes(results, compared, metric)
    return found or [f"{METHOD} was not run."]


def _finding(results: Results, condition: Condition, comparisons: Comparisons, means: pd.Series, metric: str) -> str:
    ensemble = tables.ensemble_rows(results.runs, condition.dataset)[metric].mean()
    parts = [f"{condition.dataset}, {condition.label}: {METHOD} has {metric} {means[METHOD]:.4f}"]
    if ensemble > 0:
        parts.append(f"{means[METHOD] / ensemble:.1%} of the ensemble's {ensemble:.4f}")
    other = best_other(condition.students(results.runs), metric)
    if other != ALONE and means.get(ALONE, 0) > 0:
        parts.append(f"{_percent(means[METHOD] / means[ALONE] - 1)} against {ALONE}")
    if other is not None:
        parts.append(f"{_percent(means[METHOD] / means[other] - 1)} against {other}, the best other method")
        row = comparisons.find(metric, other)
        if row is not None:
            verdict = "significant" if row["p_t_holm"] < ALPHA else "not significant"
            p = tables.p_value(row["p_t_holm"])
            parts[-1] += f" ({verdict} over {row['n']:,} users, t-test, Holm: p {p if p[0] == '<' else '= ' + p})"
    return ", ".join(parts) + "."


def _percent(share: float) -> str:
    return f"{share:+.1%}".replace("-", "−")


def _sizes(results: Results, compared: dict[Condition, Comparisons], metric: str) -> list[str]:
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
        for share in (0.9, 1.0):
            enough = means.index[means >= share * ensemble]
            said.append(f"{share:.0%} at {'dimension ' + format(enough.min(), 'g') if len(enough) else 'none of them'}")
        tried = ", ".join(f"{d:g}" for d in means.index)
        found.append(
            f"{dataset}, {backbone}: of the dimensions tried ({tried}), the smallest that keeps a share of the "
            f"ensemble's {metric}: {'; '.join(said)}."
        )
    return found


def _dataset(
    results: Results, dataset: str, compared: dict[Condition, Comparisons], metric: str, main: list[str], resamples: int
) -> list[Section]:
    here = [condition for condition in compared if condition.dataset == dataset]
    blocks: list[Block | None] = [tables.reference_table(results, dataset)]
    for backbone in dict.fromkeys(condition.backbone for condition in here):
        blocks.append(plots.accuracy_against_parameters(results, dataset, backbone, metric))
    sections = [Section(dataset, _there(blocks))]
    for condition in here:
        sections.append(_condition(results, condition, compared[condition], metric, main, resamples))
    beyond = tables.beyond_table(results, dataset)
    if beyond is not None:
        sections.append(Section(f"{dataset}: beyond accuracy", [beyond], level=3))
    return sections


def _condition(
    results: Results, condition: Condition, comparisons: Comparisons, metric: str, main: list[str], resamples: int
) -> Section:
    blocks: list[Block | None] = [tables.accuracy_table(results, condition, comparisons, metric)]
    blocks += _tests(comparisons, main, resamples)
    blocks += [
        plots.training_curves(results, condition),
        plots.user_gains(results, condition, metric),
        plots.curriculum_progress(results, condition),
    ]
    return Section(f"{condition.dataset}: {condition.label}", _there(blocks), level=3)


def _tests(comparisons: Comparisons, main: list[str], resamples: int) -> list[Block | None]:
    found: list[Block | None] = []
    users_note = _USERS_NOTE.format(least=2 / (resamples + 1), resamples=resamples)
    for rows, unit, note in ((comparisons.users, "users", users_note), (comparisons.seeds, "seeds", _SEEDS_NOTE)):
        if rows.empty:
            continue
        shown = rows[rows["metric"].isin(main)]
        others = shown[shown["family"] != "ablations"] if unit == "users" else shown
        if not others.empty:
            found.append(tables.comparison_table(f"Tests over {unit}", others, note))
        parts = tables.ablation_rows(rows, main)
        if not parts.empty and unit == "users":
            found.append(tables.comparison_table("What each part is worth", parts, _ABLATION_NOTE, effect=True))
    return found


def _there(blocks: list[Block | None]) -> list[Block]:
    return [block for block in blocks if block is not None]


def _origin(results: Results) -> Section:
    """Data, settings, versions, command: all that is needed to do it again."""
    blocks: list[Block] = [tables.card_table(f"Data card {name}", card) for name, card in results.cards.items()]
    plan = results.plan
    if "command" in plan:
        command = plan["command"]
        blocks.append(f"Command: {command if isinstance(command, str) else ' '.join(map(str, command))}")
    blocks += tables.settings_tables(results)
    if results.trials:
        cells = pd.DataFrame({"method": list(results.trials), "trials": [str(n) for n in results.trials.values()]})
        blocks.append(Table("Tuning trials, each judged on validation data alone", cells))
    if "plan" in plan:
        decided = {name: value for name, value in plan["plan"].items() if name not in PLACE_KEYS}
        blocks.append(tables.card_table("Plan", decided))
    runs_with = plan.get("versions")
    blocks.append(
        tables.card_table("Versions of the runs" if runs_with else "Versions of this report", runs_with or versions())
    )
    return Section("Data, settings and versions", blocks)
