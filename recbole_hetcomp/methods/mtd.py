"""MTD's trainer: every teacher's final list, weighted by a gate over the student's user embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core import lists_at
from recbole_hetcomp.methods._losses import UnionOfLists, gated_ranking_loss
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


class MTDTrainer(ConsensusTrainer):
    """Gated sum of L_rank over the teachers' own lists (:class:`recbole_hetcomp.methods._students.mtd.MTD`)."""

    def _begin(self, knowledge: Knowledge) -> None:
        super()._begin(knowledge)
        self.final = [(lists, lists.shape[0] - 1) for lists in knowledge.trajectories]

    def _distil(self, users: Tensor) -> Tensor:
        union = UnionOfLists.of(self._lists_of_teachers(users))
        scores, rest = self._scored_lists(users, union.items)
        return gated_ranking_loss(scores, union, rest, self.model.gate(users), self.method.gate_entropy)

    def _lists_of_teachers(self, users: Tensor) -> Tensor:
        """π(m, final, u), shorter lists padded, int64 [B, M, K']."""
        length = min(self.settings.K, max(lists.shape[2] for lists, _ in self.final))
        rows = []
        for lists, last in self.final:
            rows.append(lists_at(lists, torch.full_like(users, last), users, length).long())
        return torch.stack([torch.nn.functional.pad(row, (0, length - row.shape[1]), value=-1) for row in rows], dim=1)
