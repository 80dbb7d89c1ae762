"""The listwise objective of a batch of users: taught lists, rest term and losses put together (method.md §5, §6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.config import HetCompSettings
from recbole_hetcomp.core import (
    PAD,
    Ragged,
    coarse_loss,
    fine_loss,
    rest_logsumexp,
    rest_size,
    sample_rest,
    sampled_rest_logsumexp,
    taught_observed,
    taught_unobserved,
)
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
        trajectories: list[Tensor],
        observed_ranks: list[Tensor],
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
        consensus, selected = self.settings.consensus, v[users]
        items, _ = taught_unobserved(self.trajectories, selected, users, self.settings.K, consensus)
        self.unobserved[users] = items.int()
        observed = taught_observed(
            self.history, self.observed_ranks, selected, users, self.settings.K_observed, consensus
        )
        self.observed[users] = observed.int()


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
        observed, unobserved = self.lists.observed[users].long(), self.lists.unobserved[users].long()
        score = self._sampled if self.settings.rest_sample_num else self._exact
        scores, rest = score(model, users, observed, unobserved)
        split = observed.shape[1]
        terms = (scores[:, :split], scores[:, split:], rest, observed != PAD, unobserved != PAD)
        coarse = ~fine
        total = scores.new_zeros(())
        if bool(coarse.any()):
            total = total + self.settings.coarse_weight * coarse_loss(*(term[coarse] for term in terms)).sum()
        if bool(fine.any()):
            total = total + self.settings.fine_weight * fine_loss(*(term[fine] for term in terms)).sum()
        return total

    def _exact(self, model: Any, users: Tensor, observed: Tensor, unobserved: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the taught items [B, K/10 + K] and R_u [B], from all items."""
        scores = model.all_scores(users)  # [B, I]
        excluded = exclusion(len(users), self.n_items, self.lists.history.padded(users), unobserved)
        taught = torch.cat([observed, unobserved], dim=1).clamp(min=0)
        return scores.gather(1, taught), rest_logsumexp(scores, excluded)

    def _sampled(self, model: Any, users: Tensor, observed: Tensor, unobserved: Tensor) -> tuple[Tensor, Tensor]:
        """The same with R_u estimated from ``rest_sample_num`` draws."""
        outside = torch.cat([self.lists.history.padded(users), unobserved], dim=1)
        drawn = sample_rest(outside, self.n_items, self.settings.rest_sample_num, self.generator, first_item=1)
        items = torch.cat([observed.clamp(min=0), unobserved.clamp(min=0), drawn], dim=1)
        scores = model.scores_of(users, items)
        taught = observed.shape[1] + unobserved.shape[1]
        size = rest_size(outside, self.n_items, first_item=1)
        return scores[:, :taught], sampled_rest_logsumexp(scores[:, taught:], size)
