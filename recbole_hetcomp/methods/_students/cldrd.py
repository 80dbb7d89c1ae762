"""CL-DRD's student; its trainer is :class:`recbole_hetcomp.methods.cldrd.CLDRDTrainer`."""

from __future__ import annotations

from recbole_hetcomp.methods._losses import CLDRDSettings
from recbole_hetcomp.student.model import DistilledStudent


class CLDRD(DistilledStudent):
    r"""*Curriculum Learning for Dense Retrieval Distillation* (Zeng et al., SIGIR 2022).

    .. math:: L = L_{base} - \lambda \frac1B \sum_u \sum_k
              \Bigl( f_k - \log( e^{f_k} + \sum_{j:\, g(j) > g(k)} e^{f_j} + e^{R_u} ) \Bigr)

    where g is the group of a place in the taught list, and the rest stands behind the last group.

    Choices: the paper's stages have three groups whose sizes it sets for documents; here stage s cuts the
    list into ``stage_groups[s]`` groups of equal size, the last one into single items, where the loss is RRD's; a stage
    lasts ``stage_epochs`` for everyone. The paper's LambdaRank-like loss is replaced by the listwise one that all
    methods share.
    """

    method_settings = CLDRDSettings
