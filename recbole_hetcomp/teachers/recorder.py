"""Records rankings while a teacher learns (method.md §1): of a RecBole model, or of anything that scores items."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recbole_hetcomp.core import PAD, observed_ranks, top_k
from recbole_hetcomp.core.rankings import hide, take_padded, without
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.declared import default
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import (
    SCORES_AT_ONCE,
    all_item_scores,
    device_of,
    users_at_once,
)
from recbole_hetcomp.settings import Teachers
from recbole_hetcomp.trajectories import SnapshotSpool, Trajectory, item_dtype

_SPARE = 32  # places more than are served: few users have as many validation items among their best


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


Scores = Callable[[Tensor], Tensor]
"""Users, int64 [B] → scores of all items, float [B, I]; column 0 is padding and is never read."""


class SnapshotRecorder:
    """Writes a teacher's top lists and observed-item ranks to a spool at each validation.

    A teacher from outside of RecBole calls :meth:`record_scores` as it learns, once at least, and returns what
    :meth:`trajectory` gives.

    Args:
        data: the interactions.
        spool: where snapshots go until the best validation is known.
        length: K', length of the unobserved lists.
        served_length: S, length of the list for test time, from which validation items are removed too.
        bigger: whether a bigger validation score is better.
        budget: scores held at once; nothing that is recorded depends on it.
        snapshots: E, snapshots that a trajectory keeps.
        spacing: how they are spaced.
        settings: all that decides the teacher, as the trajectory's.
        judge: validation metrics of top lists less the observed items, int32 [U, L], and the name of the one that
            decides; None where every validation comes with its score.
    """

    def __init__(
        self,
        data: Interactions,
        spool: SnapshotSpool,
        length: int,
        served_length: int,
        bigger: bool = True,
        budget: int = SCORES_AT_ONCE,
        snapshots: int = default(Teachers, "snapshots"),
        spacing: str = default(Teachers, "snapshot_spacing"),
        settings: Mapping[str, Any] | None = None,
        judge: tuple[Callable[[Tensor], dict[str, float]], str] | None = None,
    ) -> None:
        self.data = data
        self.spool = spool
        self.length = length
        self.served_length = served_length
        self.bigger = bigger
        self.budget = budget
        self.snapshots = snapshots
        self.spacing = spacing
        self.settings = dict(settings or {})
        self.judge = judge
        self.valid: dict[str, float] = {}
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
        scores = model_scores(model, self.data.n_items)
        self._pending = self._rank(scores, max(length, self.length), evaluated.users)
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
        self._keep(rankings, epoch, score)

    @torch.no_grad()
    def record_scores(self, scores: Scores, epoch: int | None = None, score: float | None = None) -> float:
        """Record one validation of anything that scores items.

        Args:
            scores: what it scores; asked for a block of users at a time, so that memory is bounded.
            epoch: its epoch, later than any before; None: one after the last.
            score: its validation score; None: by the run's validation metric, from the lists.

        Returns:
            The validation score.

        Raises:
            ValueError: the scores are not of this form, or there is no way to judge them.
        """
        last = self.spool.epochs[-1] if len(self.spool) else -1
        epoch = last + 1 if epoch is None else epoch
        if epoch <= last:
            raise ValueError(f"epoch={epoch} is not allowed: epochs ascend, the last one was {last}")
        everyone = torch.arange(1, self.data.n_users)
        length = max(self.length, self.served_length)
        rankings = self._rank(_checked(scores, self.data.n_items), length, everyone)
        valid: dict[str, float] = {}
        if score is None:
            if self.judge is None:
                raise ValueError("score is not given, and nothing is there to judge the lists by")
            judged, metric = self.judge
            valid = {name: float(value) for name, value in judged(rankings.lists).items()}
            score = valid[metric]
        if not math.isfinite(score):
            raise ValueError(f"score={score} is not allowed: a finite number is needed")
        if self._keep(rankings, epoch, score):
            self.valid = valid
        return score

    def trajectory(self, **info: Any) -> Trajectory:
        """What was recorded: the snapshots that are kept, the best one last.

        Args:
            info: what else is known, e.g. ``parameters``, how many numbers the teacher has learnt.

        Raises:
            ValueError, TypeError: nothing was recorded, or the info is no plain data.
        """
        plain = {name: value.item() if hasattr(value, "item") else value for name, value in info.items()}
        json.dumps(plain, allow_nan=False)
        unobserved, ranks, epochs, scores = self.spool.build(self.snapshots, self.spacing, self.bigger)
        return Trajectory(
            unobserved=unobserved,
            observed_ranks=ranks,
            served=self.served.to(item_dtype(self.data.n_items)),
            epochs=epochs,
            scores=scores,
            settings=self.settings,
            info={"parameters": 0, "valid": self.valid, **plain},
        )

    def _keep(self, rankings: Rankings, epoch: int, score: float) -> bool:
        """Put a validation into the spool; whether it is the best so far."""
        best = self.best is None or (score >= self.best if self.bigger else score <= self.best)
        if best:
            self.best, self.served = score, rankings.served
        unobserved = rankings.lists[:, : self.length].clone()
        unobserved[0] = PAD
        self.spool.append(epoch, score, unobserved, rankings.observed_ranks)
        return best

    def _rank_now(self, model: nn.Module) -> Rankings:
        was_training = model.training
        model.eval()
        rankings = self._rank(model_scores(model, self.data.n_items), self.length, self.data.ranked_users)
        model.train(was_training)
        return rankings

    def _rank(self, score: Scores, length: int, also: Tensor) -> Rankings:
        """Score all users, and some others, once."""
        data = self.data
        lists = torch.full((data.n_users, length), PAD, dtype=torch.int32)
        served = torch.full((data.n_users, self.served_length), PAD, dtype=torch.int32)
        ranks = torch.zeros(data.observed.values.shape[0], dtype=torch.int32)
        for users in torch.cat([data.ranked_users, also]).unique().split(users_at_once(data.n_items, self.budget)):
            scores = score(users)
            positions = data.observed.positions(users)
            observed = take_padded(data.observed.values, positions).to(scores.device)
            ranks[positions[positions != PAD]] = observed_ranks(scores, observed).cpu()[positions != PAD].int()
            hide(scores, users, data.observed)
            best = top_k(scores, max(length, self.served_length + _SPARE))
            lists[users] = best[:, :length].int().cpu()
            served[users] = self._less_later(scores, users, best.cpu()).int()
        served[0] = PAD
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


def model_scores(model: Any, n_items: int) -> Scores:
    """The scores of a RecBole general recommender.

    Args:
        model: the model.
        n_items: I, with the padding item.
    """
    device = device_of(model)
    return lambda users: all_item_scores(model, users.to(device), n_items)


def _checked(scores: Scores, n_items: int) -> Scores:
    """Scores from outside, which may be of any kind; they are hidden in place, so a shared row is copied."""

    def of(users: Tensor) -> Tensor:
        found = torch.as_tensor(scores(users))
        if tuple(found.shape) != (len(users), n_items):
            raise ValueError(
                f"scores have shape {tuple(found.shape)}; allowed: {(len(users), n_items)}, a row a user and a column "
                "an item, padding item 0 included"
            )
        return found.float().clone(memory_format=torch.contiguous_format)

    return of
