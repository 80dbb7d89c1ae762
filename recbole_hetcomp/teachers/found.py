"""A run's teachers as the store has them: nothing is trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recbole.config import Config

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.teachers.planned import PlannedTeacher, planned_teachers
from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore

_DEVICES = ("cpu", "cuda")  # on which a teacher may have been trained


@dataclass(frozen=True)
class FoundTeachers:
    """A run's teachers and those of their entries that the store has.

    Attributes:
        planned: the teachers.
        trajectories: the entries, by the teacher's label.
        store_dir: the store.
    """

    planned: tuple[PlannedTeacher, ...]
    trajectories: Mapping[str, Trajectory]
    store_dir: str

    @property
    def missing(self) -> list[str]:
        """Teachers that the store does not have."""
        return [one.label for one in self.planned if one.label not in self.trajectories]

    def in_order(self) -> tuple[tuple[str, Trajectory], ...]:
        """Name and trajectory of each that is there, in the order of the settings."""
        return tuple(
            (one.label, self.trajectories[one.label]) for one in self.planned if one.label in self.trajectories
        )

    def required(self, student: str) -> tuple[tuple[str, Trajectory], ...]:
        """Name and trajectory of each, all of them.

        Args:
            student: whose teachers they are, for the message.

        Raises:
            ValueError: it has none.
            FileNotFoundError: the store does not have all.
        """
        if not self.planned:
            raise ValueError(f"{student} has no teachers, so there is no ensemble")
        if self.missing:
            raise FileNotFoundError(
                f"store {self.store_dir} has no {', '.join(self.missing)} of these data and settings: run the "
                "student's command again, or give its store where the command has --store_dir"
            )
        return self.in_order()


def find_teachers(config: Config, settings: HetCompSettings, data: Interactions) -> FoundTeachers:
    """A run's teachers and what the store has of them, on whatever device they were trained.

    Raises:
        ValueError: a teacher from outside cannot be found.
        CorruptTrajectoryError: an entry is damaged.
    """
    store, planned = TrajectoryStore(settings.store_dir), planned_teachers(config, settings)
    found: dict[str, Trajectory] = {}
    for one in planned:
        for device in dict.fromkeys([one.identity["device"], *_DEVICES]):
            entry = store.read(data.fingerprint, one.label, {**one.identity, "device": device})
            if entry is not None:
                found[one.label] = entry
                break
    return FoundTeachers(tuple(planned), found, settings.store_dir)
