"""Ranking Distillation: the taught items as weighted positives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recbole_hetcomp.core import PAD, draw_items
from recbole_hetcomp.core.sampling import importance
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer


@settings_group
class RDSettings(Settings):
    """Settings of RD."""

    kd_weight: float = setting(1.0, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    position_temperature: float = setting(10.0, "Temperature of the position weight, in ranks.", above=0)
    discrepancy_scale: float = setting(0.1, "mu of the discrepancy weight tanh(max(mu (rank_S - k), 0)).", above=0)
    warmup_epochs: int = setting(10, "Epochs with the position weight alone.", at_least=0)
    rank_sample_num: int = setting(256, "Items drawn for a batch to estimate the student's ranks.", at_least=1)


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

    >>> settings = RDSettings(position_temperature=10.0, discrepancy_scale=0.1, warmup_epochs=0, rank_sample_num=1)
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


@distillation_method(RDSettings, training={**TRAINING, "K": 100})
class RDTrainer(ConsensusTrainer):
    r"""*Ranking Distillation: Learning Compact Ranking Models With High Performance* (Tang & Wang, KDD 2018).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \sum_{k<K} w_k \log \sigma(f(u, \pi_k)), \quad
              w_k \propto e^{-k/T} \tanh(\max(\mu(\hat r_k - k), 0))

    Choices: the position weight is the paper's exponential; the student's rank is estimated from
    ``rank_sample_num`` items drawn once for a batch (the paper leaves the number open) and counts all items, the
    observed ones too; before ``warmup_epochs`` the position weight stands alone; the weights of a user
    sum to 1.
    """

    def before_epoch(self, epoch: int) -> None:
        self.warm = epoch >= self.method.warmup_epochs

    def user_losses(self, users: Tensor) -> Tensor:
        lists, n_items = self.taught_lists(users), self.scorer.n_items
        drawn = None
        if self.warm:
            drawn = draw_items(n_items, self.method.rank_sample_num, self.generator, first_item=1).to(users.device)
        listed, sample = self.model.scores_of(users, lists.clamp(min=0), drawn)
        sample = sample.detach() if self.warm else None
        weights = ranking_weights(listed.detach(), lists != PAD, sample, n_items - 1, self.method)
        return weighted_log_loss(listed, weights)
