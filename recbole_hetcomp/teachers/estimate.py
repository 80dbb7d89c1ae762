"""What a run is about to do, and about how long it takes, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import recbole

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.declared import default
from recbole_hetcomp.recbole_bridge.property_files import recbole_defaults
from recbole_hetcomp.recbole_bridge.registry import teacher_defaults
from recbole_hetcomp.settings import Student, Training
from recbole_hetcomp.teachers.planned import PlannedTeacher
from recbole_hetcomp.trajectories import TrajectoryStore

# Seconds on ml-100k with default settings on two CPU cores, for its 60,000 training interactions.
_SECONDS = {"IALS": 5, "BPR": 20, "CML": 30, "NeuMF": 50, "LightGCN": 37, "MultiVAE": 17, "ItemVAE": 11}
_SECONDS.update(NoKD=15, EASE=1, ItemKNN=3)
_STUDENT = 15  # less without a base loss
_INTERACTIONS = 60_000
_TRAINING = 0.6  # of all interactions, where the split is the default one


def plan_in_words(
    student: str, epochs: int, planned: Sequence[PlannedTeacher], alone: PlannedTeacher | None,
    to_train: Sequence[PlannedTeacher], store: TrajectoryStore, data: Interactions,
) -> str:  # fmt: skip
    """Teachers, those of them that need no training, the student, and a guess of the time.

    The guess is from the times of stored models of the same name and data, or else from ml-100k's, in proportion to the
    training interactions. A model of which neither says anything is named.

    Args:
        student: the model that is run.
        epochs: its epochs at most.
        planned: its teachers.
        alone: the student trained alone, or None.
        to_train: those of all these that the store does not have.
        store: what it holds of these data tells the time.
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
    known = store.seconds(data.fingerprint)
    share = share_of(data.observed.values.shape[0])
    guessed = {one.label: _seconds(one, known, share) for one in to_train}
    seconds = student_seconds(epochs, share) + sum(guess for guess in guessed.values() if guess is not None)
    return f"plan: {', '.join(parts)}; {in_time(seconds, [label for label in guessed if guessed[label] is None])}"


def _seconds(one: PlannedTeacher, known: Mapping[str, tuple[float, int | None]], share: float) -> float | None:
    """Of its training, where anything is known of that; less where it trains for fewer epochs than was measured."""
    epochs = one.config["epochs"] if one.outside is None else None
    if one.label not in known:
        return model_seconds(one.label, epochs, share)
    seconds, most = known[one.label]
    return seconds * (min(1.0, epochs / most) if epochs and most else 1.0)


def model_seconds(name: str, epochs: int | None, share: float) -> float | None:
    """A guess of a model's training time from ml-100k's, or None for a model whose time is not known.

    Args:
        name: a model alone, or ``NoKD``.
        epochs: its epochs at most, None for its own.
        share: of ml-100k's training interactions.
    """
    if name not in _SECONDS:
        return None
    usual = default(Student, "no_kd_config") if name == "NoKD" else teacher_defaults(name)
    most = usual.get("epochs")
    return share * _SECONDS[name] * (min(1.0, epochs / most) if epochs and most else 1.0)


def student_seconds(epochs: int | None, share: float) -> float:
    """The same of a student that is taught."""
    usual = default(Training, "epochs")
    return share * _STUDENT * (epochs or usual) / usual


def share_of(interactions: float) -> float:
    """How many training interactions there are, as a share of ml-100k's."""
    return interactions / _INTERACTIONS


def share_of_files(data_path: str | None, name: str) -> float:
    """The same of a data set that is not loaded, by the lines of its interactions.

    Args:
        data_path: the folder that the data set's folder is in; None for where RecBole looks.
        name: the data set.
    """
    if name == "ml-100k":
        folder = Path(recbole.__file__).parent / "dataset_example" / name
    else:
        folder = Path(data_path or recbole_defaults("overall")["data_path"]) / name
    lines = 0
    for file in folder.glob("*.inter"):
        with file.open("rb") as content:
            lines += sum(1 for _ in content)
    return share_of(_TRAINING * lines)


def in_time(seconds: float, unknown: Sequence[str]) -> str:
    """A guess in words; models whose time is not known are named."""
    beside = f", beside {' and '.join(sorted(set(unknown)))}, whose time is not known" if unknown else ""
    return f"about {_duration(seconds)} on two CPU cores{beside}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(42), _duration(250), _duration(9000)
    ('a minute', '4 min', '2.5 h')
    """
    if seconds < 90:
        return "a minute"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
