"""UnKD's student; its trainer is :class:`recbole_hetcomp.methods.unkd.UnKDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import UnKDSettings
from recbole_hetcomp.student.model import DistilledStudent


class UnKD(DistilledStudent):
    r"""*Unbiased Knowledge Distillation for Recommendation* (Chen et al., WSDM 2023).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \frac1n \sum_{(i, j)} \log \sigma(f_i - f_j)

    over pairs (i, j) of one popularity group, i ranked above j by the teacher.

    Choices: groups have equal parts of all interactions; both items of a pair are drawn from the group's
    taught items in proportion to exp(-rank / ``pair_temperature``), the rank within the group, and a pair of one item
    drawn twice does not count; the pair's group is drawn uniformly from those of which the user is taught two items or
    more; pairs are drawn anew in each step.
    """

    method_settings = UnKDSettings
