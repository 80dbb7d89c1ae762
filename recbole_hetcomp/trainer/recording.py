"""Ranks the catalogue for blocks of users, and records a model's rankings while RecBole trains it (method.md §1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recbole_hetcomp.core import PAD, Ragged, SnapshotSpool, observed_ranks, top_k
from recbole_hetcomp.core.rankings import take_padded
from recbole_hetcomp.interactions import Interactions
from recbole_hetcomp.loaders import EvaluatedUsers, Membership
from recbole_hetcomp.model.scoring import SCORES_AT_ONCE, all_item_scores, device_of, users_at_once

_SPARE = 32  # places more than are served: few users have as many validation items among their best


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


def hide(scores: Tensor, users: Tensor, history: Ragged) -> Tensor:
    """Put -inf, in place, where an item is no candidate: RecBole's padding item 0 and the users' history.

    Args:
        scores: float [B, I].
        users: int64 [B], on the device of ``history``.
        history: each user's items that are no candidates.

    Returns:
        ``scores``.

    >>> seen = Ragged.from_pairs(torch.tensor([4]), torch.tensor([2]), n_users=5)
    >>> hide(torch.zeros(2, 3), torch.tensor([3, 4]), seen)
    tensor([[-inf, 0., 0.],
            [-inf, 0., -inf]])
    """
    lengths = history.lengths()[users]
    rows = torch.arange(len(users), device=users.device).repeat_interleave(lengths)
    before = history.offsets[users] - (lengths.cumsum(0) - lengths)  # [B]: from a pair's number to its place
    items = history.values[torch.arange(len(rows), device=users.device) + before[rows]]
    scores[:, 0] = -torch.inf
    scores[rows.to(scores.device), items.long().to(scores.device)] = -torch.inf
    return scores


def without(lists: Tensor, dropped: Tensor) -> Tensor:
    """Lists less the items that are dropped, the rest in order, ``PAD`` behind.

    Args:
        lists: item ids, best first, int [B, L].
        dropped: which places to leave out, bool [B, L].

    >>> without(torch.tensor([[7, 3, 9, -1]]), torch.tensor([[True, False, False, False]]))
    tensor([[ 3,  9, -1, -1]])
    """
    order = dropped.byte().sort(dim=1, stable=True)[1]
    return lists.masked_fill(dropped, PAD).gather(1, order)


@torch.no_grad()
def ranked_lists(
    model: Any, users: Tensor, n_items: int, history: Ragged, length: int, budget: int = SCORES_AT_ONCE
) -> Tensor:
    """A model's top lists over the items outside the users' history, in blocks of users.

    The model is used in the mode that it is in, and with the representations that it has cached.

    Args:
        model: a RecBole general recommender.
        users: int64 [B].
        n_items: I, with the padding item, which is never listed.
        history: each user's items that are no candidates, on the device of ``users``.
        length: L.
        budget: scores held at once; no list depends on it.

    Returns:
        Item ids, best first, ties to the smaller id, ``PAD`` behind, int32 [B, L], on the device of ``users``.
    """
    lists = torch.empty(len(users), length, dtype=torch.int32, device=users.device)
    device, start = device_of(model), 0
    for block in users.split(users_at_once(n_items, budget)):
        scores = hide(all_item_scores(model, block.to(device), n_items), block, history)
        lists[start : start + len(block)] = top_k(scores, length)
        start += len(block)
    return lists


@dataclass(frozen=True)
class Rankings:
    """A model's rankings at one validation.

    Attributes:
        lists: top lists less the observed items, also of users without any, int32 [U, L], L >= K'.
        observed_ranks: ρ, int32 [nnz].
        served: top lists less the training and validation items, int32 [U, S].
    """

    lists: Tensor
    observed_ranks: Tensor
    served: Tensor


class SnapshotRecorder:
    """Writes a model's top lists and observed-item ranks to a spool at each validation.

    Args:
        data: the interactions.
        spool: where snapshots go until the best validation is known.
        length: K', length of the unobserved lists.
        served_length: S, length of the list for test time, from which validation items are removed too.
        bigger: whether a bigger validation score is better.
        budget: scores held at once; nothing that is recorded depends on it.
    """

    def __init__(
        self,
        data: Interactions,
        spool: SnapshotSpool,
        length: int,
        served_length: int,
        bigger: bool = True,
        budget: int = SCORES_AT_ONCE,
    ) -> None:
        self.data = data
        self.spool = spool
        self.length = length
        self.served_length = served_length
        self.bigger = bigger
        self.budget = budget
        self.best: float | None = None
        self.served = torch.full((data.n_users, served_length), PAD, dtype=torch.int32)
        self._served_items = Membership.of(data.served)
        self._later = data.served.lengths() - data.observed.lengths()  # [U]: validation items not observed
        self._pending: Rankings | None = None
        self._covered: tuple[EvaluatedUsers, bool] | None = None

    def covers(self, evaluated: EvaluatedUsers) -> bool:
        """Whether the recorded lists are also those that an evaluation wants: its history is the training items."""
        if self._covered is None or self._covered[0] is not evaluated:
            users, observed = evaluated.users, self.data.observed
            history = evaluated.history.items
            same = torch.equal(history.lengths()[users], observed.lengths()[users]) and bool(
                Membership.of(observed).holds(users, history.padded(users)).sum() == history.values.shape[0]
            )
            self._covered = evaluated, same
        return self._covered[1]

    @torch.no_grad()
    def validation_lists(self, model: Any, evaluated: EvaluatedUsers, length: int) -> Tensor:
        """The evaluated users' top lists, for the metrics; the same scores are what :meth:`record` then records.

        Args:
            model: the model, in evaluation mode.
            evaluated: what :meth:`covers` agreed to.
            length: L.

        Returns:
            Item ids, int32 [n, L].
        """
        self._pending = self._rank(model, max(length, self.length), evaluated.users)
        return self._pending.lists[evaluated.users, :length]

    @torch.no_grad()
    def record(self, model: nn.Module, epoch: int, score: float) -> None:
        """Record one validation.

        Args:
            model: the model as it was validated.
            epoch: its epoch, from 0.
            score: its validation score; an equal one replaces the best, as in RecBole's early stopping.
        """
        rankings = self._pending or self._rank_now(model)
        self._pending = None
        best = self.best is None or (score >= self.best if self.bigger else score <= self.best)
        if best:
            self.best, self.served = score, rankings.served
        unobserved = rankings.lists[:, : self.length].clone()
        unobserved[~self.data.active] = PAD
        self.spool.append(epoch, score, unobserved, rankings.observed_ranks)

    def _rank_now(self, model: nn.Module) -> Rankings:
        was_training = model.training
        model.eval()
        rankings = self._rank(model, self.length, self.data.users)
        model.train(was_training)
        return rankings

    def _rank(self, model: Any, length: int, also: Tensor) -> Rankings:
        """Score the active users, and some others, once."""
        data, device = self.data, device_of(model)
        lists = torch.full((data.n_users, length), PAD, dtype=torch.int32)
        served = torch.full((data.n_users, self.served_length), PAD, dtype=torch.int32)
        ranks = torch.zeros(data.observed.values.shape[0], dtype=torch.int32)
        for users in torch.cat([data.users, also]).unique().split(users_at_once(data.n_items, self.budget)):
            scores = all_item_scores(model, users.to(device), data.n_items)
            positions = data.observed.positions(users)
            observed = take_padded(data.observed.values, positions).to(scores.device)
            ranks[positions[positions != PAD]] = observed_ranks(scores, observed).cpu()[positions != PAD].int()
            hide(scores, users, data.observed)
            best = top_k(scores, max(length, self.served_length + _SPARE))
            lists[users] = best[:, :length].int().cpu()
            served[users] = self._less_later(scores, users, best.cpu()).int()
        served[~data.active] = PAD
        return Rankings(lists, ranks, served)

    def _less_later(self, scores: Tensor, users: Tensor, best: Tensor) -> Tensor:
        """The best items less the validation items, from longer lists where too few are left, int64 [B, S]."""
        size = self.served_length
        served = without(best, self._served_items.holds(users, best))[:, :size]
        short = ((served[:, -1] == PAD) & (best[:, -1] != PAD)).nonzero().flatten()
        if len(short):
            later = self._later[users[short]].max()
            best = top_k(scores[short.to(scores.device)], size + int(later)).cpu()
            served[short] = without(best, self._served_items.holds(users[short], best))[:, :size]
        return served
