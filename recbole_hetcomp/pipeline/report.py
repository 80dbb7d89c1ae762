"""The step ``report``: one page of the data, the run's table, the export and the profile."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_hetcomp.files import read_json, versions
from recbole_hetcomp.pipeline.state import STATE
from recbole_hetcomp.pipeline.steps import RESULTS
from recbole_hetcomp.results.document import Block, Picture, Points, Section, Table, write_document
from recbole_hetcomp.results.table import Result, read_result

_LARGE = 100  # no decimals from here on


def write_report(output: Path, dataset: str) -> None:
    """Write ``report.html`` and ``report.md`` into a pipeline's output folder, of what its steps have left there.

    Args:
        output: the folder.
        dataset: name of the data set.

    Raises:
        FileNotFoundError: no student was distilled.
        DamagedFileError: a file that a step wrote is damaged.
    """
    result = read_result(output / "student" / RESULTS)
    sections = [
        Section("In short", [Points((*result.in_words(), *_evaluation(output)))]),
        *_data(output / "data" / dataset / f"{dataset}.card.json"),
        Section("The models", _models(result, output / "student" / "curves.png")),
        *_export(output / "export" / "manifest.json"),
        *_profile(output / "profile"),
        Section("How it was made", _steps(output)),
    ]
    write_document(output, "report", f"{result.rows[-1].name} on {dataset}", sections)


def _evaluation(output: Path) -> list[str]:
    file = output / "evaluation.json"
    if not file.is_file():
        return []
    told = read_json(file)
    return [
        "The saved student, loaded anew, has the table's test metrics; the largest difference is "
        f"{told['largest_difference']:.1g}."
    ]


def _data(card_file: Path) -> list[Section]:
    if not card_file.is_file():
        return []
    card = json.loads(card_file.read_text(encoding="utf-8"))
    rows = [
        {"": "read", **card["read"]},
        *({"": f"dropped: {row['reason']}", **{key: row[key] for key in card["read"]}} for row in card["dropped"]),
        *({"": name, **row} for name, row in card["parts"].items()),
    ]
    activity = card["interactions_per_user"]
    facts = (
        f"{card['users']:,} users, {card['items']:,} items, {card['interactions']:,} interactions, density "
        f"{card['density']:.4%}; split: {card['split']}.",
        f"A user has {activity['mean']:.1f} interactions in the mean, {activity['50%']:.0f} in the median.",
        f"The most popular tenth of the items has {card['popularity']['top']['10%']:.1%} of the interactions.",
        f"From {card['input']['file']}, SHA-256 {card['input']['sha256']}.",
    )
    return [Section("The data", [Points(facts), Table("What was read, dropped and kept", _counted(rows))])]


def _counted(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as text, whole numbers with their thousands set apart."""
    frame = pd.DataFrame(rows)
    return frame.map(_text) if hasattr(frame, "map") else frame.applymap(_text)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:,.4f}" if abs(value) < _LARGE else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _models(result: Result, curves: Path) -> list[Block]:
    table = result.table()
    shown = _counted(table.astype(object).to_dict(orient="records"))
    shown["share_of_ensemble"] = ["–" if share != share else f"{share:.1%}" for share in table["share_of_ensemble"]]
    shown["seconds"] = [f"{seconds:.1f}" for seconds in table["seconds"]]
    note = f"Test split; share_of_ensemble compares {result.metric}. Seed {result.seed}, run {result.run}."
    blocks: list[Block] = [Table("Teachers, their ensemble and the student", shown, note=note)]
    if curves.is_file():
        blocks.append(Picture("curves", "How the student trained, epoch by epoch", curves.read_bytes()))
    return blocks


def _export(manifest: Path) -> list[Section]:
    if not manifest.is_file():
        return []
    told = read_json(manifest)
    model, parity = told["model"], told["parity"]
    files = [{"file": name, "bytes": one["bytes"]} for name, one in told["files"].items()]
    agreements = [
        {
            "file": name,
            "users": one["users"],
            "same list": one["same"],
            "differ in ties": one["ties"],
            "differ": one["different"],
            "of the model's items": f"{one['recall']:.2%}",
        }
        for name, one in parity["artefacts"].items()
    ]
    size = (
        f"{model['parameters']:,} numbers in {model['bytes']:,} bytes of vectors, {model['dimension']} a user or item."
    )
    return [
        Section(
            "The export",
            [
                size,
                Table("Its files", _counted(files)),
                Table(f"Top {parity['k']} of each file's own runtime against the model's", _counted(agreements)),
            ],
        )
    ]


def _profile(folder: Path) -> list[Section]:
    table, picture = folder / "profile.csv", folder / "profile.png"
    if not table.is_file():
        return []
    rows = pd.read_csv(table).astype(object).to_dict(orient="records")
    blocks: list[Block] = [Table("What each model costs, measured in one run", _counted(rows))]
    if picture.is_file():
        blocks.append(Picture("profile", "What each model costs", picture.read_bytes()))
    return [Section("What they cost", blocks)]


def _steps(output: Path) -> list[Block]:
    steps = read_json(output / STATE)["steps"]
    rows = [
        {
            "step": name,
            "seconds": f"{one['seconds']:.1f}",
            "what ran": "; ".join(" ".join(line) for line in one["words"]),
        }
        for name, one in steps.items()
    ]
    cells = pd.DataFrame(rows)
    marks = pd.DataFrame("", index=cells.index, columns=cells.columns).assign(**{"what ran": "long"})
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    return [Table("Each step, when it last ran", cells, marks), f"Versions: {used}."]


def main(words: Sequence[str]) -> int:
    """``python -m recbole_hetcomp.pipeline.report OUTPUT DATASET``; the exit status."""
    output, dataset = words
    write_report(Path(output), dataset)
    print(f"{Path(output) / 'report.html'}: data, models, export and costs on one page")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
