"""UnKD's trainer: pairs of taught items of the same popularity group."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.baselines import PopularityGroups, pair_loss, popularity_groups
from recbole_hetcomp.trainer.material import Material
from recbole_hetcomp.trainer.methods.taught import TaughtTrainer


class UnKDTrainer(TaughtTrainer):
    """Pairwise distillation inside popularity groups (:class:`recbole_hetcomp.model.student.unkd.UnKD`)."""

    def _begin(self, material: Material) -> None:
        super()._begin(material)
        number = self.method.group_num
        group = popularity_groups(material.data.item_counts, number).to(self.device)
        self.groups = PopularityGroups.of(self.lists.unobserved, group, number)

    def _distil(self, users: Tensor) -> Tensor:
        positive, negative = self.groups.at(users).pairs(self.method, self.generator)
        better, worse = self._scores(users, torch.cat((positive, negative), dim=1)).chunk(2, dim=1)
        return pair_loss(better, worse, positive != PAD)
