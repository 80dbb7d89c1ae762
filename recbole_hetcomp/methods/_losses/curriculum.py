"""CL-DRD: the teacher's list in coarse groups at first, split finer in stages on a fixed schedule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from recbole_hetcomp.core.draws import at_least, log_of_zero


@dataclass(frozen=True)
class CLDRDSettings:
    """Settings of CL-DRD.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.
        stage_groups: number of groups into which the list is cut in each stage, coarse to fine; a number of at least
            the list's length means one item each.
        stage_epochs: epochs of every stage but the last, which lasts to the end.

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float
    stage_groups: tuple[int, ...]
    stage_epochs: int

    def __post_init__(self) -> None:
        """Check every value."""
        at_least("kd_weight", self.kd_weight, 0)
        at_least("stage_epochs", self.stage_epochs, 1)
        groups = self.stage_groups
        if not groups or groups[0] < 1 or any(later <= earlier for earlier, later in zip(groups, groups[1:])):
            raise ValueError(
                f"stage_groups={list(groups)} is not allowed: whole numbers from 1 on, each above the last"
            )

    def stage_at(self, epoch: int) -> int:
        """The stage of an epoch, from 0.

        >>> CLDRDSettings(1.0, stage_groups=(1, 5, 100), stage_epochs=10).stage_at(25)
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
