"""CD, Collaborative Distillation: the student matches soft targets of items that the teacher ranks high."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from recbole_hetcomp.core.draws import above_zero, at_least


@dataclass(frozen=True)
class CDSettings:
    """Settings of CD.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.
        target_temperature: T of the soft target exp(-r / T) of the item of rank r.
        sample_temperature: T of the sampling probability, in proportion to exp(-r / T).
        item_sample_num: items drawn of each list and step; 0: all, weighted with their probability (the mean loss).

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float
    target_temperature: float
    sample_temperature: float
    item_sample_num: int

    def __post_init__(self) -> None:
        """Check every value."""
        at_least("kd_weight", self.kd_weight, 0)
        above_zero("target_temperature", self.target_temperature)
        above_zero("sample_temperature", self.sample_temperature)
        at_least("item_sample_num", self.item_sample_num, 0)


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
