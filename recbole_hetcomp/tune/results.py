"""A sweep's trials as one table, and the best of them as settings that ``run_recbole`` takes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from recbole_hetcomp.files import write_csv, write_text_whole, write_whole
from recbole_hetcomp.tune.space import merged
from recbole_hetcomp.tune.trial import FINISHED_FILE, Job
from recbole_hetcomp.values import as_plain

TABLE, COLUMNS, BEST = "results.csv", "results.parquet", "best.yaml"
ENDED = ("finished", "stopped", "failed")
_PLACES = ("checkpoint_dir", "result_dir", "gpu_id", "use_gpu", "show_progress")


@dataclass(frozen=True)
class Record:
    """One trial.

    Attributes:
        trial: its id.
        status: ``finished``, ``stopped`` (by a scheduler or the time budget), ``failed``, or ``interrupted``.
        point: its searched settings.
        config: the same as Ray drew them.
        objective: its best validation score; NaN before the first validation.
        epochs: epochs it was trained.
        best_epoch: epochs until its best validation.
        seconds: wall-clock seconds.
        valid: the validation metrics at its best epoch.
        node: machine that it ran on last.
        error: the last line of what went wrong, empty otherwise.
        folder: its folder.
        test: test metrics; the winner's only.
    """

    trial: str
    status: str
    point: Mapping[str, Any]
    config: Mapping[str, Any]
    objective: float
    epochs: int
    best_epoch: int
    seconds: float
    valid: Mapping[str, float]
    node: str
    error: str
    folder: str
    test: Mapping[str, float] | None = None


def record_of(trial: Any, job: Job, cut_off: bool = False) -> Record:
    """What Ray's Trial object knows of a trial.

    Args:
        trial: the Trial.
        job: what all trials share.
        cut_off: whether the sweep was interrupted before the trial had ended; Ray counts it as ended.
    """
    result = trial.last_result or {}
    folder = str(getattr(trial, "local_path", None) or getattr(trial, "logdir", ""))
    all_epochs = int(result.get("epoch", 0)) >= job.at(trial.config).get("epochs", math.inf)  # a scheduler ends it then
    finished = bool(result.get("finished")) or all_epochs or (Path(folder) / FINISHED_FILE).is_file()
    status = {"TERMINATED": "finished" if finished else "stopped", "ERROR": "failed"}.get(trial.status, "interrupted")
    if cut_off and not finished:
        status = "interrupted"
    return Record(
        trial=trial.trial_id,
        status=status,
        point=job.point(trial.config),
        config={parameter.name: trial.config[parameter.name] for parameter in job.space},
        objective=float(result.get("objective", math.nan)),
        epochs=int(result.get("epoch", 0)),
        best_epoch=int(result.get("best_epoch", 0)),
        seconds=round(float(result.get("time_total_s", 0.0)), 3),
        valid=result.get("best", {}),
        node=str(result.get("hostname", "")),
        error=_last_line(getattr(trial, "error_file", None)) if status == "failed" else "",
        folder=folder,
    )


def _last_line(file: str | None) -> str:
    if not file or not Path(file).is_file():
        return "unknown"
    lines = [line.strip() for line in Path(file).read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "unknown")


def best_of(records: Iterable[Record], bigger: bool) -> Record | None:
    """The trial with the best validation score, the first of equal ones; None where none was validated.

    A failed trial is none: what it would have become is not known.
    """
    known = [record for record in records if record.status != "failed" and not math.isnan(record.objective)]
    sign = -1.0 if bigger else 1.0
    return min(known, key=lambda record: (sign * record.objective, record.trial), default=None)


def with_test(records: Sequence[Record], winner: str, test: Mapping[str, float]) -> list[Record]:
    """The records with the winner's test metrics."""
    return [replace(record, test=dict(test)) if record.trial == winner else record for record in records]


def table(records: Sequence[Record], metric: str, bigger: bool) -> pd.DataFrame:
    """One line a trial, the best first: status, validation metrics, settings, and test metrics on the winner's line.

    Args:
        records: the trials.
        metric: the validation metric that decides.
        bigger: whether a bigger value of it is better.
    """
    winner = best_of(records, bigger)
    lines = []
    for record in records:
        lines.append(
            {
                "trial": record.trial,
                "status": record.status,
                "winner": winner is not None and record.trial == winner.trial,
                f"best {metric}": record.objective,
                "best_epoch": record.best_epoch,
                "epochs": record.epochs,
                "seconds": record.seconds,
                **{name: _cell(value) for name, value in record.point.items()},
                **{f"valid {name}": value for name, value in record.valid.items()},
                **{f"test {name}": value for name, value in (record.test or {}).items()},
                "node": record.node,
                "error": record.error,
                "folder": record.folder,
            }
        )
    frame = pd.DataFrame(lines)
    if frame.empty:
        return frame
    last = [name for name in ("node", "error", "folder") if name in frame]
    frame = frame[[*(name for name in frame if name not in last), *last]]
    return frame.sort_values(f"best {metric}", ascending=not bigger, na_position="last", kind="stable")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, tuple, dict)) else value


def write_table(frame: pd.DataFrame, folder: Path) -> None:
    """Write ``results.csv`` and ``results.parquet``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / TABLE, frame)
    for name in frame.select_dtypes("object"):
        if len({type(value) for value in frame[name].dropna()}) > 1:  # a column of a Parquet file has one type
            frame = frame.assign(**{name: frame[name].map(str)})
    write_whole(folder / COLUMNS, lambda path: frame.to_parquet(path, index=False))


def best_settings(record: Record, job: Job) -> dict[str, Any]:
    """Settings whose run outside of a sweep validates as the trial did.

    A trial that was stopped early gets no more epochs than it had.
    """
    fixed = {name: value for name, value in job.settings.items() if name not in _PLACES}
    settings = {"model": job.model, "dataset": job.dataset, **merged(fixed, record.point)}
    if record.status != "finished":
        settings["epochs"] = record.epochs
    if not job.gpus:
        settings["use_gpu"] = False
    return settings


def write_best(record: Record, job: Job, metric: str, folder: Path, exact: bool = True) -> Path:
    """Write ``best.yaml``, which ``run_recbole --config_files`` takes.

    Args:
        record: the best trial.
        job: what all trials share.
        metric: the validation metric that decided.
        folder: where it is written.
        exact: whether a run with these settings does what the trial did (population-based training changes them
            while a model trains).
    """
    lines = [
        f"# Best of a sweep: trial {record.trial}, epoch {record.best_epoch}, validation {metric} {record.objective!r}",
        f"# Run it: run_recbole --config_files={BEST}",
    ]
    if not exact:
        lines.append("# Its settings changed while it trained (scheduler pbt); these are the last ones.")
    if record.status != "finished":
        lines.append(f"# It was {record.status} after {record.epochs} epochs, hence epochs.")
    text = "\n".join(lines) + "\n" + yaml.safe_dump(as_plain(best_settings(record, job)), sort_keys=False)
    write_text_whole(folder / BEST, text)
    return folder / BEST


def as_recbole_writes(records: Sequence[Record]) -> str:
    """The trials as RecBole's ``HyperTuning.export_result`` writes them; a test result for the winner only."""
    blocks = []
    for record in records:
        named = ", ".join(f"{name}:{value}" for name, value in record.point.items())
        lines = [named, "Valid result:", _metrics(record.valid)]
        if record.test is not None:
            lines += ["Test result:", _metrics(record.test)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _metrics(values: Mapping[str, float]) -> str:
    return "    ".join(f"{name} : {value}" for name, value in values.items())
