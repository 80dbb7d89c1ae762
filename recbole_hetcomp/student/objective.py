"""The listwise objective of a batch of users: taught lists, rest term and losses put together (method.md §5, §6)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core import (
    PAD,
    draw_items,
    fused_listwise_loss,
    fused_rest_logsumexp,
    popularity_weights,
    ranks_in,
    rest_logsumexp,
    rest_size,
    sample_rest,
    sampled_rest_logsumexp,
    shared_rest_logsumexp,
    taught_observed,
    weighted_loss,
)
from recbole_hetcomp.core.rankings import exclusion, user_blocks, without
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.own_lists import OwnLists
from recbole_hetcomp.teachers.knowledge import Knowledge


class TaughtLists:
    """π⁺ and π⁻ of every user, rebuilt only for users whose snapshots changed.

    Args:
        knowledge: what the teachers know, and how it becomes a consensus.
        budget: elements of one intermediate matrix; changes no list.
        device: where the lists live.
        observed_knowledge: ``separate`` (π⁺ beside π⁻), ``none`` (π⁺ is left out: all ``PAD``) or ``joint`` (one list
            in place of π⁻, π⁺ before it: the teachers' order between observed and unobserved items is not recorded).
        observed_v: snapshots of which π⁺ is made whatever ``rebuild`` is given, int64 [U, M]; None: the same.
        observed_length: items of π⁺ in a joint list; None: K/10.

    Attributes:
        unobserved: π⁻, int32 [U, K].
        observed: π⁺, int32 [U, K/10].
    """

    def __init__(
        self,
        knowledge: Knowledge,
        budget: int,
        device: torch.device,
        observed_knowledge: str,
        observed_v: Tensor | None = None,
        observed_length: int | None = None,
    ) -> None:
        data, consensus = knowledge.data, knowledge.consensus
        self.history = data.observed.to(device)
        self.trajectories = knowledge.trajectories
        self.observed_ranks = knowledge.observed_ranks
        self.consensus, self.fuse, self.budget = consensus, knowledge.fuse, budget
        self.observed_knowledge = observed_knowledge
        self.observed_v = observed_v
        self.observed_length = consensus.K_observed if observed_length is None else observed_length
        self.item_weights = popularity_weights(data.item_counts.to(device), consensus.popularity_discount)
        self.unobserved = torch.full((data.n_users, consensus.K), PAD, dtype=torch.int32, device=device)
        self.observed = torch.full((data.n_users, consensus.K_observed), PAD, dtype=torch.int32, device=device)

    def rebuild(self, users: Tensor, v: Tensor) -> None:
        """Build the lists of some users from the snapshots that ``v`` selects.

        Args:
            users: int64 [B].
            v: snapshots, int64 [U, M].
        """
        k, k_observed = self.consensus.K, self.observed_length
        how = self.consensus, self.budget, self.item_weights
        observed_v = v if self.observed_v is None else self.observed_v
        for rows in user_blocks(len(users), k, self.budget):
            block, selected = users[rows], v[users[rows]]
            items, _ = self.fuse(self.trajectories, selected, block, k, *how)
            self.unobserved[block] = items.int()
            if self.observed_knowledge == "none":
                continue
            at = observed_v[block]
            observed = taught_observed(self.history, self.observed_ranks, at, block, k_observed, *how)
            if self.observed_knowledge == "joint":
                joint = torch.cat((observed, items), dim=1)
                self.unobserved[block] = without(joint, joint == PAD)[:, :k].int()
            else:
                self.observed[block] = observed.int()


class ListScorer:
    """What listwise losses need of a batch: the listed items' scores, and R_u of the rest, whichever way is cheapest.

    A dot-product student's rest is computed in tiles (`fused_rest_logsumexp`), any other's from the whole row of
    scores, and both from draws where ``rest_sample_num`` asks for it.

    Args:
        settings: ``rest_sample_num`` and ``rest_sample_shared``.
        n_items: I, with the padding item.
        generator: source of the draws.
    """

    def __init__(self, settings: HetCompSettings, n_items: int, generator: torch.Generator) -> None:
        self.n_items = n_items
        self.draws = settings.draws(n_items - 1)
        self.shared = settings.rest_sample_shared
        self.generator = generator

    def __call__(self, model: Any, users: Tensor, listed: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the listed items and R_u over all items that are neither listed nor in the history.

        Args:
            model: a :class:`~recbole_hetcomp.student.model.DistilledStudent`.
            users: int64 [B].
            listed: item ids, ``PAD`` and repeats allowed anywhere, int64 [B, L].
            history: item ids, likewise, int64 [B, H].

        Returns:
            float [B, L], anything at padded places, and [B].
        """
        outside = torch.cat((history, listed), dim=1)
        factors = model.factors(users)
        if factors is None or (self.draws and not self.shared):
            return self.without_factors(model, users, listed, outside)
        sample = (self.shared_draw(users.device), self.rest_size(outside)) if self.draws else None
        scores, _ = model.scores_of(users, listed.clamp(min=0), factors=factors)
        return scores, fused_rest_logsumexp(factors[0], factors[1], outside, first_item=1, sample=sample)

    def without_factors(
        self, model: Any, users: Tensor, listed: Tensor, outside: Tensor, size: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same for any student.

        Args:
            model: the student.
            users: int64 [B].
            listed: int64 [B, L].
            outside: items outside rest_u, int64 [B, H].
            size: number of items in rest_u, int64 [B]; counted if None.
        """
        taught = listed.clamp(min=0)
        if not self.draws:
            scores = model.all_scores(users)  # [B, I]
            return scores.gather(1, taught), rest_logsumexp(scores, exclusion(len(users), self.n_items, outside))
        size = self.rest_size(outside) if size is None else size
        if self.shared:
            drawn = self.shared_draw(outside.device)
            scores, sample = model.scores_of(users, taught, drawn)
            return scores, shared_rest_logsumexp(sample, drawn, outside, size, self.n_items)
        drawn = sample_rest(outside, self.n_items, self.draws, self.generator, first_item=1)
        scores, _ = model.scores_of(users, torch.cat((taught, drawn), dim=1))
        return scores[:, : taught.shape[1]], sampled_rest_logsumexp(scores[:, taught.shape[1] :], size)

    def rest_size(self, outside: Tensor) -> Tensor:
        """Number of items in rest_u, [B]."""
        return rest_size(outside, self.n_items, first_item=1)

    def shared_draw(self, device: torch.device) -> Tensor:
        """Items drawn for a whole batch, int64 [S]."""
        return draw_items(self.n_items, self.draws, self.generator, first_item=1).to(device)


class ListwiseObjective:
    """Coarse and fine losses of a batch of users against their taught lists.

    Args:
        lists: the taught lists.
        settings: weights and ``rest_sample_num``.
        n_items: I, with the padding item.
        generator: source of the draws of ``rest_sample_num``.
        own: the students' own lists; None: they are not taught.
    """

    def __init__(
        self,
        lists: TaughtLists,
        settings: HetCompSettings,
        n_items: int,
        generator: torch.Generator,
        own: OwnLists | None = None,
    ) -> None:
        self.lists, self.own = lists, own
        self.how = settings.coarse_weight, settings.fine_weight
        self.fine: dict[str, Any] = {"behind_observed": settings.behind_observed, "place_decay": settings.place_decay}
        self.n_items = n_items
        self.scorer = ListScorer(settings, n_items, generator)

    def __call__(self, model: Any, users: Tensor, fine: Tensor) -> Tensor:
        """Weighted loss, summed over users.

        Args:
            model: a :class:`~recbole_hetcomp.student.model.DistilledStudent`.
            users: int64 [B].
            fine: True for users in the fine stage, bool [B].

        Returns:
            Scalar.
        """
        batch, factors = _Batch(users, self.lists, fine), model.factors(users)
        total = self._order(model, batch, factors)
        if self.own is None or self.own.lists is None:
            return total
        return total + self.how[1] * self.own.loss(model, users, batch.unobserved, fine, factors)

    def _order(self, model: Any, batch: _Batch, factors: tuple[Tensor, Tensor] | None) -> Tensor:
        """The coarse and the fine loss."""
        scorer, users, fine = self.scorer, batch.users, batch.fine
        size = batch.rest_size(self.n_items) if scorer.draws else None
        if factors is None or (scorer.draws and not scorer.shared):
            scores, rest = scorer.without_factors(model, users, batch.taught, batch.outside, size)
            valid, n_observed = batch.taught != PAD, batch.observed.shape[1]
            return weighted_loss(scores, rest, valid, n_observed, fine, *self.how, **self.fine)
        return fused_listwise_loss(
            factors[0],
            factors[1],
            batch.observed,
            batch.unobserved,
            batch.history,
            fine,
            *self.how,
            first_item=1,
            sample=None if size is None else (scorer.shared_draw(users.device), size),
            **self.fine,
        )


class _Batch:
    """What is known of a batch's users; item ids are int64, ``PAD`` behind the last."""

    def __init__(self, users: Tensor, lists: TaughtLists, fine: Tensor) -> None:
        self.users = users  # [B]
        self.fine = fine  # [B]
        self.observed = lists.observed[users].long()  # [B, K/10]
        self.unobserved = lists.unobserved[users].long()  # [B, K]
        self.history = lists.history.padded(users)  # [B, H]
        if lists.observed_knowledge == "joint":  # some of the history is taught among the unobserved
            self.history = self.history.masked_fill(ranks_in(self.unobserved, self.history, PAD) != PAD, PAD)

    @cached_property
    def taught(self) -> Tensor:
        """Taught items, observed ones first, [B, K/10 + K]."""
        return torch.cat((self.observed, self.unobserved), dim=1)

    def rest_size(self, n_items: int) -> Tensor:
        """Number of items in rest_u; history and taught items do not overlap, [B]."""
        return n_items - 1 - (self.outside != PAD).sum(dim=1)

    @property
    def outside(self) -> Tensor:
        """Items outside rest_u, each once, [B, H + K]."""
        return torch.cat((self.history, self.unobserved), dim=1)
