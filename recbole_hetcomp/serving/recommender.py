"""Recommendations of a saved model by external ids: a student, an ensemble, or a RecBole model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_hetcomp.core import Ragged, top_k
from recbole_hetcomp.core.rankings import hide
from recbole_hetcomp.declared import default
from recbole_hetcomp.memory import score_elements
from recbole_hetcomp.recbole_bridge.scoring import users_at_once
from recbole_hetcomp.serving import SEEN, K
from recbole_hetcomp.serving.exported import Exported, read
from recbole_hetcomp.serving.newcomers import Newcomers
from recbole_hetcomp.serving.saved import saved_model
from recbole_hetcomp.settings import Run
from recbole_hetcomp.teachers.recorder import Scores

# Scores of a block of users at most. Memory of so many MiB is used again by the next block, out of the processor's
# cache; that of larger blocks goes back to the system, which takes longer to give it anew than a product takes.
_SCORES_IN_CACHE = 3 << 20


@dataclass(frozen=True)
class Recommendations:
    """Top lists of some users.

    Attributes:
        users: external ids as they were asked for, object [B].
        items: external ids, best first, None behind the last, object [B, k].
        scores: the model's, NaN behind the last; of a fallback, training interactions, float32 [B, k].
        fallback: True for users that the model does not know, who get the most popular items, bool [B].
    """

    users: NDArray[np.object_]
    items: NDArray[np.object_]
    scores: NDArray[np.float32]
    fallback: NDArray[np.bool_]

    def frame(self) -> Any:
        """A pandas DataFrame, a row an item: user, item, rank (from 1), score, fallback."""
        import pandas as pd

        return pd.DataFrame(self.columns())

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of :meth:`frame`, [n] each."""
        row, place = (self.items != None).nonzero()  # noqa: E711  (element by element)
        return {
            "user": self.users[row],
            "item": self.items[row, place],
            "rank": place.astype(np.int32) + 1,
            "score": self.scores[row, place],
            "fallback": self.fallback[row],
        }


class Recommender:
    """A model and the ids of its data.

    Args:
        scores: users, int64 [B] → scores of all items, float [B, I]; -inf where an item is no candidate.
        user_ids: external ids, the padding id first.
        item_ids: likewise.
        seen: each user's items that are no candidates.
        counts: training interactions of each item, int64 [I].
        budget: scores held at once; changes no list.
        newcomers: what ranks users by items that they come with; None: the model cannot.

    Attributes:
        at_once: users of a block.
        item_ids: external ids by internal ones, None for the padding id.
    """

    def __init__(
        self,
        scores: Scores,
        user_ids: Sequence[object],
        item_ids: Sequence[object],
        seen: Ragged,
        counts: Tensor,
        budget: int,
        newcomers: Newcomers | None = None,
    ) -> None:
        self._scores, self._seen, self._counts = scores, seen, counts
        self._newcomers = newcomers
        self.item_ids = np.array([None, *map(str, item_ids[1:])], dtype=object)
        self._users = {str(name): number for number, name in enumerate(user_ids) if number}
        self._items = {str(name): number for number, name in enumerate(item_ids) if number}
        self.at_once = users_at_once(len(self.item_ids), min(budget, _SCORES_IN_CACHE))

    @property
    def users(self) -> list[str]:
        """External ids of the users that the model knows."""
        return list(self._users)

    def recommend(
        self,
        users: Iterable[object],
        k: int = K,
        exclude: Mapping[object, Iterable[object]] | None = None,
        allow: Iterable[object] | None = None,
        deny: Iterable[object] = (),
        histories: Mapping[object, Iterable[object]] | None = None,
    ) -> Recommendations:
        """The best items of some users, without those that they have seen; ties to the smaller item id.

        Args:
            users: external ids; unknown ones get the most popular items.
            k: items of a list.
            exclude: further items of single users that are no candidates, {user: items}.
            allow: the only items that are candidates; all if None.
            deny: items that are no candidates.
            histories: items that users come with, {user: items}, who are then ranked by them, in closed form, whether
                the model knows the user or not; unknown items say nothing, and without a known one nothing is changed.

        Returns:
            The lists, in the users' order.

        Raises:
            ValueError: ``k`` is below 1; or an item of ``allow`` or ``deny`` is not known, or none is left; or there
                are histories, and the model's scores are no dot products.
        """
        asked = np.array([str(user) for user in users], dtype=object)
        blocks = self.batches(asked, k, exclude, allow, deny, histories)
        lists = len(asked), k
        found = Recommendations(
            asked, np.empty(lists, dtype=object), np.empty(lists, dtype=np.float32), np.empty(len(asked), dtype=bool)
        )
        start = 0
        for block in blocks:  # not kept: small arrays between large ones that come and go would scatter the heap
            rows = slice(start, start + len(block.users))
            found.items[rows], found.scores[rows], found.fallback[rows] = block.items, block.scores, block.fallback
            start = rows.stop
        return found

    def batches(
        self,
        users: Iterable[object],
        k: int = K,
        exclude: Mapping[object, Iterable[object]] | None = None,
        allow: Iterable[object] | None = None,
        deny: Iterable[object] = (),
        histories: Mapping[object, Iterable[object]] | None = None,
    ) -> Iterator[Recommendations]:
        """The same as :meth:`recommend`, a block of users at a time, in bounded memory.

        Raises:
            ValueError: as :meth:`recommend`; before the first block.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"k={k!r} is not allowed: a whole number of at least 1")
        barred = self._barred(allow, deny)
        own = {str(user): list(items) for user, items in (exclude or {}).items()}
        had = {str(user): self._known(items) for user, items in (histories or {}).items()}
        if had:
            self._by_items()
        return self._blocks(users, int(k), own, barred, {user: ids for user, ids in had.items() if ids})

    def vector_of(self, items: Iterable[object]) -> NDArray[np.float32]:
        """The vector of a user with these items, in closed form (docs/warm-start.md); the model need not know the user.

        Args:
            items: external ids; unknown ones say nothing.

        Returns:
            float32 [d]; its dot product with an item's vector is the score.

        Raises:
            ValueError: none of the items is known, or the model's scores are no dot products.
        """
        names = list(items)
        known = self._known(names)
        if not known:
            raise ValueError(f"the model knows none of the {len(names)} items, so nothing is known of who has them")
        return self._by_items().vectors(_ragged([known]))[0].numpy()

    def _by_items(self) -> Newcomers:
        if self._newcomers is None:
            raise ValueError(
                "the model cannot rank users by items that they come with: its scores are no dot products of vectors "
                "of users and items; a student with student_backbone BPR, IALS, LightGCN or CML can"
            )
        return self._newcomers

    def _known(self, items: Iterable[object]) -> list[int]:
        return sorted({self._items[str(item)] for item in items if str(item) in self._items})

    def _blocks(
        self,
        users: Iterable[object],
        k: int,
        own: Mapping[str, list[object]],
        barred: Tensor,
        had: Mapping[str, list[int]],
    ) -> Iterator[Recommendations]:
        block: list[str] = []
        for user in users:
            block.append(str(user))
            if len(block) == self.at_once:
                yield self._block(block, k, own, barred, had)
                block = []
        if block:
            yield self._block(block, k, own, barred, had)

    def _block(
        self,
        names: list[str],
        k: int,
        own: Mapping[str, list[object]],
        barred: Tensor,
        had: Mapping[str, list[int]],
    ) -> Recommendations:
        ids = torch.tensor([self._users.get(name, 0) for name in names])
        scores = self._candidates(ids)  # [B, I]
        fallback = ids == 0
        by_items = [row for row, name in enumerate(names) if name in had] if had else []
        if by_items:
            scores[by_items] = self._by_items().scores(_ragged([had[names[row]] for row in by_items]))
            fallback[by_items] = False
        scores[:, barred] = -torch.inf
        for row, name in enumerate(names if own else ()):
            if name in own:
                scores[row, [self._items[str(item)] for item in own[name] if str(item) in self._items]] = -torch.inf
        lists = top_k(scores, k)
        found = scores.gather(1, lists.clamp(min=0)).masked_fill(lists < 0, torch.nan)
        items = self.item_ids[lists.clamp(min=0).numpy()]
        items[(lists < 0).numpy()] = None
        return Recommendations(np.array(names, dtype=object), items, found.numpy(), fallback.numpy())

    def _candidates(self, ids: Tensor) -> Tensor:
        """Scores of all items, those of a user's history -inf; what is popular for the id 0, float [B, I]."""
        known = ids > 0
        if not bool(known.any()):
            return self._counts.float().repeat(len(ids), 1)
        with torch.no_grad():
            scores = self._scores(ids[known]).float().cpu().contiguous()
        hide(scores, ids[known], self._seen)
        if bool(known.all()):
            return scores  # a copy of the block takes as long as its product
        every = torch.empty(len(ids), scores.shape[1])
        every[known], every[~known] = scores, self._counts.float()
        return every

    def _barred(self, allow: Iterable[object] | None, deny: Iterable[object]) -> Tensor:
        """Items that are no candidates of anybody, the padding item among them, int64 [n]."""
        barred = torch.zeros(len(self.item_ids), dtype=torch.bool)
        if allow is not None:
            barred[:] = True
            barred[self._numbers("allow", allow)] = False
        barred[self._numbers("deny", deny)] = True
        barred[0] = True
        if bool(barred.all()):
            raise ValueError("allow and deny leave no item that could be recommended")
        return barred.nonzero().flatten()

    def _numbers(self, place: str, items: Iterable[object]) -> list[int]:
        names = [str(item) for item in items]
        unknown = [name for name in names if name not in self._items]
        if unknown:
            raise ValueError(
                f"{place} names {len(unknown)} of {len(names)} items that the model does not know, {unknown[0]!r} first"
            )
        return [self._items[name] for name in names]


def _ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    owner = torch.tensor([number for number, row in enumerate(rows) for _ in row], dtype=torch.int64)
    return Ragged.from_pairs(owner, torch.tensor([item for row in rows for item in row]), len(rows))


def load(checkpoint: str | Path, seen: str = SEEN[0]) -> Recommender:
    """A saved model as a recommender: a student, the ensemble, or a general recommender of RecBole's.

    Args:
        checkpoint: what a run saved, its data set where it was; or a folder that ``hetcomp export`` wrote, which needs
            no data set and no time.
        seen: ``all``: items that a user has anywhere in the data set are no candidates; ``training``: those of the
            training split, as in an evaluation.

    Raises:
        FileNotFoundError: there is no such checkpoint, or its data set is gone.
        ValueError: the model is no general recommender; or a folder is no export, or one with other items left out.
    """
    if Path(checkpoint).is_dir():
        return _of_export(read(checkpoint), seen)
    saved = saved_model(checkpoint, seen)
    ids = saved.user_ids, saved.item_ids
    newcomers = Newcomers.of(saved.model, saved.training)
    return Recommender(saved.scores(), *ids, saved.seen, saved.counts, saved.budget, newcomers)


def _of_export(found: Exported, seen: str) -> Recommender:
    told = found.manifest["data"]["seen"]
    if told != seen:
        raise ValueError(f"{found.folder} was exported with seen={told}: seen={seen!r} needs an export of its own")
    users, items, counts = (_behind_padding(torch.from_numpy(one)) for one in (found.users, found.items, found.counts))
    had = Ragged(
        _behind_padding(torch.from_numpy(found.seen_offsets)), torch.from_numpy(found.seen_items.astype(np.int64)) + 1
    )
    user_ids, item_ids = ([None, *ids] for ids in (found.user_ids, found.item_ids))
    budget = score_elements(default(Run, "memory_budget_mb"))
    newcomers = Newcomers(lambda: (users, items), had)
    return Recommender(lambda ids: users[ids] @ items.T, user_ids, item_ids, had, counts, budget, newcomers)


def _behind_padding(rows: Tensor) -> Tensor:
    """The same rows behind one of zeros, RecBole's padding."""
    return torch.cat([torch.zeros_like(rows[:1]), rows])
