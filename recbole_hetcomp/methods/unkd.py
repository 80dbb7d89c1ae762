"""Unbiased Knowledge Distillation: pairs of taught items of the same popularity, in the teacher's order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recbole_hetcomp.core.rankings import PAD
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


@settings_group
class UnKDSettings(Settings):
    """Settings of UnKD."""

    kd_weight: float = setting(0.1, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    group_num: int = setting(4, "Popularity groups, each with an equal part of the interactions.", at_least=1)
    pair_num: int = setting(30, "Pairs drawn of each user and step.", at_least=1)
    pair_temperature: float = setting(
        20.0, "mu of the probability exp(-rank / mu) of an item within its group, in ranks.", above=0
    )


def popularity_groups(item_counts: Tensor, group_num: int) -> Tensor:
    """The popularity group of each item, 0 for the most popular.

    Items in descending order of popularity, ties to the smaller id, are cut where a group's part of all interactions
    is full.
    Source: Unbiased Knowledge Distillation for Recommendation (WSDM 2023).

    Args:
        item_counts: training interactions of each item, int64, shape [I].
        group_num: number of groups.

    Returns:
        int64, shape [I].

    >>> popularity_groups(torch.tensor([1, 4, 2, 1]), group_num=2)
    tensor([1, 0, 1, 1])
    """
    order = torch.sort(item_counts, descending=True, stable=True)[1]
    counts = item_counts[order]
    before = counts.cumsum(0) - counts
    total = max(1, int(counts.sum()))
    group = torch.empty_like(order)
    group[order] = (before * group_num // total).clamp(max=group_num - 1)
    return group


@dataclass(frozen=True)
class PopularityGroups:
    """Users' lists with the items of each popularity group together, in the teacher's order.

    Attributes:
        items: item ids, group after group, ``PAD`` behind, integer, shape [U, K].
        counts: items of each group, int64, shape [U, G].
    """

    items: Tensor
    counts: Tensor

    @staticmethod
    def of(lists: Tensor, group: Tensor, group_num: int) -> PopularityGroups:
        """Sort lists, best first, shape [U, K], by their items' group, shape [I].

        >>> PopularityGroups.of(torch.tensor([[2, 0, 1]]), torch.tensor([1, 0, 0]), group_num=2)
        PopularityGroups(items=tensor([[2, 1, 0]]), counts=tensor([[2, 1]]))
        """
        key = group[lists.long().clamp(min=0)].masked_fill(lists == PAD, group_num)  # [U, K]
        order = key.sort(dim=1, stable=True)[1]
        counts = torch.zeros(len(lists), group_num + 1, dtype=torch.int64, device=lists.device)
        counts.scatter_add_(1, key, torch.ones_like(key))
        return PopularityGroups(lists.gather(1, order), counts[:, :group_num])

    def at(self, users: Tensor) -> PopularityGroups:
        """Those of some users."""
        return PopularityGroups(self.items[users], self.counts[users])

    def pairs(self, settings: UnKDSettings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw pairs within groups: the group uniformly from those with two items or more, the items by their rank.

        Two items are drawn independently, and the one that the teacher ranks higher is the positive one.

        Args:
            settings: number of pairs and temperature.
            generator: source of randomness; may live on another device.

        Returns:
            Positive and negative items, int64, shape [U, pair_num] each; ``PAD`` where an item was drawn twice or a
            user has no such group.
        """
        n_users, device = len(self.items), self.items.device
        draws = torch.rand(3, n_users, settings.pair_num, generator=generator, device=generator.device).to(device)
        open_groups = self.counts >= 2  # [U, G]
        n_open = open_groups.sum(dim=1, keepdim=True)  # [U, 1]
        wanted = (draws[0] * n_open).long().clamp(max=(n_open - 1).clamp(min=0))  # [U, P]
        number = open_groups.long().cumsum(dim=1)  # [U, G]
        group = torch.searchsorted(number, wanted + 1).clamp(max=number.shape[1] - 1)  # [U, P]
        size = self.counts.gather(1, group)
        start = (self.counts.cumsum(dim=1) - self.counts).gather(1, group)
        first, second = (_rank_drawn(draw, size, settings.pair_temperature) for draw in draws[1:])
        dropped = (first == second) | (n_open == 0)
        last = max(0, self.items.shape[1] - 1)
        better, worse = (
            self.items.gather(1, (start + rank).clamp(max=last)).long().masked_fill(dropped, PAD)
            for rank in (torch.minimum(first, second), torch.maximum(first, second))
        )
        return better, worse


def _rank_drawn(uniform: Tensor, size: Tensor, temperature: float) -> Tensor:
    """Ranks below ``size`` with probability in proportion to exp(-rank / temperature), from uniform draws.

    >>> _rank_drawn(torch.tensor([0.0, 0.9999]), torch.tensor([3, 3]), temperature=1.0)
    tensor([0, 2])
    """
    mass = -torch.expm1(-size.to(uniform.dtype) / temperature)
    rank = (-temperature * torch.log1p(-uniform * mass)).floor().long()
    return torch.minimum(rank, (size - 1).clamp(min=0))


def pair_loss(positive: Tensor, negative: Tensor, valid: Tensor) -> Tensor:
    r"""UnKD's loss: the mean over the pairs of a user.

    .. math:: L = -\frac1n \sum_{(i, j)} \log \sigma(f_i - f_j)

    Source: Unbiased Knowledge Distillation for Recommendation (WSDM 2023), equation of L_G.

    Args:
        positive: student scores of the items that the teacher ranks higher, shape [B, P].
        negative: student scores of the others, shape [B, P].
        valid: False for pairs that do not count, bool, shape [B, P].

    Returns:
        Loss per user, shape [B]; 0 for a user without pairs. The caller reduces.

    >>> pair_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([[True, False]]))   # log 2
    tensor([0.6931])
    """
    losses = -logsigmoid(positive - negative).masked_fill(~valid, 0.0)
    return losses.sum(dim=1) / valid.sum(dim=1).clamp(min=1)


@distillation_method(UnKDSettings, training={**TRAINING, "user_batch_size": 128})
class UnKDTrainer(ConsensusTrainer):
    r"""*Unbiased Knowledge Distillation for Recommendation* (Chen et al., WSDM 2023).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \frac1n \sum_{(i, j)} \log \sigma(f_i - f_j)

    over pairs (i, j) of one popularity group, i ranked above j by the teacher.

    Choices: groups have equal parts of all interactions; both items of a pair are drawn from the group's
    taught items in proportion to exp(-rank / ``pair_temperature``), the rank within the group, and a pair of one item
    drawn twice does not count; the pair's group is drawn uniformly from those of which the user is taught two items or
    more; pairs are drawn anew in each step.
    """

    def begin(self, knowledge: Knowledge) -> None:
        super().begin(knowledge)
        number = self.method.group_num
        group = popularity_groups(knowledge.data.item_counts, number).to(self.device)
        self.groups = PopularityGroups.of(self.lists.unobserved, group, number)

    def user_losses(self, users: Tensor) -> Tensor:
        positive, negative = self.groups.at(users).pairs(self.method, self.generator)
        better, worse = self.scores(users, torch.cat((positive, negative), dim=1)).chunk(2, dim=1)
        return pair_loss(better, worse, positive != PAD)
