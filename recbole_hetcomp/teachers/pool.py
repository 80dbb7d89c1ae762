"""Obtains a run's models besides the student: from the store where they are, by training where they are not."""

from __future__ import annotations

import functools
import logging
import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from recbole.utils import init_seed
from torch import Tensor

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.locks import Lock
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer
from recbole_hetcomp.teachers.planned import PlannedTeacher
from recbole_hetcomp.teachers.protocol import Teacher
from recbole_hetcomp.teachers.recbole_teacher import RecBoleTeacher
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import (
    CorruptTrajectoryError,
    KeptWeights,
    SnapshotSpool,
    Trajectory,
    TrajectoryStore,
)
from recbole_hetcomp.trajectories.entry import LOCKS
from recbole_hetcomp.trajectories.weights import WEIGHTS


class TeacherPool:
    """Obtains trajectories: from the store where they are, by training where they are not.

    Args:
        data: the interactions.
        train: RecBole's training Dataset.
        valid_data: RecBole's validation loader.
        store: the trajectory store.
        rebuild: whether a damaged entry is trained again.
        show_progress: whether to show progress bars.
        tensorboard_dir: folder below which each model logs its validations.

    Attributes:
        trained: labels of the models that were trained here.
    """

    def __init__(
        self,
        data: Interactions,
        train: Any,
        valid_data: Any,
        store: TrajectoryStore,
        rebuild: bool = True,
        show_progress: bool = False,
        tensorboard_dir: str | None = None,
    ) -> None:
        self.data = data
        self.train = train
        self.valid_data = valid_data
        self.store = store
        self.rebuild = rebuild
        self.show_progress = show_progress
        self.tensorboard_dir = tensorboard_dir
        self.logger = logging.getLogger()
        self.trained: list[str] = []

    def obtain(self, planned: PlannedTeacher) -> Trajectory:
        """The trajectory of a planned model.

        Of several processes that want one entry, one trains it, and the others wait for it.

        Raises:
            CorruptTrajectoryError: its store entry is damaged and may not be rebuilt.
        """
        with self._turn(planned):
            return self._read_or_train(planned)

    def _turn(self, planned: PlannedTeacher) -> AbstractContextManager:
        """A lock on an entry; the system frees it when its holder ends, however it ends. None on a read-only store."""
        folder = self.store.root / LOCKS
        entry = self.store.path(self.data.fingerprint, planned.label, planned.identity)
        if entry.exists() and not os.access(self.store.root, os.W_OK):
            return nullcontext()
        folder.mkdir(parents=True, exist_ok=True)
        return Lock(folder / f"{entry.parent.name}-{entry.name}.lock", planned.title)

    def _read_or_train(self, planned: PlannedTeacher) -> Trajectory:
        fingerprint, label, identity = self.data.fingerprint, planned.label, planned.identity
        try:
            stored = self.store.read(fingerprint, label, identity)
        except CorruptTrajectoryError as error:
            if not self.rebuild:
                raise
            self.logger.warning(f"{planned.title}: {error}; it is trained again")
            self.store.remove(fingerprint, label, identity)
            stored = None
        if stored is not None:
            place = self.store.path(fingerprint, label, identity)
            self.logger.info(f"{planned.title}: taken from the store, not trained ({place})")
            if planned.keep and planned.keeps_weights and not (place / WEIGHTS).exists():
                self.logger.warning(f"{planned.title}: {place} was stored without weights; they cannot be kept")
            return stored
        trajectory, weights = self._train(planned)
        self.store.write(fingerprint, label, identity, trajectory, weights)
        self.trained.append(planned.label)
        written = self.store.read(fingerprint, label, identity)
        assert written is not None
        return written

    def _train(self, planned: PlannedTeacher) -> tuple[Trajectory, KeptWeights | None]:
        config, started = planned.config, time.perf_counter()
        seed = config["seed"] if planned.outside is None else planned.outside.seed_in(config)
        init_seed(seed, config["reproducibility"])
        teacher: Teacher = (
            RecBoleTeacher(planned, self.train, self.valid_data, self.show_progress, self.tensorboard_dir)
            if planned.outside is None
            else planned.outside.make()
        )
        with SnapshotSpool(self.store.root / "spool") as spool:
            recorder = SnapshotRecorder(
                self.data,
                spool,
                planned.length,
                planned.served_length,
                config["valid_metric_bigger"],
                memory_for_scores(config),
                planned.snapshots,
                planned.spacing,
                planned.identity,
                (functools.partial(self._judge, planned), config["valid_metric"].lower()),
            )
            trajectory = teacher.teach(self.data, recorder)
        self._check(planned, trajectory)
        seconds = time.perf_counter() - started
        best = (max if config["valid_metric_bigger"] else min)(trajectory.scores)
        trained = "trained" if planned.start is None else "went on from its weights"
        self.logger.info(
            f"{planned.title}: {trained} in {seconds:.1f} s, best {config['valid_metric']} {best:.6f}, "
            f"snapshots at epochs {', '.join(map(str, trajectory.epochs))}"
        )
        named = {"model": planned.label, **trajectory.info, "seconds": round(seconds, 3)}
        weights = teacher.weights if isinstance(teacher, RecBoleTeacher) else None
        return replace(trajectory, info=named, settings=planned.identity), weights

    def _judge(self, planned: PlannedTeacher, lists: Tensor) -> dict[str, float]:
        """Validation metrics of lists, by RecBole's evaluator."""
        return ListsTrainer.judging(planned.config, self.train, lists).evaluate(self.valid_data, load_best_model=False)

    def _check(self, planned: PlannedTeacher, trajectory: Any) -> None:
        """Refuse what a teacher from outside returns if it is no trajectory of these users."""
        if not isinstance(trajectory, Trajectory):
            raise TypeError(f"{planned.label}.teach returned {type(trajectory).__name__}, a Trajectory is needed")
        found = trajectory.unobserved.shape[1], trajectory.observed_ranks.shape[1]
        wanted = self.data.n_users, self.data.observed.values.shape[0]
        if found != wanted or trajectory.served is None:
            raise ValueError(
                f"{planned.label}.teach returned lists of {found[0]} users and ranks of {found[1]} observed items; "
                f"needed: {wanted[0]} and {wanted[1]}, and lists for test time: return recorder.trajectory()"
            )
