"""The listwise objective of a batch of users: taught lists, rest term and losses put together (method.md §5, §6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.config import HetCompSettings
from recbole_hetcomp.core import (
    PAD,
    Ragged,
    draw_items,
    fused_listwise_loss,
    rest_logsumexp,
    sample_rest,
    sampled_rest_logsumexp,
    shared_rest_logsumexp,
    taught_observed,
    taught_unobserved,
    weighted_loss,
)
from recbole_hetcomp.core.rankings import user_blocks
from recbole_hetcomp.interactions import Interactions
from recbole_hetcomp.trainer.recording import exclusion


class TaughtLists:
    """π⁺ and π⁻ of every user, rebuilt only for users whose snapshots changed.

    Attributes:
        unobserved: π⁻, int32 [U, K].
        observed: π⁺, int32 [U, K/10].
    """

    def __init__(
        self,
        data: Interactions,
        trajectories: Sequence[Tensor],
        observed_ranks: Sequence[Tensor],
        settings: HetCompSettings,
        device: torch.device,
    ) -> None:
        self.history = Ragged(data.observed.offsets.to(device), data.observed.values.to(device))
        self.trajectories = trajectories
        self.observed_ranks = observed_ranks
        self.settings = settings
        self.unobserved = torch.full((data.n_users, settings.K), PAD, dtype=torch.int32, device=device)
        self.observed = torch.full((data.n_users, settings.K_observed), PAD, dtype=torch.int32, device=device)

    def rebuild(self, users: Tensor, v: Tensor) -> None:
        """Build the lists of some users from the snapshots that ``v`` selects.

        Args:
            users: int64 [B].
            v: snapshots, int64 [U, M].
        """
        settings = self.settings
        how = settings.consensus, settings.block_elements
        for rows in user_blocks(len(users), settings.K, settings.block_elements):
            block, selected = users[rows], v[users[rows]]
            items, _ = taught_unobserved(self.trajectories, selected, block, settings.K, *how)
            self.unobserved[block] = items.int()
            observed = taught_observed(self.history, self.observed_ranks, selected, block, settings.K_observed, *how)
            self.observed[block] = observed.int()


class ListwiseObjective:
    """Coarse and fine losses of a batch of users against their taught lists.

    Args:
        lists: the taught lists.
        settings: weights and ``rest_sample_num``.
        n_items: I, with the padding item.
        generator: source of the draws of ``rest_sample_num``.
    """

    def __init__(self, lists: TaughtLists, settings: HetCompSettings, n_items: int, generator: torch.Generator) -> None:
        self.lists = lists
        self.settings = settings
        self.n_items = n_items
        self.draws = settings.draws(n_items - 1)
        self.generator = generator

    def __call__(self, model: Any, users: Tensor, fine: Tensor) -> Tensor:
        """Weighted loss, summed over users.

        Args:
            model: a :class:`~recbole_hetcomp.model.student.base.DistilledStudent`.
            users: int64 [B].
            fine: True for users in the fine stage, bool [B].

        Returns:
            Scalar.
        """
        batch = _Batch(users, self.lists, fine)
        factors = model.factors(users)
        if self.draws and (factors is None or not self.settings.rest_sample_shared):
            return self._weighted(batch, *self._sampled(model, batch))
        if factors is None:
            return self._weighted(batch, *self._plain(model, batch))
        return fused_listwise_loss(
            factors[0],
            factors[1],
            batch.observed,
            batch.unobserved,
            batch.history,
            fine,
            self.settings.coarse_weight,
            self.settings.fine_weight,
            first_item=1,
            sample=(self._shared_draw(users.device), batch.rest_size(self.n_items)) if self.draws else None,
        )

    def _shared_draw(self, device: torch.device) -> Tensor:
        return draw_items(self.n_items, self.draws, self.generator, first_item=1).to(device)

    def _weighted(self, batch: _Batch, scores: Tensor, rest: Tensor) -> Tensor:
        weights = self.settings.coarse_weight, self.settings.fine_weight
        return weighted_loss(scores, rest, batch.taught != PAD, batch.observed.shape[1], batch.fine, *weights)

    def _plain(self, model: Any, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Scores of the taught items [B, K/10 + K] and R_u [B], from all items."""
        scores = model.all_scores(batch.users)  # [B, I]
        excluded = exclusion(len(batch.users), self.n_items, batch.history, batch.unobserved)
        return scores.gather(1, batch.taught.clamp(min=0)), rest_logsumexp(scores, excluded)

    def _sampled(self, model: Any, batch: _Batch) -> tuple[Tensor, Tensor]:
        """The same with R_u estimated from S draws, for each user or for the whole batch."""
        outside, taught = batch.outside, batch.taught.clamp(min=0)
        size = batch.rest_size(self.n_items)
        if self.settings.rest_sample_shared:
            drawn = self._shared_draw(outside.device)
            scores, sample = model.scores_of(batch.users, taught, drawn)
            return scores, shared_rest_logsumexp(sample, drawn, outside, size, self.n_items)
        drawn = sample_rest(outside, self.n_items, self.draws, self.generator, first_item=1)
        scores, _ = model.scores_of(batch.users, torch.cat((taught, drawn), dim=1))
        return scores[:, : taught.shape[1]], sampled_rest_logsumexp(scores[:, taught.shape[1] :], size)


class _Batch:
    """What is known of a batch's users; item ids are int64, ``PAD`` behind the last."""

    def __init__(self, users: Tensor, lists: TaughtLists, fine: Tensor) -> None:
        self.users = users  # [B]
        self.fine = fine  # [B]
        self.observed = lists.observed[users].long()  # [B, K/10]
        self.unobserved = lists.unobserved[users].long()  # [B, K]
        self.history = lists.history.padded(users)  # [B, H]

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
