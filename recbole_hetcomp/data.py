"""Batches of items, for models that learn from an item's users at once (ItemVAE)."""

from __future__ import annotations

from logging import getLogger
from typing import Any

import torch
from recbole.data.dataloader.abstract_dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction


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
