"""Teachers, their ensemble and the student timed side by side, in one run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from recbole_hetcomp.deployment import BATCH, REPEATS, THREADS, USERS, K
from recbole_hetcomp.deployment.saved import SavedStudent, config_on
from recbole_hetcomp.files import finite, versions, write_csv, write_json
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.serving.costs import Serve, Speed, served_by, speeds, stored_bytes
from recbole_hetcomp.serving.live import LiveTeacher, live_teacher, served_by_all
from recbole_hetcomp.teachers.found import FoundTeachers, find_teachers
from recbole_hetcomp.teachers.planned import planned_teachers
from recbole_hetcomp.teachers.recbole_teacher import stored_numbers

RATIOS = ("parameters", "bytes", "p50_ms", "p95_ms", "processor_ms")
BATCHES = 2
"""Batches that a turn serves."""
UNTRAINED = (
    "Teachers are built anew with the settings and the data that they were trained with: the store keeps their lists, "
    "not their weights, and no time depends on weights."
)
_NOT_STORED = "The store has no {names}: they are timed as they are configured, and every teacher counts alike."
_LOOK_UPS = "Known by their lists alone, and timed as look-ups: {names}."
_ONE_SNAPSHOT = "The ensemble is timed with one snapshot of each teacher; its consistency would need several."

_LEARNED = (
    "The learned fusion is timed as the consensus, which is less work: the ensemble is no faster than it is here."
)


@dataclass(frozen=True)
class ProfiledModel:
    """One model on one device.

    Attributes:
        name: its name.
        role: teacher, ensemble or student.
        device: cpu or cuda.
        parameters: numbers that it has learnt.
        bytes: what it must keep to be used.
        speed: how fast it is.
        alone: whether one thread of the CPU does all the work, so that its processor time is all of it.
    """

    name: str
    role: str
    device: str
    parameters: int
    bytes: int
    speed: Speed
    alone: bool

    def row(self) -> dict[str, Any]:
        """A line of the table."""
        return {
            "name": self.name,
            "role": self.role,
            "device": self.device,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "p50_ms": self.speed.milliseconds(50),
            "p95_ms": self.speed.milliseconds(95),
            "processor_ms": float(np.median(self.speed.processor)) if self.alone else math.nan,
            "users_per_second": self.speed.per_second,
        }


@dataclass(frozen=True)
class Profile:
    """What a run measured.

    Attributes:
        models: teachers, ensemble and student, a device after the other.
        about: data set, k, batch, users, repeats, threads.
        notes: how the numbers are to be read.
    """

    models: tuple[ProfiledModel, ...]
    about: dict[str, Any]
    notes: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """A row a model and device: as :meth:`ProfiledModel.row`."""
        return pd.DataFrame([model.row() for model in self.models])

    def of(self, role: str, device: str) -> ProfiledModel:
        """The ensemble or the student on a device."""
        return next(model for model in self.models if (model.role, model.device) == (role, device))

    def ratios(self, device: str) -> dict[str, float]:
        """How many times as much the ensemble has and takes as the student: parameters, bytes, times, users."""
        ensemble, student = self.of("ensemble", device).row(), self.of("student", device).row()
        found = {name: ensemble[name] / student[name] for name in RATIOS}
        return {**found, "users_per_second": student["users_per_second"] / ensemble["users_per_second"]}

    def in_words(self) -> list[str]:
        """What the table means, a sentence a device, and the notes."""
        said = []
        for device in dict.fromkeys(model.device for model in self.models):
            ratio = self.ratios(device)
            less = ratio["processor_ms"]
            processor = "" if math.isnan(less) else f" for {less:,.1f} times less processor time"
            many = ratio["users_per_second"]
            said.append(
                f"On {device} the student has {ratio['parameters']:,.1f} times fewer parameters than the ensemble, "
                f"answers one user {ratio['p50_ms']:,.1f} times as fast (median; {ratio['p95_ms']:,.1f} times at the "
                f"95th percentile){processor}, and serves {many:,.1f} times as many users a second."
            )
        return [*said, *self.notes]

    def write(self, folder: Path) -> None:
        """Write ``profile.csv``, ``profile.json`` and ``profile.png``, each whole or not at all."""
        from recbole_hetcomp.deployment.profile_picture import write_picture

        folder.mkdir(parents=True, exist_ok=True)
        table = self.table()
        write_csv(folder / "profile.csv", table)
        devices = dict.fromkeys(table["device"])
        content = {
            **self.about,
            "rows": table.to_dict(orient="records"),
            "ensemble_to_student": {device: self.ratios(device) for device in devices},
            "notes": list(self.notes),
            "versions": versions(),
        }
        write_json(folder / "profile.json", finite(content))
        write_picture(self, folder / "profile.png")


def profile(
    checkpoint: str | Path,
    k: int = K,
    batch: int = BATCH,
    users: int = USERS,
    repeats: int = REPEATS,
    threads: int = THREADS,
    store_dir: str | None = None,
) -> Profile:
    """Time a saved student, each of its teachers and their ensemble on the same users.

    Each scores all items for a user, leaves out the training items, and takes the best k; the ensemble asks every
    teacher for its K' best and merges them. On the CPU, and on the GPU where there is one.

    Args:
        checkpoint: the student.
        k: items of a list.
        batch: users of a batch, for the throughput.
        users: users that are served one by one.
        repeats: turns; models take turns, so that what else the machine does meets all alike.
        threads: of torch on the CPU.
        store_dir: the store of its teachers, where it is not where it was.

    Raises:
        FileNotFoundError: the checkpoint, or its data, are not there.
        ValueError: an argument is below 1, the checkpoint is no student, or it had no teachers.
    """
    return profile_saved(SavedStudent.load(checkpoint, store_dir), k, batch, users, repeats, threads)


def check_timing(**given: int) -> None:
    """Refuse numbers below 1.

    Raises:
        ValueError: one is.
    """
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name}={value} is not allowed: at least 1")


def profile_saved(
    student: SavedStudent, k: int = K, batch: int = BATCH, users: int = USERS, repeats: int = REPEATS,
    threads: int = THREADS,
) -> Profile:  # fmt: skip
    """As :func:`profile`, of a student that is loaded."""
    check_timing(k=k, batch=batch, users=users, repeats=repeats, threads=threads)
    k = min(k, student.data.n_items - 1)
    found = find_teachers(student.config, student.settings, student.data)
    if not found.planned:
        raise ValueError(f"{student.config['model']} has no teachers to be compared with")
    order = torch.randperm(len(student.data.ranked_users), generator=torch.Generator().manual_seed(0))
    sample = student.data.ranked_users[order]
    consensus, notes = _consensus(student, found)
    models: list[ProfiledModel] = []
    for device in _devices():
        rows = _models_on(student, found, consensus, k, device)
        timed = speeds([row[-1] for row in rows], sample[:users], sample[: BATCHES * batch], batch, repeats, threads)
        alone = threads == 1 and device.type == "cpu"
        models += [ProfiledModel(*row[:2], device.type, *row[2:4], speed, alone) for row, speed in zip(rows, timed)]
    about = {
        "dataset": student.config["dataset"],
        "model": student.config["model"],
        "users": student.data.n_users - 1,
        "items": student.data.n_items - 1,
        "k": k,
        "batch": batch,
        "timed_users": min(users, len(sample)),
        "repeats": repeats,
        "threads": threads,
    }
    return Profile(tuple(models), about, (UNTRAINED, *notes))


def _devices() -> list[torch.device]:
    return [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]


def _consensus(student: SavedStudent, found: FoundTeachers) -> tuple[Consensus, list[str]]:
    """How the teachers count, those of weight 0 being no part of the ensemble; and what is to be said of it."""
    notes, consensus, labels = [], student.settings, [one.label for one in found.planned]
    weights: tuple[float, ...] = consensus.weights(len(labels))
    if found.missing:
        notes.append(_NOT_STORED.format(names=", ".join(found.missing)))
    else:
        formed = student.ensemble()
        kept = dict(zip((name for name, _ in formed.teachers), formed.consensus.weights(len(formed.teachers))))
        weights = tuple(kept.get(label, 0.0) for label in labels)
    outside = [one.label for one in found.planned if one.outside is not None]
    if outside:
        notes.append(_LOOK_UPS.format(names=", ".join(outside)))
    if consensus.fusion == "learned":
        notes.append(_LEARNED)
    if consensus.reach:
        notes.append(_ONE_SNAPSHOT)
    own = {name: getattr(consensus, name) for name in Consensus.names()}
    return Consensus(**{**own, "teacher_weights": weights}), notes


def _models_on(
    student: SavedStudent, found: FoundTeachers, consensus: Consensus, k: int, device: torch.device
) -> list[tuple[str, str, int, int, Serve]]:
    """Name, role, parameters, bytes and lists of each model on a device."""
    config, data = config_on(student.config, device), student.data
    history, budget = data.observed, memory_for_scores(config)
    teachers: list[LiveTeacher] = [
        live_teacher(one, found.trajectories.get(one.label), student.train, data.n_items, history)
        for one in planned_teachers(config, student.settings)
    ]
    rows = [(t.name, "teacher", t.parameters, t.bytes, t.top(data.n_items, history, k, budget)) for t in teachers]
    members = [teacher for teacher, weight in zip(teachers, consensus.weights(len(teachers))) if weight > 0]
    ensemble = served_by_all(teachers, consensus, k)
    size = sum(teacher.parameters for teacher in members), sum(teacher.bytes for teacher in members)
    rows.append(("TeacherEnsemble", "ensemble", *size, ensemble))
    served = student.on(device)
    own = stored_numbers(served), stored_bytes(served), served_by(served, data.n_items, history, k, budget)
    return [*rows, (student.config["model"], "student", *own)]
