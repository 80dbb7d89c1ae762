"""What a run is about to do, and about how long it takes, in words."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.declared import default
from recbole_hetcomp.recbole_bridge.registry import teacher_defaults
from recbole_hetcomp.settings import Student, Training
from recbole_hetcomp.teachers.planned import PlannedTeacher

# Seconds on ml-100k with default settings on two CPU cores, for its 60,000 training interactions.
_SECONDS = {"BPR": 24, "CML": 35, "NeuMF": 44, "LightGCN": 38, "MultiVAE": 23, "ItemVAE": 21}
_SECONDS.update(NoKD=52, EASE=1, ItemKNN=3)
_OTHER, _STUDENT = 40, 40
_INTERACTIONS = 60_000


def plan_in_words(
    student: str, epochs: int, planned: Sequence[PlannedTeacher], alone: PlannedTeacher | None,
    to_train: Sequence[PlannedTeacher], data: Interactions,
) -> str:  # fmt: skip
    """Teachers, those of them that need no training, the student, and a guess of the time.

    The guess is from ml-100k's times, in proportion to the training interactions.

    Args:
        student: the model that is run.
        epochs: its epochs at most.
        planned: its teachers.
        alone: the student trained alone, or None.
        to_train: those of all these that the store does not have.
        data: the interactions.
    """
    parts = []
    if planned:
        kept = sum(one not in to_train for one in planned)
        of_them = f", {kept if kept < len(planned) else 'all'} of them from the store" if kept else ""
        parts.append(f"{len(planned)} teacher{'s' if len(planned) > 1 else ''}{of_them}")
    if alone is not None:
        parts.append("the student without teachers" + (" (from the store)" if alone not in to_train else ""))
    parts.append(f"then {student}")
    share = data.observed.values.shape[0] / _INTERACTIONS
    seconds = share * (_STUDENT * min(1.0, epochs / default(Training, "epochs")) + sum(map(_seconds, to_train)))
    return f"plan: {', '.join(parts)}; about {_duration(seconds)} on two CPU cores"


def _seconds(one: PlannedTeacher) -> float:
    """On ml-100k; less where it trains for fewer epochs than by default."""
    usual = default(Student, "no_kd_config") if one.label == "NoKD" else teacher_defaults(one.label)
    epochs = one.config["epochs"] if one.outside is None else None
    part = min(1.0, epochs / usual["epochs"]) if epochs and "epochs" in usual else 1.0
    return part * _SECONDS.get(one.label, _OTHER)


def _duration(seconds: float) -> str:
    """
    >>> _duration(42), _duration(250), _duration(9000)
    ('a minute', '4 min', '2.5 h')
    """
    if seconds < 90:
        return "a minute"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
