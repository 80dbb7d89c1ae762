"""Records a model's rankings while RecBole trains it (method.md §1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_hetcomp.core import PAD, SnapshotSpool, observed_ranks, top_k
from recbole_hetcomp.interactions import Interactions
from recbole_hetcomp.model.scoring import all_item_scores, users_at_once


def exclusion(n_rows: int, n_items: int, *lists: Tensor) -> Tensor:
    """True for RecBole's padding item 0 and for every listed item.

    Args:
        n_rows: B.
        n_items: I.
        lists: item ids, padded with ``PAD``, int64 [B, L] each.

    Returns:
        bool [B, I].
    """
    device = lists[0].device
    excluded = torch.zeros(n_rows, n_items + 1, dtype=torch.bool, device=device)
    excluded[:, 0] = True
    for items in lists:
        excluded.scatter_(1, torch.where(items == PAD, n_items, items.long()), True)
    return excluded[:, :n_items]


class SnapshotRecorder:
    """Writes a model's top lists and observed-item ranks to a spool at each validation.

    Args:
        data: the interactions.
        spool: where snapshots go until the best validation is known.
        length: K', length of the unobserved lists.
        served_length: length of the list for test time, from which validation items are removed too.
        bigger: whether a bigger validation score is better.
    """

    def __init__(
        self, data: Interactions, spool: SnapshotSpool, length: int, served_length: int, bigger: bool = True
    ) -> None:
        self.data = data
        self.spool = spool
        self.length = length
        self.served_length = served_length
        self.bigger = bigger
        self.best: float | None = None
        self.served = torch.full((data.n_users, served_length), PAD, dtype=torch.int32)

    @torch.no_grad()
    def record(self, model: nn.Module, epoch: int, score: float) -> None:
        """Record one validation.

        Args:
            model: the model as it was validated.
            epoch: its epoch, from 0.
            score: its validation score; an equal one replaces the best, as in RecBole's early stopping.
        """
        was_training = model.training
        model.eval()
        best = self.best is None or (score >= self.best if self.bigger else score <= self.best)
        unobserved, ranks, served = self._rankings(model, with_served=best)
        if best:
            self.best, self.served = score, served
        self.spool.append(epoch, score, unobserved, ranks)
        model.train(was_training)

    def _rankings(self, model: Any, with_served: bool) -> tuple[Tensor, Tensor, Tensor]:
        data = self.data
        device = next(iter(model.parameters()), torch.empty(0, device=model.device)).device
        unobserved = torch.full((data.n_users, self.length), PAD, dtype=torch.int32)
        ranks = torch.zeros(data.observed.values.shape[0], dtype=torch.int32)
        served = torch.full((data.n_users, self.served_length), PAD, dtype=torch.int32)
        for users in data.users.split(users_at_once(data.n_items)):
            scores = all_item_scores(model, users.to(device), data.n_items).cpu()
            observed = data.observed.padded(users)
            unobserved[users] = top_k(scores, self.length, exclusion(len(users), data.n_items, observed)).int()
            positions = data.observed.positions(users)
            ranks[positions[positions != PAD]] = observed_ranks(scores, observed)[positions != PAD].int()
            if with_served:
                hidden = exclusion(len(users), data.n_items, data.served.padded(users))
                served[users] = top_k(scores, self.served_length, hidden).int()
        return unobserved, ranks, served
