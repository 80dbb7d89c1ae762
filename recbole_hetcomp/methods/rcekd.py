"""RCE-KD's trainer: cross-entropies over the student's top items and over the others with a drawn closure."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.methods._losses import closure_sample, split_cross_entropy
from recbole_hetcomp.student.consensus_trainer import StudentGuidedTrainer


class RCEKDTrainer(StudentGuidedTrainer):
    """Two cross-entropies, adaptively combined (:class:`recbole_hetcomp.methods._students.rcekd.RCEKD`)."""

    @property
    def student_length(self) -> int:
        """Length of the student's lists."""
        return min(max(self.method.candidate_num, self.settings.K), self.scorer.n_items - 1)

    def _choose(self, student: Tensor) -> dict[str, Tensor]:
        drawn = [
            closure_sample(
                self.lists.unobserved[rows],
                student[rows, : self.method.candidate_num],
                self.method,
                self.generator,
            )
            for rows in self._blocks(self.student_length)
        ]
        return {"top": student[:, : self.settings.K].clone(), "closure": torch.cat(drawn).int()}

    def _distil(self, users: Tensor) -> Tensor:
        lists = self._taught(users)
        top, closure = self.chosen["top"][users].long(), self.chosen["closure"][users].long()
        scores = self._scores(users, torch.cat((lists, top, closure), dim=1))
        return split_cross_entropy(scores, lists, top, closure, self.method)
