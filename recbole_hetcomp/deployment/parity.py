"""Whether an export recommends what the saved model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recbole_hetcomp.core import Ragged, top_k
from recbole_hetcomp.core.rankings import hide
from recbole_hetcomp.deployment.saved import SavedStudent
from recbole_hetcomp.recbole_bridge.scoring import all_item_scores

TOLERANCE = 1e-4
"""How much worse, by the model's own scores and as a share of their spread, a listed item may be at its place."""
SAMPLE = 1000
"""Users whose lists are compared."""


@dataclass(frozen=True)
class Parity:
    """An export's lists beside the model's.

    Attributes:
        users: whose were compared.
        identical: share of users whose lists are the same, item by item.
        gap: the most by which an item of the export's list scores less, by the model, than the item that the model has
            at its place, as a share of the spread (s.d.) of the user's scores: 0 but for swaps of equals.
        bytes: of the export's vectors.
    """

    users: int
    identical: float
    gap: float
    bytes: int

    @property
    def holds(self) -> bool:
        """Whether no list differs by more than rounding."""
        return self.gap <= TOLERANCE


def parity_of(student: SavedStudent, folder: Path, k: int) -> Parity:
    """Compare the lists of an export folder with the model's, for a sample of users and the same seen items.

    Args:
        student: the saved student.
        folder: what ``hetcomp export`` wrote.
        k: items of a list.

    Raises:
        DamagedFileError, FileNotFoundError: the folder is not sound.
        ValueError: it is of other users or items.
    """
    from recbole_hetcomp.serving.exported import read

    exported, train = read(folder), student.train._dataset
    users = _rows("users", exported.user_ids, train.field2id_token[train.uid_field])
    items = _rows("items", exported.item_ids, train.field2id_token[train.iid_field])
    order = np.random.default_rng(0).permutation(len(users))[:SAMPLE]
    seen = Ragged(torch.from_numpy(exported.seen_offsets), torch.from_numpy(exported.seen_items))
    same, worst = 0, 0.0
    device = next(student.backbone.parameters()).device
    for part in np.array_split(order, max(1, len(order) // 64)):
        if not len(part):
            continue
        own = _scores(student, torch.from_numpy(users[part]).to(device)).cpu()[:, torch.from_numpy(items)]
        theirs = torch.from_numpy(exported.users[part] @ exported.items.T)
        spread = own.std(dim=1, keepdim=True).clamp(min=torch.finfo(own.dtype).tiny)
        rows = torch.from_numpy(part)
        mine, other = (_best(scores, rows, seen, k) for scores in (own.clone(), theirs))
        same += int((mine == other).all(dim=1).sum())
        values = [own.gather(1, lists.clamp(min=0)).masked_fill(lists < 0, 0.0) for lists in (mine, other)]
        worst = max(worst, float(((values[0] - values[1]).abs() / spread).max()))
    size = int(exported.users.nbytes + exported.items.nbytes)
    return Parity(len(order), same / max(1, len(order)), worst, size)


@torch.no_grad()
def _scores(student: SavedStudent, users: torch.Tensor) -> torch.Tensor:
    return all_item_scores(student.backbone, users, student.data.n_items)


def _best(scores: torch.Tensor, rows: torch.Tensor, seen: Ragged, k: int) -> torch.Tensor:
    """The first k rows of items that a user has not seen, int64 [B, k]; an export has no padding item."""
    padded = torch.cat([scores.new_zeros(len(scores), 1), scores], dim=1)  # hide() takes item 0 for padding
    moved = Ragged(seen.offsets, seen.values + 1)
    lists = top_k(hide(padded, rows, moved), k)
    return torch.where(lists > 0, lists - 1, lists)


def _rows(what: str, exported: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The model's id of each of an export's, int64."""
    known = {str(token): number for number, token in enumerate(tokens) if number}
    unknown = [name for name in map(str, exported) if name not in known]
    if unknown or len(exported) != len(known):
        detail = f", {unknown[0]!r} is not known" if unknown else ""
        raise ValueError(f"the export has {len(exported)} {what} and the model {len(known)}{detail}: of another model")
    return np.array([known[str(name)] for name in exported], dtype=np.int64)
