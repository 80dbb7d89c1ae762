"""Multi-teacher distillation: every teacher's own list, weighted by a gate that is trained with the student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recbole_hetcomp.core import lists_at
from recbole_hetcomp.core.losses import log_of_zero, plackett_luce_nll
from recbole_hetcomp.core.rankings import PAD
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.teachers.knowledge import Knowledge


@settings_group
class MTDSettings(Settings):
    """Settings of MTD."""

    kd_weight: float = setting(0.1, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    gate_temperature: float = setting(1.0, "What the gate's logits are divided by; high: all teachers alike.", above=0)
    gate_entropy: float = setting(
        100.0,
        "eta, weight of the gate's entropy; 0: none, it ends at the teacher that is easiest to follow.",
        at_least=0,
    )


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


class GatedStudent(DistilledStudent):
    """The student with a gate over its teachers.

    Raises:
        ValueError: the backbone has no user embedding that the gate could read; or teachers may be left out.
    """

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if self.settings.leave_out_harmful:
            raise ValueError(
                "leave_out_harmful=True is not allowed for MTD, whose gate has a place for each teacher: name in "
                "teachers only those that shall stay"
            )
        width = self.adapter.user_representation().shape[1]
        self.gate_layer = nn.Linear(width, len(self.settings.teachers))
        nn.init.zeros_(self.gate_layer.weight)
        nn.init.zeros_(self.gate_layer.bias)

    def gate(self, users: Tensor) -> Tensor:
        """a(u), the teachers' weights, float [B, M].

        Args:
            users: int64 [B].
        """
        return (self.gate_layer(self.adapter.user_representation(users)) / self.method.gate_temperature).softmax(1)


@distillation_method(MTDSettings, training=TRAINING, student=GatedStudent)
class MTDTrainer(ConsensusTrainer):
    r"""Multi-teacher distillation with adaptive teacher weights, a baseline of the HetComp paper.

    .. math:: L = L_{base} + \lambda \frac1B \sum_u
              \Bigl[ \sum_m a_m(u) L_{rank}(\pi(m, final, u)) - \eta H(a(u)) \Bigr], \quad a(u) = softmax(W e_u + b)

    Choices: the gate is one linear layer over the student's user embedding, starts with equal weights (W = 0) and is
    trained with the student; η, ``gate_entropy``, keeps it from ending at the one teacher that is easiest to follow, as
    it does with 0; ``gate_temperature`` divides its logits; each teacher's list is cut at the smaller of K and K'. The
    gate is no part of what is served and does not count as a parameter in the table.
    """

    def begin(self, knowledge: Knowledge) -> None:
        super().begin(knowledge)
        self.final = [(lists, lists.shape[0] - 1) for lists in knowledge.trajectories]

    def user_losses(self, users: Tensor) -> Tensor:
        union = UnionOfLists.of(self._lists_of_teachers(users))
        scores, rest = self.scored_lists(users, union.items)
        return gated_ranking_loss(scores, union, rest, self.model.gate(users), self.method.gate_entropy)

    def _lists_of_teachers(self, users: Tensor) -> Tensor:
        """π(m, final, u), shorter lists padded, int64 [B, M, K']."""
        length = min(self.settings.K, max(lists.shape[2] for lists, _ in self.final))
        rows = []
        for lists, last in self.final:
            rows.append(lists_at(lists, torch.full_like(users, last), users, length).long())
        return torch.stack([torch.nn.functional.pad(row, (0, length - row.shape[1]), value=-1) for row in rows], dim=1)
