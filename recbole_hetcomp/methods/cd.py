"""Collaborative Distillation: soft targets of the taught items, weighted with or drawn by their probability."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.sampling import importance
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer


@settings_group
class CDSettings(Settings):
    """Settings of CD."""

    kd_weight: float = setting(3.0, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    target_temperature: float = setting(50.0, "Temperature of the soft target exp(-r / T), in ranks.", above=0)
    sample_temperature: float = setting(50.0, "Temperature of the sampling probability, in ranks.", above=0)
    item_sample_num: int = setting(
        0, "Items drawn of each list and step; 0: all, weighted with their probability.", at_least=0
    )


def soft_cross_entropy(scores: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    r"""CD's loss.

    .. math:: L = -\sum_i w_i [ q_i \log \sigma(f_i) + (1 - q_i) \log(1 - \sigma(f_i)) ]

    Source: Collaborative Distillation for Top-N Recommendation (ICDM 2019), the distillation term.

    Args:
        scores: student scores of the items, shape [B, L].
        targets: q, the teacher's soft targets in [0, 1], shape [B, L].
        weights: of the items, 0 at padded places, shape [B, L].

    Returns:
        Loss per user, shape [B]. The caller reduces.

    >>> import torch
    >>> soft_cross_entropy(torch.zeros(1, 2), torch.tensor([[0.3, 0.0]]), torch.tensor([[1.0, 0.0]]))   # log 2
    tensor([0.6931])
    """
    return (weights * binary_cross_entropy_with_logits(scores, targets, reduction="none")).sum(dim=1)


@distillation_method(CDSettings, training={**TRAINING, "K": 200})
class CDTrainer(ConsensusTrainer):
    r"""*Collaborative Distillation for Top-N Recommendation* (Lee et al., ICDM 2019).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \sum_i
              w_i [ q_i \log \sigma(f_i) + (1 - q_i) \log(1 - \sigma(f_i)) ]

    Choices: the soft target is q_i = exp(-r_i / ``target_temperature``), as the teacher is a ranking and has no score;
    items are weighted with their sampling probability, in proportion to exp(-r_i / ``sample_temperature``), instead of
    being drawn by it (``item_sample_num: 0``), because sampling among the top items hurts; the paper's student-guided
    draws are not offered.
    """

    def user_losses(self, users: Tensor) -> Tensor:
        lists, method = self.taught_lists(users), self.method
        rank = torch.arange(lists.shape[1], device=lists.device).expand(lists.shape)
        targets = importance(rank, lists != PAD, method.target_temperature)  # [B, K]
        weights = importance(rank, lists != PAD, method.sample_temperature)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        if method.item_sample_num:
            weights = self._drawn(weights, method.item_sample_num)
        scores = self.scores(users, lists)
        return soft_cross_entropy(scores, targets.to(scores.dtype), weights.to(scores.dtype))

    def _drawn(self, weights: Tensor, number: int) -> Tensor:
        """How often each item is drawn in ``number`` draws with replacement, over ``number``, [B, K]."""
        draws = self.generator
        uniform = torch.rand(len(weights), number, generator=draws, device=draws.device).to(weights.device)
        place = torch.searchsorted(weights.cumsum(dim=1), uniform, right=True).clamp(max=weights.shape[1] - 1)
        counts = torch.zeros_like(weights).scatter_add_(1, place, torch.ones_like(uniform))
        return (counts / number).masked_fill(weights == 0, 0.0)
