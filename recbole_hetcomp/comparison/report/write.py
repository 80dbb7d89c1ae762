"""The report of a benchmark: what it found, and how it can be told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recbole_hetcomp.comparison.report import plots, tables
from recbole_hetcomp.comparison.report.files import Results, read_results
from recbole_hetcomp.comparison.report.findings import findings
from recbole_hetcomp.comparison.report.pairs import (
    BOOTSTRAPPED_USERS,
    METHOD,
    Comparisons,
    Condition,
    compare,
    conditions,
)
from recbole_hetcomp.comparison.report.serving import serving_table
from recbole_hetcomp.files import versions
from recbole_hetcomp.recbole_bridge.identity import place_keys
from recbole_hetcomp.results.document import Block, Points, Section, Table, write_document

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
        folder: the benchmark's folder, see ``report.files``.
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
    sections = [Section("Findings", findings(results, compared, main))]
    notes = [*results.missing, *dict.fromkeys(n for each in compared.values() for n in each.notes)]
    if notes:
        sections.append(Section("What is missing", [Points(tuple(notes))]))
    for dataset in dict.fromkeys(results.runs["dataset"]):
        sections += _dataset(results, dataset, compared, metric, main, resamples)
    sections.append(_origin(results))
    write_document(Path(folder), "report", "Comparison of distillation methods", sections)


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
    serving = serving_table(results, dataset)
    if serving is not None:
        sections.append(Section(f"{dataset}: serving", [serving], level=3))
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
        decided = {name: value for name, value in plan["plan"].items() if name not in place_keys()}
        blocks.append(tables.card_table("Plan", decided))
    runs_with = plan.get("versions")
    blocks.append(
        tables.card_table("Versions of the runs" if runs_with else "Versions of this report", runs_with or versions())
    )
    return Section("Data, settings and versions", blocks)
