"""RD and RRD: the teacher's top list as weighted positives, or as a ranking above everything else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recbole_hetcomp.core.draws import above_zero, at_least, importance


@dataclass(frozen=True)
class RRDSettings:
    """Settings of RRD, Relaxed Ranking Distillation.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float

    def __post_init__(self) -> None:
        """Check every value."""
        at_least("kd_weight", self.kd_weight, 0)


@dataclass(frozen=True)
class RDSettings:
    """Settings of RD, Ranking Distillation.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.
        position_temperature: λ of the paper's position weight exp(-k / λ), in ranks.
        discrepancy_scale: μ of its discrepancy weight tanh(max(μ (rank_S - k), 0)).
        warmup_epochs: epochs with the position weight alone, before the student's ranks mean anything.
        rank_sample_num: items drawn for a batch to estimate the student's ranks.

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float
    position_temperature: float
    discrepancy_scale: float
    warmup_epochs: int
    rank_sample_num: int

    def __post_init__(self) -> None:
        """Check every value."""
        at_least("kd_weight", self.kd_weight, 0)
        above_zero("position_temperature", self.position_temperature)
        above_zero("discrepancy_scale", self.discrepancy_scale)
        at_least("warmup_epochs", self.warmup_epochs, 0)
        at_least("rank_sample_num", self.rank_sample_num, 1)


def ranking_weights(listed: Tensor, valid: Tensor, sample: Tensor | None, n_items: int, settings: RDSettings) -> Tensor:
    r"""RD's weights of the items of the teacher's list: position importance times ranking discrepancy, of sum 1.

    .. math:: w_k \propto e^{-k/\lambda} \cdot \tanh(\max(\mu (\hat r_k - k), 0)), \quad
              \hat r_k = \lfloor (I - 1) \, |\{j \in sample: f_j > f_k\}| / |sample| \rfloor

    Source: Ranking Distillation (KDD 2018), sections 4.2.1 to 4.2.3.

    Args:
        listed: student scores of the teacher's list, best first, shape [B, K]; no gradient is needed.
        valid: False at padded places, bool, shape [B, K].
        sample: student scores of items drawn uniformly, shape [B, S]; None: the position weight alone.
        n_items: I.
        settings: temperature and scale.

    Returns:
        Shape [B, K]; rows of zeros where no weight is left, because the student ranks all as high as the teacher.

    >>> settings = RDSettings(1.0, position_temperature=10.0, discrepancy_scale=0.1, warmup_epochs=0, rank_sample_num=1)
    >>> ranking_weights(torch.zeros(1, 2), torch.tensor([[True, False]]), None, 9, settings)
    tensor([[1., 0.]])
    """
    position = torch.arange(listed.shape[1], device=listed.device).expand(listed.shape)
    weights = importance(position, valid, settings.position_temperature).to(listed.dtype)  # [B, K]
    if sample is not None:
        ordered = sample.sort(dim=1)[0]  # [B, S]
        above = sample.shape[1] - torch.searchsorted(ordered, listed.contiguous(), right=True)
        rank = ((n_items - 1) * above) // sample.shape[1]
        weights = weights * torch.tanh((settings.discrepancy_scale * (rank - position)).clamp(min=0))
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


def weighted_log_loss(listed: Tensor, weights: Tensor) -> Tensor:
    r"""RD's loss: the items of the teacher's list as positives.

    .. math:: L = -\sum_k w_k \log \sigma(f_k)

    Source: Ranking Distillation (KDD 2018).

    Args:
        listed: student scores of the teacher's list, shape [B, K].
        weights: of the list's items, 0 at padded places, shape [B, K].

    Returns:
        Loss per user, shape [B]. The caller reduces.

    >>> weighted_log_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))   # log 2
    tensor([0.6931])
    """
    return -(weights * logsigmoid(listed)).sum(dim=1)
