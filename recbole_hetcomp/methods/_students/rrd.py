"""RRD's student; its trainer is :class:`recbole_hetcomp.methods.rrd.RRDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import RRDSettings
from recbole_hetcomp.student.model import DistilledStudent


class RRD(DistilledStudent):
    r"""Relaxed Ranking Distillation of *DE-RRD* (Kang et al., CIKM 2020).

    .. math:: L = L_{base} + \lambda \frac1B \sum_u L_{rank}(\pi^-_u)

    with L_rank of method section 5: the order inside the taught list, none below it.

    Choices: the paper samples the list from the teacher's ranking and the uninteresting items from the others (section
    3.2); here the list is the first K and all other unobserved items stand below it (or ``rest_sample_num`` draws).
    """

    method_settings = RRDSettings
