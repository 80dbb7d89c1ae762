"""What a teacher from outside of RecBole is: anything that ranks, named by its dotted path in ``teachers``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from recbole.config import Config

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.recbole_bridge.registry import imported, is_model
from recbole_hetcomp.recbole_bridge.source import code_of, contents_of_files
from recbole_hetcomp.settings import IMPORTED, HetCompSettings
from recbole_hetcomp.teachers.imported_teacher import ImportedTeacher
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import Trajectory


class Teacher(Protocol):
    """Learns from interactions, and records its rankings as it goes.

    A teacher is made with its ``teacher_config`` as keywords: ``Teacher(**teacher_config[path])``. A ``seed`` there is
    not handed over: it seeds torch, NumPy and Python before the teacher is made, as the run's seed does otherwise.
    """

    def teach(self, interactions: Interactions, recorder: SnapshotRecorder) -> Trajectory:
        """Learn, call ``recorder.record_scores`` once or more, and return ``recorder.trajectory()``.

        Args:
            interactions: who took what, by RecBole's internal ids (0 is padding), training and validation apart.
            recorder: takes scores of all items for blocks of users.
        """
        ...


@dataclass(frozen=True)
class OutsideTeacher:
    """A teacher that a run names by its dotted path.

    Attributes:
        path: ``package.module.Class``.
        settings: its ``teacher_config`` less ``seed``.
        seed: what is seeded with before it is made; None: the run's.
        code: checksum of the source file that its class stands in; another code is another teacher.
    """

    path: str
    settings: Mapping[str, Any]
    seed: int | None
    code: str

    @staticmethod
    def of(path: str, settings: Mapping[str, Any], tried: bool = True) -> OutsideTeacher:
        """Find a teacher and try its settings, before any training.

        Args:
            path: its dotted path.
            settings: its ``teacher_config``.
            tried: False where only its code is asked for.

        Raises:
            ValueError: there is no such class, it has no ``teach``, or refuses its settings.
        """
        kind = imported(path)
        if not callable(getattr(kind, "teach", None)):
            raise ValueError(f"teacher {path!r} has no method teach(interactions, recorder)")
        try:
            json.dumps(settings, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"teacher_config for {path!r} is {dict(settings)!r}: plain values are needed ({error})"
            ) from error
        seed = settings.get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"teacher_config for {path!r}: seed={seed!r} is not allowed: a whole number is needed")
        own = {key: value for key, value in settings.items() if key != "seed"}
        try:
            if tried:
                kind(**own)
        except TypeError as error:
            raise ValueError(f"teacher_config for {path!r} is not allowed: {error}") from error
        return OutsideTeacher(path, own, seed, code_of(kind))

    def identity(self, config: Config) -> dict[str, Any]:
        """All that decides its rankings besides the data and what is kept of them."""
        files = contents_of_files(self.settings)
        return {
            **({"files": files} if files else {}),
            "teacher": self.path,
            "settings": dict(self.settings),
            "code": self.code,
            "seed": self.seed_in(config),
            "valid_metric": config["valid_metric"],
        }

    def check_data(self, interactions: Interactions) -> None:
        """Any data will do."""

    def seed_in(self, config: Config) -> int:
        """The seed in a run."""
        return config["seed"] if self.seed is None else self.seed

    def make(self) -> Teacher:
        """The teacher, untaught."""
        return imported(self.path)(**self.settings)


def outside_teacher(
    name: str, settings: Mapping[str, Any], store_dir: str, tried: bool = True
) -> OutsideTeacher | ImportedTeacher:
    """A teacher that is no RecBole model, by its name in ``teachers``.

    Raises:
        ValueError: as :meth:`OutsideTeacher.of` and :meth:`ImportedTeacher.of`.
    """
    if name.startswith(IMPORTED):
        return ImportedTeacher.of(name, settings, store_dir)
    return OutsideTeacher.of(name, settings, tried)


def outside_teachers(settings: HetCompSettings) -> dict[str, OutsideTeacher | ImportedTeacher]:
    """The teachers of a run that are named by a dotted path, or were imported.

    Raises:
        ValueError: as :func:`outside_teacher`.
    """
    return {
        name: outside_teacher(name, settings.teacher_config.get(name, {}), settings.store_dir)
        for name in settings.teachers
        if not is_model(name)
    }
