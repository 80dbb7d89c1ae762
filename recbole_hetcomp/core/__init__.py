"""The algorithm of HetComp (WWW 2023): contents. Read this first, then ``curriculum``.

Needs torch and the declared settings; no RecBole, no Ray.

============================  ======================================================  ====================
symbol in the method          name here                                               module
============================  ======================================================  ====================
N+_u                          ``Ragged`` (``padded``, ``lengths``)                    rankings
top list, ties to the id      ``top_k``, ``ranks_in``, ``PAD``                        rankings
rho(m, e, u)                  ``observed_ranks``                                      rankings
pi(m, e, u)                   ``lists_at`` (of a ``Trajectory``)                      rankings
s(u, i), pi-_u                ``taught_unobserved`` (settings: ``Consensus``)         consensus
pi+_u                         ``taught_observed``                                     consensus
D@K_D                         ``discrepancy``                                         discrepancy
v[u, m], d_ref[u, m]          ``CurriculumState``                                     curriculum
gamma, alpha_t: DKC           ``advance`` (settings: ``Curriculum``)                  curriculum
R_u                           ``rest_logsumexp``, ``fused_rest_logsumexp``            losses, fused_rest
R_u from S draws a user       ``sample_rest``, ``sampled_rest_logsumexp``             sampling
R_u from S draws a batch      ``draw_items``, ``shared_rest_logsumexp``               sampling
L_rank                        ``plackett_luce_nll``                                   losses
L_overall                     ``coarse_loss``                                         losses
L_fine                        ``fine_loss``                                           losses
L_own                         ``own_list_loss``, ``disagreement``                     own_list
the weighted sum of both      ``weighted_loss``, ``fused_listwise_loss``              losses, fused
============================  ======================================================  ====================

Functions are pure; state is a frozen dataclass, and a step returns a new one. Shapes use the letters of the
method: U users, I items, M teachers, E snapshots, K list length, B rows of a batch.
"""

from recbole_hetcomp.core.consensus import popularity_weights, taught_observed, taught_unobserved
from recbole_hetcomp.core.curriculum import CurriculumState, StepReport, advance
from recbole_hetcomp.core.discrepancy import discrepancy
from recbole_hetcomp.core.fused import fused_listwise_loss
from recbole_hetcomp.core.fused_rest import fused_rest_logsumexp
from recbole_hetcomp.core.losses import coarse_loss, fine_loss, plackett_luce_nll, rest_logsumexp, weighted_loss
from recbole_hetcomp.core.own_list import disagreement, own_list_loss
from recbole_hetcomp.core.rankings import PAD, Ragged, lists_at, observed_ranks, ranks_in, top_k
from recbole_hetcomp.core.sampling import (
    draw_items,
    rest_size,
    sample_rest,
    sampled_rest_logsumexp,
    shared_rest_logsumexp,
)

__all__ = [
    "PAD",
    "CurriculumState",
    "Ragged",
    "StepReport",
    "advance",
    "coarse_loss",
    "disagreement",
    "discrepancy",
    "draw_items",
    "fine_loss",
    "fused_listwise_loss",
    "fused_rest_logsumexp",
    "lists_at",
    "observed_ranks",
    "own_list_loss",
    "plackett_luce_nll",
    "popularity_weights",
    "ranks_in",
    "rest_logsumexp",
    "rest_size",
    "sample_rest",
    "sampled_rest_logsumexp",
    "shared_rest_logsumexp",
    "taught_observed",
    "taught_unobserved",
    "top_k",
    "weighted_loss",
]
