"""Loaders that RecBole's own do not cover, and what an evaluation loader evaluates as flat vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from torch import Tensor

from recbole_hetcomp.config import score_elements
from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.model.scoring import users_at_once


class CatalogueEvalDataLoader(FullSortEvalDataLoader):
    """RecBole's full-sort loader with as many users a batch as fit the memory for scores.

    RecBole takes ``eval_batch_size // n_items`` users: two on ml-100k, one on any large catalogue. Metrics do not
    depend on the batch.
    """

    def _init_batch_size_and_step(self) -> None:
        self.step = users_at_once(self._dataset.item_num, score_elements(self.config))
        self.set_batch_size(self.step * self._dataset.item_num)


@dataclass(frozen=True)
class Membership:
    """Which items each user has, searched without a matrix over the catalogue.

    Attributes:
        items: the users' items.
        stride: more than any item id.
        keys: ``user * stride + item`` of every pair, ascending, int64 [nnz].

    >>> bought = Ragged.from_pairs(torch.tensor([0, 2, 2]), torch.tensor([5, 3, 7]), n_users=3)
    >>> Membership.of(bought).holds(torch.tensor([2, 0]), torch.tensor([[7, 5, -1], [7, 5, -1]]))
    tensor([[ True, False, False],
            [False,  True, False]])
    """

    items: Ragged
    stride: int
    keys: Tensor

    @staticmethod
    def of(items: Ragged) -> Membership:
        """Make each user's items, ascending without repeats, ready to be searched."""
        stride = int(items.values.max()) + 1 if items.values.numel() else 1
        users = torch.arange(items.n_rows, device=items.offsets.device).repeat_interleave(items.lengths())
        return Membership(items, stride, users * stride + items.values)

    def holds(self, users: Tensor, lists: Tensor) -> Tensor:
        """Whether each listed item is one of its user's.

        Args:
            users: int64 [B].
            lists: item ids, ``PAD`` for none, int [B, L].

        Returns:
            bool [B, L].
        """
        if self.keys.numel() == 0:
            return torch.zeros(lists.shape, dtype=torch.bool, device=lists.device)
        listed = lists.long()
        wanted = users[:, None] * self.stride + listed
        slot = torch.searchsorted(self.keys, wanted).clamp_(max=self.keys.shape[0] - 1)
        return (self.keys[slot] == wanted) & (listed != PAD) & (listed < self.stride)


@dataclass(frozen=True)
class EvaluatedUsers:
    """What a full-sort evaluation loader evaluates.

    Attributes:
        users: the users, in the loader's order, int64 [n].
        positives: each user's items to be found, ascending; users that are not evaluated have none.
        history: each user's items that are no candidates, ascending.
        n_items: I, with the padding item.
    """

    users: Tensor
    positives: Membership
    history: Membership
    n_items: int

    def __len__(self) -> int:
        """Return n."""
        return self.users.shape[0]

    @staticmethod
    def of(loader: Any) -> EvaluatedUsers:
        """Read a RecBole full-sort loader; once, it is kept with the loader."""
        kept = vars(loader).get("_evaluated_users")
        if kept is None:
            users = torch.as_tensor(loader.uid_list)
            kept = EvaluatedUsers(
                users,
                _membership(users, loader.uid2positive_item, loader),
                _membership(users, loader.uid2history_item, loader),
                loader._dataset.item_num,
            )
            loader._evaluated_users = kept
        return kept


def _membership(users: Tensor, rows: Any, loader: Any) -> Membership:
    parts = list(rows[users.numpy()])
    lengths = torch.tensor([len(part) for part in parts], dtype=torch.int64)
    items = torch.cat(parts) if parts else users[:0]
    return Membership.of(Ragged.from_pairs(users.repeat_interleave(lengths), items, loader._dataset.user_num))
