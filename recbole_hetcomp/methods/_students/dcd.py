"""DCD's student; its trainer is :class:`recbole_hetcomp.methods.dcd.DCDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import DCDSettings
from recbole_hetcomp.student.model import DistilledStudent


class DCD(DistilledStudent):
    r"""*Dual Correction Strategy for Ranking Distillation in Top-N Recommender System* (Lee & Kim, CIKM 2021).

    .. math:: L = L_{base} + \lambda [ L_{UCD} + w_r L_{RKD} + w_i L_{ICD} ]

    L_UCD is L_rank of the items that the student under-estimates most against the teacher, with those that it
    over-estimates most behind them; L_ICD the same of each item's ranking of users; L_RKD is RRD's loss.

    Choices: the largest discrepancies are taken instead of drawn in proportion to tanh(max(ε d, 0))
    (``selection: most``; ``sample`` is the paper's); ranks are read from lists, an item outside the
    student's first ``student_depth`` or the teacher's K counts as behind them; the teacher's order of an item's users
    is that of the item's rank in their lists, and its candidates are the users in whose teacher's or student's list it
    stands (the paper ranks all users, which needs all scores at once); each step sees as many items, drawn at random,
    as users.
    """

    method_settings = DCDSettings
