"""RCE-KD, Rejuvenated Cross-Entropy: the teacher's top items that the student ranks high, and the others, apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_hetcomp.core.draws import above_zero, at_least, gumbel, importance, masked_logsumexp
from recbole_hetcomp.core.rankings import PAD, ranks_in


@dataclass(frozen=True)
class RCEKDSettings:
    """Settings of RCE-KD.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.
        target_temperature: T of the teacher's probabilities, in proportion to exp(-r / T) for the item of rank r.
        student_temperature: τ, what the student's scores are divided by.
        candidate_num: the student's top items from which the closure is drawn.
        closure_num: items drawn.
        closure_temperature: T of the drawing probability exp((c + 1) / T), c the number of the teacher's items at or
            behind a place of the student's list, at most ``closure_cap``.
        closure_cap: the most that c counts.
        balance: β of the weight exp(-β overlap) of the items that the student does not rank high.
        refresh_epochs: epochs between draws.

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float
    target_temperature: float
    student_temperature: float
    candidate_num: int
    closure_num: int
    closure_temperature: float
    closure_cap: int
    balance: float
    refresh_epochs: int

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("kd_weight", "balance"):
            at_least(name, getattr(self, name), 0)
        for name in ("candidate_num", "closure_num", "closure_cap", "refresh_epochs"):
            at_least(name, getattr(self, name), 1)
        for name in ("target_temperature", "student_temperature", "closure_temperature"):
            above_zero(name, getattr(self, name))
        if self.closure_num > self.candidate_num:
            raise ValueError(
                f"closure_num={self.closure_num} is not allowed: at most candidate_num={self.candidate_num}"
            )


def closure_sample(teacher: Tensor, student: Tensor, settings: RCEKDSettings, generator: torch.Generator) -> Tensor:
    r"""Draw items of the student's list that stand above many of the teacher's, without replacement.

    .. math:: p_k \propto \exp((\min(c_k, cap) + 1) / T), \quad c_k = |\{ j \ge k: s_j \in Q^T \}|

    Source: RCE-KD (arXiv 2509.20989), the sampling strategy of teacher-student collaboration.

    Args:
        teacher: Q^T, the teacher's lists, ``PAD`` behind, integer, shape [B, K].
        student: s, the student's lists, ``PAD`` behind, integer, shape [B, candidate_num].
        settings: number, temperature and cap.
        generator: source of randomness; may live on another device.

    Returns:
        Item ids, ``PAD`` where the student's list is too short, int64, shape [B, closure_num].
    """
    student = student.long()
    held = ranks_in(teacher.long(), student, absent=PAD) != PAD  # [B, C]
    behind = held.long().flip(1).cumsum(dim=1).flip(1).clamp(max=settings.closure_cap)
    log_weight = (behind.float() + 1) / settings.closure_temperature + gumbel(behind, generator)
    log_weight = log_weight.masked_fill(student == PAD, -torch.inf)
    place = log_weight.topk(min(settings.closure_num, student.shape[1]), dim=1)[1]
    drawn = student.gather(1, place)
    return torch.nn.functional.pad(drawn, (0, settings.closure_num - drawn.shape[1]), value=PAD)


def split_cross_entropy(
    scores: Tensor, teacher: Tensor, student_top: Tensor, closure: Tensor, settings: RCEKDSettings
) -> Tensor:
    r"""RCE-KD's loss.

    .. math:: L = (1 - w) \, CE(Q^S) + w \, CE((Q^T \setminus Q^S) \cup A), \quad w = e^{-\beta |Q^T \cap Q^S| / |Q^T|}

    where CE(J) is the cross-entropy of the teacher's and the student's softmax over J; the teacher's has its mass on
    the items of J that it lists, and CE is 0 where there are none.
    Source: RCE-KD (arXiv 2509.20989), the two losses and their adaptive combination.

    Args:
        scores: student scores of the three lists, one after the other, shape [B, K + C + A].
        teacher: Q^T, the teacher's lists, best first, ``PAD`` behind, int64, shape [B, K].
        student_top: Q^S, the student's, likewise, shape [B, C].
        closure: A, drawn items, no repeats within a row, shape [B, A].
        settings: temperatures and balance.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.
    """
    sizes = teacher.shape[1], student_top.shape[1], closure.shape[1]
    own, high, drawn = (scores / settings.student_temperature).split(sizes, dim=1)
    is_high = ranks_in(student_top, teacher, absent=PAD) != PAD  # [B, K]
    rank_high = ranks_in(teacher, student_top, absent=PAD)  # [B, C]
    rank_drawn = ranks_in(teacher, closure, absent=PAD)  # [B, A]
    is_drawn = ranks_in(closure, teacher, absent=PAD) != PAD  # [B, K]: in the closure already, not counted twice
    places = torch.arange(teacher.shape[1], device=teacher.device).expand(teacher.shape)
    low = (teacher != PAD) & ~is_high & ~is_drawn
    high_loss = _cross_entropy(high, rank_high, rank_high != PAD, student_top != PAD, settings)
    low_loss = _cross_entropy(
        torch.cat((own, drawn), dim=1),
        torch.cat((places, rank_drawn), dim=1),
        torch.cat((low, rank_drawn != PAD), dim=1),
        torch.cat((low, closure != PAD), dim=1),
        settings,
    )
    overlap = is_high.sum(dim=1) / (teacher != PAD).sum(dim=1).clamp(min=1)  # [B]
    weight = torch.exp(-settings.balance * overlap)
    return (1 - weight) * high_loss + weight * low_loss


def _cross_entropy(scores: Tensor, rank: Tensor, listed: Tensor, member: Tensor, settings: RCEKDSettings) -> Tensor:
    """Cross-entropy over the members of a set, the teacher's mass on those of them that it lists, [B]."""
    target = importance(rank, listed, settings.target_temperature).to(scores.dtype)
    mass = target.sum(dim=1, keepdim=True)
    target = target / mass.clamp(min=torch.finfo(scores.dtype).tiny)
    total = masked_logsumexp(scores, member)  # [B]
    surprise = torch.where(listed, total[:, None] - scores, torch.zeros_like(scores))
    return (target * surprise).sum(dim=1)
