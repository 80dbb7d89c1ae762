"""Proof of parity: each artefact's lists, from its own runtime, against the trained model's, user by user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_hetcomp.core import PAD, top_k
from recbole_hetcomp.core.rankings import hide
from recbole_hetcomp.recbole_bridge.scoring import users_at_once
from recbole_hetcomp.serving.saved import SavedModel

TOLERANCE = 1e-5
"""Scores closer than this share of a user's largest one are a tie: what another order of adding up changes."""

Ranker = Callable[[NDArray[np.int64], NDArray[np.int64], int], NDArray[np.int64]]
"""Rows of users [B], rows of items seen [B, S] and k → rows of the best items [B, k], -1 behind the last."""


class ParityError(ValueError):
    """An artefact does not rank as the model does."""


@dataclass(frozen=True)
class Agreement:
    """How an artefact's lists compare with the model's.

    Attributes:
        same: users whose lists are the same, item by item.
        ties: users whose lists differ in the order, or choice, of tied items alone.
        different: all other users.
        recall: mean share of the model's list that is in the artefact's.
    """

    same: int
    ties: int
    different: int
    recall: float

    @property
    def users(self) -> int:
        """How many were compared."""
        return self.same + self.ties + self.different


def compare(saved: SavedModel, rankers: Mapping[str, Ranker], k: int) -> dict[str, Agreement]:
    """Rank for every user by the model and by each artefact.

    Args:
        saved: the trained model.
        rankers: artefact → its runtime.
        k: length of the lists.

    Returns:
        Artefact → how it agrees.
    """
    counts = {name: np.zeros(3, dtype=np.int64) for name in rankers}
    shared = dict.fromkeys(rankers, 0.0)
    for rows, seen, scores, lists in _blocks(saved, k):
        for name, ranker in rankers.items():
            verdicts, overlap = judge(scores, lists, torch.from_numpy(ranker(rows, seen, k)))
            counts[name] += np.bincount(verdicts.numpy(), minlength=3)
            shared[name] += float(overlap.sum())
    found = {}
    for name in rankers:
        same, ties, different = counts[name].tolist()
        found[name] = Agreement(same, ties, different, shared[name] / counts[name].sum())
    return found


def judge(scores: Tensor, lists: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Compare lists with the best by some scores.

    Args:
        scores: float [B, I], -inf where an item is no candidate.
        lists: the best items by them, int64 [B, k], -1 behind the last.
        other: the lists to compare, likewise.

    Returns:
        0 where the lists are the same, 1 where the scores of their items are, place by place, up to
        :data:`TOLERANCE`, 2 elsewhere, int64 [B]; and the share of ``lists`` that is in ``other``, float64 [B].
    """
    best, found = _scores_at(scores, lists), _scores_at(scores, other)
    bound = TOLERANCE * best.masked_fill(best.isneginf(), 0).abs().amax(dim=1, keepdim=True)
    near = (found.double() - best.double()).abs() <= bound
    tied = (near | (found.isneginf() & best.isneginf())).all(dim=1) & ~_repeats(other)
    same = (lists == other).all(dim=1)
    verdicts = torch.where(same, 0, torch.where(tied, 1, 2))
    here = (lists[:, :, None] == other[:, None, :]).any(dim=2) & (lists != PAD)
    length = (lists != PAD).sum(dim=1)
    return verdicts, torch.where(length > 0, here.sum(dim=1).double() / length.clamp(min=1), 1.0)


def check(agreements: Mapping[str, Agreement], k: int) -> None:
    """Refuse an export of which an artefact differs beyond ties.

    Raises:
        ParityError: names each.
    """
    wrong = [
        f"{name} for {one.different} of {one.users} users" for name, one in agreements.items() if one.different > 0
    ]
    if wrong:
        raise ParityError(f"the top {k} differ from the model's beyond ties: {'; '.join(wrong)}. Nothing is exported")


def _blocks(
    saved: SavedModel, k: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Tensor, Tensor]]:  # fmt: skip
    """Rows of users, rows of items seen, the model's scores and lists, a block of users at a time; all rows from 0."""
    score = saved.scores()
    for users in torch.arange(1, saved.n_users).split(users_at_once(saved.n_items, saved.budget)):
        with torch.no_grad():
            scores = hide(score(users).float().cpu().contiguous(), users, saved.seen)[:, 1:]
        seen = saved.seen.padded(users).long()
        yield (users - 1).numpy(), torch.where(seen == PAD, PAD, seen - 1).numpy(), scores, top_k(scores, k)


def _scores_at(scores: Tensor, lists: Tensor) -> Tensor:
    return scores.gather(1, lists.clamp(min=0)).masked_fill(lists < 0, -torch.inf)


def _repeats(lists: Tensor) -> Tensor:
    """Whether a row names an item twice, bool [B]."""
    ordered = lists.sort(dim=1)[0]
    return ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(dim=1)
