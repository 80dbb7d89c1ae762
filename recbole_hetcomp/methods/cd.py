"""CD's trainer: soft targets of the taught items, weighted with their sampling probability or drawn by it."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.draws import importance
from recbole_hetcomp.methods._losses import soft_cross_entropy
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer


class CDTrainer(ConsensusTrainer):
    """Soft-target cross-entropy on rank-sampled items (:class:`recbole_hetcomp.methods._students.cd.CD`)."""

    def _distil(self, users: Tensor) -> Tensor:
        lists, method = self._taught(users), self.method
        rank = torch.arange(lists.shape[1], device=lists.device).expand(lists.shape)
        targets = importance(rank, lists != PAD, method.target_temperature)  # [B, K]
        weights = importance(rank, lists != PAD, method.sample_temperature)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        if method.item_sample_num:
            weights = self._drawn(weights, method.item_sample_num)
        scores = self._scores(users, lists)
        return soft_cross_entropy(scores, targets.to(scores.dtype), weights.to(scores.dtype))

    def _drawn(self, weights: Tensor, number: int) -> Tensor:
        """How often each item is drawn in ``number`` draws with replacement, over ``number``, [B, K]."""
        uniform = torch.rand(len(weights), number, generator=self.generator).to(weights.device)
        place = torch.searchsorted(weights.cumsum(dim=1), uniform, right=True).clamp(max=weights.shape[1] - 1)
        counts = torch.zeros_like(weights).scatter_add_(1, place, torch.ones_like(uniform))
        return (counts / number).masked_fill(weights == 0, 0.0)
