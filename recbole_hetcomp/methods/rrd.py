"""Relaxed Ranking Distillation (DE-RRD): the order inside the taught list, none below it."""

from __future__ import annotations

from torch import Tensor

from recbole_hetcomp.core import PAD, plackett_luce_nll
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer


@settings_group
class RRDSettings(Settings):
    """Settings of RRD."""

    kd_weight: float = setting(0.1, "lambda: weight of the distillation loss, a mean over users.", at_least=0)


@distillation_method(RRDSettings, training=TRAINING)
class RRDTrainer(ConsensusTrainer):
    r"""Relaxed Ranking Distillation of *DE-RRD* (Kang et al., CIKM 2020).

    .. math:: L = L_{base} + \lambda \frac1B \sum_u L_{rank}(\pi^-_u)

    with L_rank of method section 5: the order inside the taught list, none below it.

    Choices: the paper samples the list from the teacher's ranking and the uninteresting items from the others (section
    3.2); here the list is the first K and all other unobserved items stand below it (or ``rest_sample_num`` draws).
    """

    def user_losses(self, users: Tensor) -> Tensor:
        lists = self.taught_lists(users)
        return plackett_luce_nll(*self.scored_lists(users, lists), lists != PAD)
