"""Teachers that go on from yesterday's weights: which of them can, and how."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.utils import ModelType

from recbole_hetcomp.data.matching import SIDES, Matching
from recbole_hetcomp.recbole_bridge.identity import training_identity
from recbole_hetcomp.recbole_bridge.warm_start import Yesterday, go_on_from
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.trajectories import CorruptTrajectoryError, KeptWeights, TrajectoryStore

_MAY_DIFFER = {
    "K_prime",
    "device",
    "epochs",
    "eval_step",
    "learning_rate",
    "learning_rate_schedule",
    "seed",
    "served_length",
    "snapshot_spacing",
    "snapshots",
    "stopping_step",
    "valid_metric",
    "warm_start",
}
"""Of a teacher's settings: its schedule and what is recorded. With other ones it is another teacher."""


@dataclass(frozen=True)
class TeacherStart:
    """What a teacher goes on from.

    Attributes:
        weights: its weights yesterday.
        ids: external ids of their rows, by side.
    """

    weights: KeptWeights
    ids: Mapping[str, Sequence[str]]

    @property
    def identity(self) -> str:
        """What decides it: the weights, and whose their rows are."""
        ids = "\x1e".join("\x1f".join(self.ids[side]) for side in SIDES)
        return f"{self.weights.checksum[:16]}-{hashlib.sha256(ids.encode()).hexdigest()[:16]}"

    def begin(self, model: Any, train: Any) -> None:
        """Give a model, as it was initialised on today's training split, the weights.

        Raises:
            ValueError: they do not fit it.
        """
        go_on_from(model, self.weights.state, Matching.of(train, self.ids), self.weights.counts)


def found_start(name: str, config: Config, yesterday: Yesterday, settings: HetCompSettings) -> TeacherStart | str:
    """What a teacher goes on from, or in words why it is trained from scratch.

    Args:
        name: the teacher's.
        config: its Config.
        yesterday: the student's checkpoint.
        settings: the run's.
    """
    if config["MODEL_TYPE"] == ModelType.TRADITIONAL:
        return "it is fitted in one step"
    if config["MODEL_TYPE"] != ModelType.GENERAL:
        return f"it is a {config['MODEL_TYPE'].name.lower()} model, whose weights are not kept"
    if name not in yesterday.teachers:
        return f"{yesterday.file} knows no teacher of this name"
    entry = Path(settings.store_dir) / yesterday.teachers[name]
    try:
        weights = TrajectoryStore(settings.store_dir).weights(entry)
    except CorruptTrajectoryError as error:
        return str(error)
    if weights is None:
        return f"{entry} has no weights of it; keep_teachers=True keeps those of a run"
    differing = sorted(_differing(weights.settings, training_identity(config)))
    if differing:
        return f"its settings are not what they were: {differing[0]}"
    return TeacherStart(weights, yesterday.ids)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    kept = {key: value for key, value in before.items() if key not in _MAY_DIFFER}
    wanted = {key: value for key, value in now.items() if key not in _MAY_DIFFER}
    return {key for key in kept.keys() | wanted.keys() if kept.get(key) != wanted.get(key)}


def needed_snapshots(settings: HetCompSettings) -> int:
    """Snapshots that a student looks at: the last one alone where it is taught the final consensus from the start."""
    return settings.snapshots if settings.curriculum != "none" or settings.reach else 1
