"""UnKD's trainer: pairs of taught items of the same popularity group."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.methods._losses import PopularityGroups, pair_loss, popularity_groups
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


class UnKDTrainer(ConsensusTrainer):
    """Pairwise distillation inside popularity groups (:class:`recbole_hetcomp.methods._students.unkd.UnKD`)."""

    def _begin(self, knowledge: Knowledge) -> None:
        super()._begin(knowledge)
        number = self.method.group_num
        group = popularity_groups(knowledge.data.item_counts, number).to(self.device)
        self.groups = PopularityGroups.of(self.lists.unobserved, group, number)

    def _distil(self, users: Tensor) -> Tensor:
        positive, negative = self.groups.at(users).pairs(self.method, self.generator)
        better, worse = self._scores(users, torch.cat((positive, negative), dim=1)).chunk(2, dim=1)
        return pair_loss(better, worse, positive != PAD)
