"""RCE-KD's student; its trainer is :class:`recbole_hetcomp.methods.rcekd.RCEKDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import RCEKDSettings
from recbole_hetcomp.student.model import DistilledStudent


class RCEKD(DistilledStudent):
    r"""*Rejuvenating Cross-Entropy Loss in Knowledge Distillation for Recommender Systems* (Zhu & Zhang, 2025).

    .. math:: L = L_{base} + \lambda \frac1B \sum_u
              [ (1 - w_u) CE(Q^S_u) + w_u CE((Q^T_u \setminus Q^S_u) \cup A_u) ], \quad
              w_u = e^{-\beta |Q^T_u \cap Q^S_u| / |Q^T_u|}

    Q^T and Q^S are the teacher's and the student's first K items; A is drawn from the student's first
    ``candidate_num`` items, those above many of the teacher's first: an approximate closure. Source: arXiv 2509.20989.

    Choices: the teacher's probability of its item of rank r is in proportion to exp(-r / ``target_temperature``), and 0
    for an item that it does not list, as it has no scores; the overlap is that of the two top lists; Q^S and A are made
    anew every ``refresh_epochs`` epochs.
    """

    method_settings = RCEKDSettings
