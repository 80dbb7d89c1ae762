"""A student's own top list, taught: which of its items the teachers list, and how they rank them.

Source: the items that the student ranks high, from RCE-KD (arXiv 2509.20989); method section 5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core.losses import masked_logsumexp
from recbole_hetcomp.core.rankings import PAD
from recbole_hetcomp.core.sampling import importance

_LONGEST = 10
"""Ranks of the best listed item, in units of T, beyond which all are counted from there: e^-10 is the least mass."""


def listed_cross_entropy(scores: Tensor, rank: Tensor, listed: Tensor, member: Tensor, temperature: float) -> Tensor:
    """Cross-entropy over the members of a set, the teacher's mass exp(-rank / T) on those that it lists.

    Args:
        scores: the student's, shape [B, L].
        rank: the teacher's, 0 for the best, shape [B, L].
        listed: whether the teacher lists the item, bool, shape [B, L].
        member: whether it is in the set, likewise; a listed item is.
        temperature: T, in ranks.

    Returns:
        Nats per user, shape [B]; 0 where the teacher lists none.
    """
    beyond = _LONGEST * temperature
    first = rank.masked_fill(~listed, torch.iinfo(rank.dtype).max).amin(dim=1, keepdim=True)  # [B, 1]
    target = importance(rank - (first - beyond).clamp(min=0), listed, temperature).to(scores.dtype)
    mass = target.sum(dim=1, keepdim=True)
    target = target / mass.clamp(min=torch.finfo(scores.dtype).tiny)
    total = masked_logsumexp(scores, member)  # [B]
    surprise = torch.where(listed, total[:, None] - scores, torch.zeros_like(scores))
    return (target * surprise).sum(dim=1)


def own_list_loss(scores: Tensor, own: Tensor, rank: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy over a student's own list o, the mass of the consensus on those of its items that it lists.

    .. math:: L_{own}(u) = -\sum_{i \in o_u} t_i \log \frac{e^{f(u, i)}}{\sum_{j \in o_u} e^{f(u, j)}}, \quad
              t_i \propto e^{-r_i / T} [i \in \pi^-_u]

    Args:
        scores: student scores of the own list, anything at padded places, shape [B, N].
        own: o_u, item ids, ``PAD`` behind the last, integer, shape [B, N].
        rank: r_i in pi-_u of each of its items, 0 for the best, ``PAD`` where pi-_u lacks it, likewise.
        temperature: T, in ranks.

    Returns:
        Loss per user in nats, shape [B]; 0 where no item is in both. The caller reduces.

    >>> own_list_loss(torch.zeros(1, 2), torch.tensor([[5, 6]]), torch.tensor([[-1, 0]]), 30.0)   # log 2
    tensor([0.6931])
    """
    return listed_cross_entropy(scores, rank, rank != PAD, own != PAD, temperature)


def disagreement(rank: Tensor, taught: Tensor) -> Tensor:
    """Share c of the first taught items that a student's own list lacks.

    Args:
        rank: in pi-_u of each item of the student's list, ``PAD`` where pi-_u lacks it, integer, shape [B, L].
        taught: the first N items of pi-_u, ``PAD`` behind the last, integer, shape [B, N].

    Returns:
        0 to 1, 0 where nothing is taught, float32 [B].

    >>> disagreement(torch.tensor([[-1, 0]]), torch.tensor([[6, 7]]))
    tensor([0.5000])
    """
    known = (taught != PAD).sum(dim=1)
    held = ((rank != PAD) & (rank < taught.shape[1])).sum(dim=1)
    return (known - held) / known.clamp(min=1)
