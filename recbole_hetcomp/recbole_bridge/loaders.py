"""Loaders that RecBole's own do not cover, and what an evaluation loader evaluates as flat vectors."""

from __future__ import annotations

from dataclasses import dataclass
from logging import getLogger
from typing import Any

import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.recbole_bridge.scoring import users_at_once


class CatalogueEvalDataLoader(FullSortEvalDataLoader):
    """RecBole's full-sort loader with as many users a batch as fit the memory for scores.

    RecBole takes ``eval_batch_size // n_items`` users: two on ml-100k, one on any large catalogue. Metrics do not
    depend on the batch.
    """

    def _init_batch_size_and_step(self) -> None:
        self.step = users_at_once(self._dataset.item_num, memory_for_scores(self.config))
        self.set_batch_size(self.step * self._dataset.item_num)


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


class ItemDataLoader(AbstractDataLoader):
    """Yields the ids of items in batches; the counterpart of RecBole's ``UserDataLoader``.

    An epoch visits each item that has an interaction in ``dataset`` once, in a new order; the padding item
    and items without interactions are left out. ``train_batch_size`` counts items.

    Args:
        config: RecBole's configuration.
        dataset: the training split.
        sampler: unused, RecBole hands one to every loader.
        shuffle: must be true; false is answered by a warning, as in ``UserDataLoader``.
    """

    def __init__(self, config: Any, dataset: Any, sampler: Any, shuffle: bool = False) -> None:
        self.logger = getLogger()
        if not shuffle:
            self.logger.warning("ItemDataLoader always shuffles the data; shuffle=False has no effect.")
        self.iid_field = dataset.iid_field
        items = torch.as_tensor(dataset.inter_feat[self.iid_field]).unique()  # sorted
        self.item_list = Interaction({self.iid_field: items[items != 0]})
        self.sample_size = len(self.item_list)
        super().__init__(config, dataset, sampler, shuffle=True)

    def _init_batch_size_and_step(self) -> None:
        batch_size = self.config["train_batch_size"]
        self.step = batch_size
        self.set_batch_size(batch_size)

    def collate_fn(self, index: list[int]) -> Interaction:
        """The items at the drawn positions, as ``Interaction({iid_field: ids})``."""
        return self.item_list[torch.as_tensor(index)]
