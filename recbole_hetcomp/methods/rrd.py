"""RRD's trainer: the order inside the taught list, none below it."""

from __future__ import annotations

from torch import Tensor

from recbole_hetcomp.core import PAD, plackett_luce_nll
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer


class RRDTrainer(ConsensusTrainer):
    """L_rank of the taught list against all the rest (:class:`recbole_hetcomp.methods._students.rrd.RRD`)."""

    def _distil(self, users: Tensor) -> Tensor:
        lists = self._taught(users)
        return plackett_luce_nll(*self._scored_lists(users, lists), lists != PAD)
