"""Loaders that RecBole's own do not cover."""

from __future__ import annotations

from recbole.data.dataloader import FullSortEvalDataLoader

from recbole_hetcomp.model.scoring import users_at_once


class CatalogueEvalDataLoader(FullSortEvalDataLoader):
    """RecBole's full-sort loader with as many users a batch as fit the memory for scores.

    RecBole takes ``eval_batch_size // n_items`` users: two on ml-100k, one on any large catalogue. Metrics do not
    depend on the batch.
    """

    def _init_batch_size_and_step(self) -> None:
        self.step = users_at_once(self._dataset.item_num)
        self.set_batch_size(self.step * self._dataset.item_num)
