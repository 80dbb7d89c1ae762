"""A run's result: one table, printed and written as JSON and CSV, and a picture of the training curves."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recbole_hetcomp.extras import MissingPackageError
from recbole_hetcomp.files import DamagedFileError, finite, versions, write_csv, write_whole
from recbole_hetcomp.results.curves import draw_curves


@dataclass(frozen=True)
class Row:
    """One model of the table.

    Attributes:
        name: its name.
        role: teacher, ensemble or student.
        test: RecBole's test metrics under RecBole's names.
        valid: its validation metrics, at the epoch that was chosen.
        parameters: number of trained parameters.
        seconds: wall-clock seconds in which it was made and trained; RecBole's one-step models are fitted when made.
    """

    name: str
    role: str
    test: dict[str, float]
    valid: dict[str, float]
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """All that a run reports.

    Attributes:
        rows: teachers, ensemble, student alone, student.
        metric: the validation metric, whose test value ``share_of_ensemble`` compares.
        run: the run's name.
        dataset: name of the data set.
        seed: RecBole's seed.
        fingerprint: of the data set and its split.
        settings: the whole Config as plain data.
        history: per-epoch values: loss, valid, discrepancy, snapshot_shares, fine, lacking.
        teacher_epochs: epochs of each teacher's snapshots.
    """

    rows: tuple[Row, ...]
    metric: str
    run: str
    dataset: str
    seed: int
    fingerprint: str
    settings: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    teacher_epochs: dict[str, list[int]]

    def table(self) -> pd.DataFrame:
        """One line a model: name, role, test metrics, parameters, share_of_ensemble, seconds."""
        ensemble = next((row.test[self.metric] for row in self.rows if row.role == "ensemble"), None)
        return pd.DataFrame(
            [
                {
                    "name": row.name,
                    "role": row.role,
                    **{key: float(value) for key, value in row.test.items()},
                    "parameters": int(row.parameters),
                    "share_of_ensemble": float(row.test[self.metric]) / ensemble if ensemble else float("nan"),
                    "seconds": round(float(row.seconds), 1),
                }
                for row in self.rows
            ]
        )

    def in_words(self) -> list[str]:
        """What the table means, a sentence each: against the ensemble, the student alone, the best teacher."""
        student, metric = self.rows[-1], self.metric
        own = student.test[metric]
        ensemble = next((row for row in self.rows if row.role == "ensemble"), None)
        alone = next((row for row in self.rows if row.role == "student" and row is not student), None)
        teachers = [row for row in self.rows if row.role == "teacher"]
        said = []
        if ensemble is not None and ensemble.test[metric]:
            size = ensemble.parameters / max(1, student.parameters)
            smaller = f", with {size:,.0f} times fewer parameters" if size >= 2 else ""
            said.append(
                f"{student.name} keeps {own / ensemble.test[metric]:.1%} of the ensemble's {metric} "
                f"({own:.4f} of {ensemble.test[metric]:.4f}){smaller}."
            )
        if alone is not None:
            before = alone.test[metric]
            change = (
                "the teachers made no difference"
                if own == before
                else (f"the teachers {'brought' if own > before else 'cost'} it {abs(own - before):.4f}")
            )
            said.append(f"The same student trained alone has {before:.4f}: {change}.")
        if teachers:
            best = max(teachers, key=lambda row: row.test[metric])
            relation = "above" if own > best.test[metric] else "not above"
            said.append(
                f"It is {relation} the best single teacher, {best.name} ({best.test[metric]:.4f}); this is one seed, "
                "and another one differs by some thousandths."
            )
        return said

    def plain(self) -> dict[str, Any]:
        """The result as JSON data."""
        records = self.table().to_dict(orient="records")
        for record, row in zip(records, self.rows):
            record["valid"] = {key: float(value) for key, value in row.valid.items()}
        return {
            "run": self.run,
            "dataset": self.dataset,
            "seed": self.seed,
            "data_fingerprint": self.fingerprint,
            "share_metric": self.metric,
            "rows": records,
            "teacher_epochs": self.teacher_epochs,
            "settings": self.settings,
            "versions": versions(),
            "history": list(self.history),
        }


_NO_METRICS = ("name", "role", "parameters", "share_of_ensemble", "seconds", "valid")


def read_result(file: Path) -> Result:
    """A run's result as :func:`write_result` wrote it.

    Args:
        file: its ``results.json``.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it is no run's result.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        result = Result(
            rows=tuple(
                Row(
                    row["name"],
                    row["role"],
                    {name: value for name, value in row.items() if name not in _NO_METRICS},
                    row["valid"],
                    int(row["parameters"]),
                    float(row["seconds"]),
                )
                for row in told["rows"]
            ),
            metric=told["share_metric"],
            fingerprint=told["data_fingerprint"],
            history=tuple(told["history"]),
            settings=dict(told["settings"]),
            **{name: told[name] for name in ("run", "dataset", "seed", "teacher_epochs")},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{file} is no result of a run: {error!r}") from error
    if not result.rows:
        raise DamagedFileError(f"{file} is no result of a run: it has no rows")
    return result


def write_result(result: Result, folder: Path, logger: logging.Logger) -> None:
    """Write ``results.json``, ``results.csv`` and ``curves.png``, and print the table and what it means to stdout.

    Each file is written whole or not at all.

    Args:
        result: the result.
        folder: the run's folder.
        logger: where it is said that there is a result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = result.table()
    write_whole(
        folder / "results.json",
        lambda path: path.write_text(json.dumps(finite(result.plain(), str), indent=2)),
    )
    write_csv(folder / "results.csv", table)
    try:
        write_whole(folder / "curves.png", lambda path: draw_curves(result, path))
    except MissingPackageError as error:
        logger.warning(f"no {error}")
    shown = table.assign(share_of_ensemble=table["share_of_ensemble"].map("{:.1%}".format).replace("nan%", "–"))
    text = shown.to_markdown(index=False, floatfmt=".4f", tablefmt="github", intfmt=",")
    title = f"results on {result.dataset}, seed {result.seed} (test split)"
    logger.info(f"{title}: written to {folder}")
    print(f"{title}:\n\n{text}\n", *result.in_words(), f"\nWritten to {folder}", sep="\n", flush=True)
