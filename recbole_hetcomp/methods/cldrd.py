"""CL-DRD's trainer: the taught list in groups that are split finer on a fixed schedule."""

from __future__ import annotations

from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.methods._losses import grouped_ranking_loss
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


class CLDRDTrainer(ConsensusTrainer):
    """Ranking of groups, coarse to fine (:class:`recbole_hetcomp.methods._students.cldrd.CLDRD`).

    Early stopping counts only in the last stage.
    """

    def _begin(self, knowledge: Knowledge) -> None:
        super()._begin(knowledge)
        self.stage = 0

    def _before_epoch(self, epoch: int) -> None:
        self.stage = self.method.stage_at(epoch)
        self._note(epoch, stage=self.stage)

    def _distil(self, users: Tensor) -> Tensor:
        lists = self._taught(users)
        return grouped_ranking_loss(*self._scored_lists(users, lists), lists != PAD, self._groups())

    def _groups(self) -> int:
        return self.method.stage_groups[self.stage]

    def _may_stop(self) -> bool:
        return self.stage == len(self.method.stage_groups) - 1

    def _stage(self) -> str:
        return f"{self._groups()} groups"
