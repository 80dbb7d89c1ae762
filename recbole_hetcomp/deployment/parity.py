"""Whether an export folder still recommends what the saved model does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recbole_hetcomp.deployment.saved import SavedStudent
from recbole_hetcomp.serving.export.parity import Agreement, compare
from recbole_hetcomp.serving.export.rankers import of_vectors
from recbole_hetcomp.serving.exported import read
from recbole_hetcomp.serving.saved import items_seen


@dataclass(frozen=True)
class Parity:
    """An export beside the model.

    Attributes:
        agreement: of its lists with the model's, for all users.
        seen_alike: whether it leaves out the same items of each user.
        bytes: of its vectors.
    """

    agreement: Agreement
    seen_alike: bool
    bytes: int

    @property
    def holds(self) -> bool:
        """Whether no list differs beyond ties, and the same items are left out."""
        return self.agreement.different == 0 and self.seen_alike


def parity_of(student: SavedStudent, folder: Path, k: int) -> Parity:
    """Compare an export with the model that it was made of, as it is read by what serves it.

    Args:
        student: the saved student.
        folder: what ``hetcomp export`` wrote.
        k: items of a list.

    Raises:
        DamagedFileError, FileNotFoundError: the folder is not sound.
        ValueError: it is of other users or items.
    """
    exported, saved = read(folder), student.saved
    for what, own, other in (
        ("users", saved.user_ids[1:], exported.user_ids),
        ("items", saved.item_ids[1:], exported.item_ids),
    ):
        if list(map(str, own)) != list(map(str, other)):
            raise ValueError(f"{folder} is of other {what} than the checkpoint: {len(other)} and {len(own)} of them")
    seen = items_seen(saved.dataset, student.train._dataset, exported.manifest["data"]["seen"])
    alike = np.array_equal(exported.seen_offsets, seen.offsets.numpy()[1:]) and np.array_equal(
        exported.seen_items, seen.values.numpy() - 1
    )
    rankers = {"vectors": of_vectors(exported.users, exported.items)}
    agreement = compare(replace(saved, seen=seen), rankers, k)["vectors"]
    return Parity(agreement, bool(alike), int(exported.users.nbytes + exported.items.nbytes))
