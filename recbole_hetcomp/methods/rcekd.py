"""RCE-KD, Rejuvenated Cross-Entropy: the teacher's top items that the student ranks high, and the others, apart."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core.own_list import listed_cross_entropy, own_list_loss
from recbole_hetcomp.core.rankings import PAD, Ragged, SortedLists, ranks_in
from recbole_hetcomp.core.sampling import gumbel
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import StudentGuidedTrainer


@settings_group
class RCEKDSettings(Settings):
    """Settings of RCEKD."""

    kd_weight: float = setting(180.0, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    target_temperature: float = setting(20.0, "T of the teacher's probabilities exp(-r / T), in ranks.", above=0)
    student_temperature: float = setting(1.0, "tau, what the student's scores are divided by.", above=0)
    candidate_num: int = setting(500, "The student's top items from which the closure is drawn.", at_least=1)
    closure_num: int = setting(100, "Items drawn.", at_least=1)
    closure_temperature: float = setting(
        10.0,
        "T of the drawing probability exp((c + 1) / T), c the teacher's items at or behind a student's place.",
        above=0,
    )
    closure_cap: int = setting(50, "The most that c counts.", at_least=1)
    balance: float = setting(
        3.0, "beta of the weight exp(-beta overlap) of the items that the student ranks low.", at_least=0
    )
    refresh_epochs: int = setting(1, "Epochs between draws.", at_least=1)
    overlap: str = setting(
        "top", "Whose part in Q^T beta weighs: the student's top items, or the drawn ones.", one_of=("top", "closure")
    )
    training_items: str = setting(
        "hidden", "Whether the teacher's and the student's lists hold training items.", one_of=("hidden", "listed")
    )

    def check(self) -> None:
        """Refuse more draws than there are candidates."""
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

    .. math:: L = (1 - w) \, CE(Q^S) + w \, CE((Q^T \setminus Q^S) \cup A), \quad w = e^{-\beta |Q^T \cap O| / |Q^T|}

    where O is Q^S (``overlap: top``, the paper's) or A (``closure``, the published code's). CE(J) is the cross-entropy
    of the teacher's and the student's softmax over J; the teacher's has its mass on the items of J that it lists, and
    CE is 0 where there are none.
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
    in_teacher = SortedLists.of(teacher)
    rank_high, rank_drawn = (in_teacher.ranks_of(items, PAD) for items in (student_top, closure))  # [B, C], [B, A]
    is_drawn = ranks_in(closure, teacher, absent=PAD) != PAD  # [B, K]: in the closure already, not counted twice
    places = torch.arange(teacher.shape[1], device=teacher.device).expand(teacher.shape)
    low = (teacher != PAD) & ~is_high & ~is_drawn
    high_loss = own_list_loss(high, student_top, rank_high, settings.target_temperature)
    low_loss = listed_cross_entropy(
        torch.cat((own, drawn), dim=1),
        torch.cat((places, rank_drawn), dim=1),
        torch.cat((low, rank_drawn != PAD), dim=1),
        torch.cat((low, closure != PAD), dim=1),
        settings.target_temperature,
    )
    shared = is_high if settings.overlap == "top" else is_drawn
    overlap = shared.sum(dim=1) / (teacher != PAD).sum(dim=1).clamp(min=1)  # [B]
    weight = torch.exp(-settings.balance * overlap)
    return (1 - weight) * high_loss + weight * low_loss


@distillation_method(RCEKDSettings, training={**TRAINING, "K": 100})
class RCEKDTrainer(StudentGuidedTrainer):
    r"""*Rejuvenating Cross-Entropy Loss in Knowledge Distillation for Recommender Systems* (Zhu & Zhang, 2025).

    .. math:: L = L_{base} + \lambda \frac1B \sum_u
              [ (1 - w_u) CE(Q^S_u) + w_u CE((Q^T_u \setminus Q^S_u) \cup A_u) ], \quad
              w_u = e^{-\beta |Q^T_u \cap Q^S_u| / |Q^T_u|}

    Q^T and Q^S are the teacher's and the student's first K items; A is drawn from the student's first
    ``candidate_num`` items, those above many of the teacher's first: an approximate closure. Source: arXiv 2509.20989.

    Choices: the teacher's probability of its item of rank r is in proportion to exp(-r / ``target_temperature``), and 0
    for an item that it does not list, as it has no scores; Q^S and A are made anew every ``refresh_epochs`` epochs. The
    published code differs in two things that are settings: ``overlap: closure``, and ``training_items: listed``: a
    user's training items, in the teachers' order, stand before the others in Q^T, and none is hidden from Q^S and A.
    Defaults follow the author's code: fresh draws every epoch, beta of 3, short lists; lambda and T as they were best
    on the validation splits of ml-100k and CiteULike within its range.
    """

    @property
    def observed_knowledge(self) -> str:
        return "joint" if self.method.training_items == "listed" else "none"

    def student_lists(self, length: int, hidden: Ragged | None = None) -> Tensor:
        if hidden is None and self.method.training_items == "listed":
            observed = self.lists.history
            hidden = Ragged(torch.zeros_like(observed.offsets), observed.values[:0])
        return super().student_lists(length, hidden)

    @property
    def student_length(self) -> int:
        """Length of the student's lists."""
        return min(max(self.method.candidate_num, self.settings.K), self.scorer.n_items - 1)

    def choose(self, student: Tensor) -> dict[str, Tensor]:
        drawn = [
            closure_sample(
                self.lists.unobserved[rows],
                student[rows, : self.method.candidate_num],
                self.method,
                self.generator,
            )
            for rows in self._blocks(self.student_length)
        ]
        return {"top": student[:, : self.settings.K].clone(), "closure": torch.cat(drawn).int()}

    def user_losses(self, users: Tensor) -> Tensor:
        lists = self.taught_lists(users)
        top, closure = self.chosen["top"][users].long(), self.chosen["closure"][users].long()
        scores = self.scores(users, torch.cat((lists, top, closure), dim=1))
        return split_cross_entropy(scores, lists, top, closure, self.method)
