"""The methods that HetComp is compared with: one file each, with its settings, its equation and its loss.

=============  =============================================================  ==============
method         loss, one value a user, [B]                                     module
=============  =============================================================  ==============
RD             ``weighted_log_loss`` (weights: ``ranking_weights``)            ranking
CD             ``soft_cross_entropy``                                          collaborative
RRD            ``plackett_luce_nll``                                           core.losses
MTD            ``gated_ranking_loss``                                          multi_teacher
CLDRD          ``grouped_ranking_loss``                                        curriculum
DCD            ``correction_loss`` (``corrections``, ``item_corrections``)     correction
UnKD           ``pair_loss`` (``PopularityGroups``)                            unbiased
RCEKD          ``split_cross_entropy`` (``closure_sample``)                    rejuvenated
=============  =============================================================  ==============

The teacher is a ranking, the consensus of the final snapshots; where a paper reads the teacher's score of an item, the
item of rank r has the importance exp(-r / T) of method section 2, and an item that is not listed has 0.
"""

from recbole_hetcomp.methods._losses.collaborative import CDSettings, soft_cross_entropy
from recbole_hetcomp.methods._losses.correction import (
    Corrections,
    DCDSettings,
    correction_loss,
    corrections,
    item_corrections,
)
from recbole_hetcomp.methods._losses.curriculum import CLDRDSettings, grouped_ranking_loss
from recbole_hetcomp.methods._losses.multi_teacher import MTDSettings, UnionOfLists, gated_ranking_loss
from recbole_hetcomp.methods._losses.ranking import RDSettings, RRDSettings, ranking_weights, weighted_log_loss
from recbole_hetcomp.methods._losses.rejuvenated import RCEKDSettings, closure_sample, split_cross_entropy
from recbole_hetcomp.methods._losses.unbiased import PopularityGroups, UnKDSettings, pair_loss, popularity_groups

__all__ = [
    "CDSettings",
    "CLDRDSettings",
    "Corrections",
    "DCDSettings",
    "MTDSettings",
    "PopularityGroups",
    "RCEKDSettings",
    "RDSettings",
    "RRDSettings",
    "UnKDSettings",
    "UnionOfLists",
    "closure_sample",
    "correction_loss",
    "corrections",
    "gated_ranking_loss",
    "grouped_ranking_loss",
    "item_corrections",
    "pair_loss",
    "popularity_groups",
    "ranking_weights",
    "soft_cross_entropy",
    "split_cross_entropy",
    "weighted_log_loss",
]
