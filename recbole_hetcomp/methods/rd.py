"""RD's trainer: the taught items as weighted positives."""

from __future__ import annotations

from torch import Tensor

from recbole_hetcomp.core import PAD, draw_items
from recbole_hetcomp.methods._losses import ranking_weights, weighted_log_loss
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer


class RDTrainer(ConsensusTrainer):
    """Weighted log-loss on the taught list (:class:`recbole_hetcomp.methods._students.rd.RD`)."""

    def _before_epoch(self, epoch: int) -> None:
        self.warm = epoch >= self.method.warmup_epochs

    def _distil(self, users: Tensor) -> Tensor:
        lists, n_items = self._taught(users), self.scorer.n_items
        drawn = None
        if self.warm:
            drawn = draw_items(n_items, self.method.rank_sample_num, self.generator, first_item=1).to(users.device)
        listed, sample = self.model.scores_of(users, lists.clamp(min=0), drawn)
        sample = sample.detach() if self.warm else None
        weights = ranking_weights(listed.detach(), lists != PAD, sample, n_items - 1, self.method)
        return weighted_log_loss(listed, weights)
