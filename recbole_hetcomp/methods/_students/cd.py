"""CD's student; its trainer is :class:`recbole_hetcomp.methods.cd.CDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import CDSettings
from recbole_hetcomp.student.model import DistilledStudent


class CD(DistilledStudent):
    r"""*Collaborative Distillation for Top-N Recommendation* (Lee et al., ICDM 2019).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \sum_i
              w_i [ q_i \log \sigma(f_i) + (1 - q_i) \log(1 - \sigma(f_i)) ]

    Choices: the soft target is q_i = exp(-r_i / ``target_temperature``), as the teacher is a ranking and has no score;
    items are weighted with their sampling probability, in proportion to exp(-r_i / ``sample_temperature``), instead of
    being drawn by it (``item_sample_num: 0``), because sampling among the top items hurts; the paper's student-guided
    draws are not offered.
    """

    method_settings = CDSettings
