"""CL-DRD: the taught list in coarse groups at first, split finer in stages on a fixed schedule."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.losses import log_of_zero
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


@settings_group
class CLDRDSettings(Settings):
    """Settings of CL-DRD."""

    kd_weight: float = setting(0.1, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    stage_groups: tuple[int, ...] = setting(
        (1, 5, 20, 200), "Groups into which the list is cut in each stage, coarse to fine."
    )
    stage_epochs: int = setting(5, "Epochs of every stage but the last.", at_least=1)

    def check(self) -> None:
        """Refuse stages that do not become finer."""
        groups = self.stage_groups
        if not groups or groups[0] < 1 or any(later <= earlier for earlier, later in zip(groups, groups[1:])):
            raise ValueError(
                f"stage_groups={list(groups)} is not allowed: whole numbers from 1 on, each above the last"
            )

    def stage_at(self, epoch: int) -> int:
        """The stage of an epoch, from 0.

        >>> CLDRDSettings(stage_groups=(1, 5, 100), stage_epochs=10).stage_at(25)
        2
        """
        return min(epoch // self.stage_epochs, len(self.stage_groups) - 1)


def group_ends(length: int, n_groups: int) -> list[int]:
    """Where each place's group ends in a list that is cut into groups of as equal a size as can be.

    >>> group_ends(5, 2)
    [3, 3, 3, 5, 5]
    """
    n_groups = min(n_groups, length)
    short, longer = divmod(length, max(1, n_groups))
    sizes = [short + 1] * longer + [short] * (n_groups - longer)
    ends, position = [], 0
    for size in sizes:
        position += size
        ends += [position] * size
    return ends


def grouped_ranking_loss(ranked: Tensor, rest: Tensor, valid: Tensor, n_groups: int) -> Tensor:
    r"""Likelihood of an order of groups: each item against all that stands in later groups or behind the list.

    .. math:: L = -\sum_k \Bigl( f_k - \log( e^{f_k} + \sum_{j:\, g(j) > g(k)} e^{f_j} + e^R ) \Bigr)

    With one group it is L_overall of method section 5, with groups of one item L_rank.
    Source: the stages of Curriculum Learning for Dense Retrieval Distillation (SIGIR 2022), with the
    listwise loss of method section 5 for theirs.

    Args:
        ranked: student scores of the list, best first, shape [B, K].
        rest: R, log mass of the items behind the list, shape [B]; -inf for none.
        valid: False at padded places, which are at the end, bool, shape [B, K].
        n_groups: number of groups.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> everywhere = torch.ones(1, 2, dtype=torch.bool)
    >>> grouped_ranking_loss(torch.zeros(1, 2), torch.zeros(1), everywhere, n_groups=1)   # 2 log 2
    tensor([1.3863])
    >>> grouped_ranking_loss(torch.zeros(1, 2), torch.zeros(1), everywhere, n_groups=2)   # log 3 + log 2
    tensor([1.7918])
    """
    if ranked.shape[1] == 0:
        return ranked.sum(dim=1)
    lowest = log_of_zero(ranked.dtype)
    listed = ranked.masked_fill(~valid, lowest)  # [B, K]
    behind = torch.cat((listed, rest.clamp(min=lowest)[:, None]), dim=1)  # [B, K + 1]
    tail = behind.flip(1).logcumsumexp(dim=1).flip(1)  # [B, K + 1]
    later = tail[:, group_ends(ranked.shape[1], n_groups)]  # [B, K]
    return softplus(later - listed.masked_fill(~valid, 0.0)).masked_fill(~valid, 0.0).sum(dim=1)


@distillation_method(CLDRDSettings, training=TRAINING)
class CLDRDTrainer(ConsensusTrainer):
    r"""*Curriculum Learning for Dense Retrieval Distillation* (Zeng et al., SIGIR 2022).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \sum_k
              \Bigl( f_k - \log( e^{f_k} + \sum_{j:\, g(j) > g(k)} e^{f_j} + e^{R_u} ) \Bigr)

    where g is the group of a place in the taught list, and the rest stands behind the last group.

    Choices: the paper's stages have three groups whose sizes it sets for documents; here stage s cuts the
    list into ``stage_groups[s]`` groups of equal size, the last one into single items, where the loss is RRD's; a stage
    lasts ``stage_epochs`` for everyone. The paper's LambdaRank-like loss is replaced by the listwise one that all
    methods share. Early stopping counts only in the last stage.
    """

    def begin(self, knowledge: Knowledge) -> None:
        super().begin(knowledge)
        self.stage = 0

    def before_epoch(self, epoch: int) -> None:
        self.stage = self.method.stage_at(epoch)
        self._note(epoch, stage=self.stage)

    def user_losses(self, users: Tensor) -> Tensor:
        lists = self.taught_lists(users)
        return grouped_ranking_loss(*self.scored_lists(users, lists), lists != PAD, self._groups())

    def _groups(self) -> int:
        return self.method.stage_groups[self.stage]

    def may_stop(self) -> bool:
        return self.stage == len(self.method.stage_groups) - 1

    def stage_name(self) -> str:
        return f"{self._groups()} groups"
