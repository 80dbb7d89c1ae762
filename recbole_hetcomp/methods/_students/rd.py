"""RD's student; its trainer is :class:`recbole_hetcomp.methods.rd.RDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import RDSettings
from recbole_hetcomp.student.model import DistilledStudent


class RD(DistilledStudent):
    r"""*Ranking Distillation: Learning Compact Ranking Models With High Performance* (Tang & Wang, KDD 2018).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \sum_{k<K} w_k \log \sigma(f(u, \pi_k)), \quad
              w_k \propto e^{-k/T} \tanh(\max(\mu(\hat r_k - k), 0))

    Choices: the position weight is the paper's exponential; the student's rank is estimated from
    ``rank_sample_num`` items drawn once for a batch (the paper leaves the number open) and counts all items, the
    observed ones too; before ``warmup_epochs`` the position weight stands alone; the weights of a user
    sum to 1.
    """

    method_settings = RDSettings
