"""What a run is about to do, and about how long it takes, in words."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import recbole

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.declared import default
from recbole_hetcomp.recbole_bridge.property_files import recbole_defaults
from recbole_hetcomp.recbole_bridge.registry import teacher_defaults
from recbole_hetcomp.recbole_bridge.training_rules import growth
from recbole_hetcomp.settings import Student, Training
from recbole_hetcomp.teachers.planned import PlannedTeacher
from recbole_hetcomp.trajectories import TrajectoryStore

_INTERACTIONS, _PAIRS = 60_000, 1e8
_BOTH = ["user_id", "item_id"]
_TRAINING = 0.6  # of all interactions, where the split is the default one

# Seconds with default settings on two busy CPU cores, for each 60,000 training interactions, and for each 1e8 pairs of
# a user and an item: docs/results/notebook/teachers.md.
_SECONDS = {
    "IALS": (5, 9), "BPR": (20, 40), "CML": (29, 50), "NeuMF": (50, 1000), "LightGCN": (36, 90), "MultiVAE": (17, 200),
    "ItemVAE": (10, 250), "EASE": (1, 200), "ItemKNN": (3, 10), "NoKD": (15, 20),
}  # fmt: skip
_STUDENT = (5, 30)


@dataclass(frozen=True)
class Size:
    """What the time of a training goes by.

    Attributes:
        interactions: training interactions, which an epoch goes through.
        users: U.
        items: I; U times I are what a validation ranks and an autoencoder predicts.
    """

    interactions: float
    users: int
    items: int

    def seconds(self, of: tuple[float, float]) -> float:
        """Seconds of what takes so many for each 60,000 interactions, and for each 1e8 pairs.

        >>> Size(120_000, 1000, 50_000).seconds((10, 4))
        22.0
        """
        return of[0] * self.interactions / _INTERACTIONS + of[1] * self.users * self.items / _PAIRS


def plan_in_words(
    student: str, epochs: int, planned: Sequence[PlannedTeacher], alone: PlannedTeacher | None,
    to_train: Sequence[PlannedTeacher], store: TrajectoryStore, data: Interactions,
) -> str:  # fmt: skip
    """Teachers, those of them that need no training, the student, and a guess of the time.

    The guess is from the times of stored models of the same name and data, or else from what other data took, by the
    training interactions and the users times items. A model of which neither says anything is named.

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
    size = Size(len(data.observed.values), data.n_users - 1, data.n_items - 1)
    guessed = {one.label: _seconds(one, known, size) for one in to_train}
    seconds = student_seconds(epochs, size) + sum(guess for guess in guessed.values() if guess is not None)
    return f"plan: {', '.join(parts)}; {in_time(seconds, [label for label in guessed if guessed[label] is None])}"


def _seconds(one: PlannedTeacher, known: Mapping[str, tuple[float, int | None]], size: Size) -> float | None:
    """Of its training, where anything is known of that; less where it trains for fewer epochs than was measured."""
    epochs = one.config["epochs"] if one.outside is None else None
    if one.label not in known:
        return model_seconds(one.label, epochs, size)
    seconds, most = known[one.label]
    return seconds * (min(1.0, epochs / most) if epochs and most else 1.0)


def model_seconds(name: str, epochs: int | None, size: Size) -> float | None:
    """A guess of a model's training time, or None for a model whose time is not known.

    Args:
        name: a model alone, or ``NoKD``.
        epochs: its epochs at most, None for its own.
        size: of the data.
    """
    if name == "NoKD":
        return student_seconds(epochs, size, alone=True)
    if name not in _SECONDS:
        return None
    most = teacher_defaults(name).get("epochs")
    return size.seconds(_SECONDS[name]) * (min(1.0, epochs / most) if epochs and most else 1.0)


def student_seconds(epochs: int | None, size: Size, dimension: int | None = None, alone: bool = False) -> float:
    """The same of a student.

    Args:
        epochs: at most; None: the default, which grows with the items where ``dimension`` is given.
        size: of the data.
        dimension: of the student.
        alone: whether it learns without teachers.
    """
    usual = default(Student, "no_kd_config")["epochs"] if alone else default(Training, "epochs")
    grown = growth(size.items, dimension or 0, default(Training, "items_per_dimension"))[0]
    return size.seconds(_SECONDS["NoKD"] if alone else _STUDENT) * (epochs / usual if epochs else grown)


def size_of_files(data_path: str | None, name: str) -> Size:
    """The size of a data set that is not loaded, by its files of interactions; nothing where there are none.

    Args:
        data_path: the folder that the data set's folder is in; None for where RecBole looks.
        name: the data set.
    """
    if name == "ml-100k":
        folder = Path(recbole.__file__).parent / "dataset_example" / name
    else:
        folder = Path(data_path or recbole_defaults("overall")["data_path"]) / name
    tables = [table for table in map(_users_and_items, sorted(folder.glob("*.inter"))) if table is not None]
    if not tables:
        return Size(0, 0, 0)
    both = pd.concat(tables)
    users, items = both.nunique()
    return Size(_TRAINING * len(both), int(users), int(items))


def _users_and_items(file: Path) -> pd.DataFrame | None:
    """These two columns of a file of interactions; None of one that cannot be read, of which a run will say why."""
    try:
        fields = list(pd.read_csv(file, sep="\t", nrows=0, quoting=csv.QUOTE_NONE))
        named = [[field for field in fields if field.startswith(f"{name}:")] for name in _BOTH]
        columns = [field for found in named for field in found[:1]] if all(named) else fields[:2]
        read = pd.read_csv(file, sep="\t", usecols=columns, dtype=str, quoting=csv.QUOTE_NONE)
        return read[columns].set_axis(_BOTH, axis=1)
    except (OSError, ValueError):
        return None


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
