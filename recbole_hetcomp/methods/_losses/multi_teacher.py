"""MTD: every teacher's own list, weighted for each user by a gate that is trained with the student."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_hetcomp.core.draws import above_zero, at_least, log_of_zero
from recbole_hetcomp.core.losses import plackett_luce_nll
from recbole_hetcomp.core.rankings import PAD


@dataclass(frozen=True)
class MTDSettings:
    """Settings of MTD.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.
        gate_temperature: what the gate's logits are divided by before their softmax; high: all teachers alike.
        gate_entropy: η, weight of the gate's entropy, in nats of L_rank; 0: none, and the gate ends at the teacher that
            is easiest to follow.

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float
    gate_temperature: float
    gate_entropy: float

    def __post_init__(self) -> None:
        """Check every value."""
        at_least("kd_weight", self.kd_weight, 0)
        above_zero("gate_temperature", self.gate_temperature)
        at_least("gate_entropy", self.gate_entropy, 0)


@dataclass(frozen=True)
class UnionOfLists:
    """All items that any teacher lists for a user, each once, and who lists them.

    Attributes:
        items: item ids, teacher after teacher, shape [B, M * K].
        first: True at one place of each item, bool, shape [B, M * K].
        listed_by: bit m is set where teacher m lists the item, int64, shape [B, M * K]; the same at all its places.

    >>> union = UnionOfLists.of(torch.tensor([[[7, 3], [3, -1]]]))
    >>> union.listed_by.tolist(), union.first.tolist()
    ([[1, 3, 3, 0]], [[True, True, False, False]])
    """

    items: Tensor
    first: Tensor
    listed_by: Tensor

    @staticmethod
    def of(lists: Tensor) -> UnionOfLists:
        """Unite the teachers' lists, ``PAD`` behind each, no repeats within one, int64 [B, M, K]."""
        n_teachers, length = lists.shape[1:]
        items = lists.flatten(1)  # [B, M * K]
        bit = (1 << torch.arange(n_teachers, device=lists.device)).repeat_interleave(length)
        by_id, order = items.sort(dim=1, stable=True)
        new = torch.ones_like(by_id, dtype=torch.bool)
        new[:, 1:] = by_id[:, 1:] != by_id[:, :-1]
        run = new.long().cumsum(dim=1) - 1  # which distinct item a place holds
        bits = torch.zeros_like(by_id).scatter_add_(1, run, bit[order]).gather(1, run)
        listed_by = torch.empty_like(bits).scatter_(1, order, bits).masked_fill(items == PAD, 0)
        first = torch.empty_like(new).scatter_(1, order, new) & (items != PAD)
        return UnionOfLists(items, first, listed_by)


def gated_ranking_loss(
    scores: Tensor, union: UnionOfLists, rest: Tensor, gate: Tensor, gate_entropy: float = 0.0
) -> Tensor:
    r"""MTD's loss.

    .. math:: L = \sum_m a_m(u) \, L_{rank}(\pi(m, final, u)) - \eta H(a(u)), \quad H(a) = -\sum_m a_m \log a_m

    Without the entropy the best gate has all its weight on the list with the least L_rank; with it a is in proportion
    to exp(-L_rank / η).

    Behind teacher m's list stand all unobserved items that it does not hold, those that others list among them.

    Args:
        scores: student scores of the united items, shape [B, M * K].
        union: the teachers' lists.
        rest: log mass of the unobserved items that no teacher lists, shape [B]; -inf for none.
        gate: a(u), the teachers' weights, shape [B, M].
        gate_entropy: η.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> union = UnionOfLists.of(torch.tensor([[[7, 3], [3, -1]]]))
    >>> gated_ranking_loss(torch.zeros(1, 4), union, torch.zeros(1), torch.tensor([[1.0, 0.0]]))   # log 3 + log 2
    tensor([1.7918])
    """
    shape = gate.shape  # [B, M]
    lowest = log_of_zero(rest.dtype)
    kinds, logs = _log_masses(scores, union)
    held = (kinds >> torch.arange(shape[1], device=scores.device)[:, None]) & 1 == 1  # [M, P]
    others = logs[:, None].masked_fill(held, lowest).logsumexp(dim=2)  # [B, M]
    behind = torch.logaddexp(others.clamp(min=lowest), rest.clamp(min=lowest)[:, None]).flatten()
    length = scores.shape[1] // shape[1]
    losses = plackett_luce_nll(scores.reshape(-1, length), behind, (union.items != PAD).reshape(-1, length))  # [B * M]
    total = (gate * losses.view(shape)).sum(dim=1)
    entropy = torch.special.entr(gate.clamp(min=torch.finfo(gate.dtype).tiny)).sum(dim=1)  # no infinite slope at 0
    return total - gate_entropy * entropy


def _log_masses(scores: Tensor, union: UnionOfLists) -> tuple[Tensor, Tensor]:
    """Log mass of the items that the same teachers list, so that a sum over the others' items has few terms.

    Args:
        scores: as in `gated_ranking_loss`, [B, M * K].
        union: likewise.

    Returns:
        The kinds of ``listed_by``, int64 [P], and their log masses, [B, P]; `log_of_zero` where a user has none.
    """
    kinds, kind = union.listed_by.unique(return_inverse=True)
    lowest = log_of_zero(scores.dtype)
    hidden = scores.masked_fill(~union.first, lowest)
    top = hidden.detach().new_full((len(scores), len(kinds)), lowest).scatter_reduce(1, kind, hidden.detach(), "amax")
    above = (hidden - top.gather(1, kind)).masked_fill(~union.first, lowest)
    mass = torch.zeros_like(top).scatter_add(1, kind, above.exp())  # 1 or more, or 0 where there is none
    return kinds, (top + mass.clamp(min=1.0).log()).masked_fill(mass == 0, lowest)
