"""Dual Correction Distillation: what the student under-estimates against the teacher, over what it over-estimates.

Users' rankings of items and items' rankings of users alike. Only top lists are compared: an item outside a list of
length L has rank L there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_hetcomp.core.losses import masked_logsumexp, plackett_luce_nll
from recbole_hetcomp.core.rankings import PAD, ranks_in
from recbole_hetcomp.core.sampling import gumbel
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.student.consensus_trainer import StudentGuidedTrainer


@settings_group
class DCDSettings(Settings):
    """Settings of DCD."""

    kd_weight: float = setting(0.1, "lambda: weight of the distillation loss, a mean over users.", at_least=0)
    ranking_weight: float = setting(1.0, "Weight of RRD's loss beside the corrections.", at_least=0)
    item_weight: float = setting(1.0, "Weight of the item side beside the user side; 0: users alone.", at_least=0)
    under_num: int = setting(40, "Under-estimated entries that are corrected of each ranking.", at_least=1)
    over_num: int = setting(40, "Over-estimated entries that they are put above.", at_least=1)
    student_depth: int = setting(500, "Length of the student's lists; ranks behind it count as it.", at_least=1)
    selection: str = setting(
        "most",
        "most (the largest discrepancies) or sample (drawn in proportion, the paper's).",
        one_of=("most", "sample"),
    )
    discrepancy_scale: float = setting(
        0.1, "epsilon of the discrepancy tanh(max(epsilon d, 0)), with which sample draws.", above=0
    )
    refresh_epochs: int = setting(5, "Epochs between selections.", at_least=1)


@dataclass(frozen=True)
class Corrections:
    """What is corrected in each ranking, ``PAD`` behind.

    Attributes:
        under: under-estimated entries in the teacher's order, int64, shape [B, under_num].
        over: over-estimated entries, int64, shape [B, over_num].
    """

    under: Tensor
    over: Tensor


def corrections(teacher: Tensor, student: Tensor, settings: DCDSettings, generator: torch.Generator) -> Corrections:
    """The items that the student under- and over-estimates, for a block of users.

    With d = rank_S - rank_T, an item of the teacher's list with d > 0 is under-estimated and one of the student's
    list with d < 0 over-estimated. Equal discrepancies go to the place nearer to the top.
    Source: Dual Correction Strategy for Ranking Distillation (CIKM 2021), sections 3.1 and 3.2.

    Args:
        teacher: the teacher's lists, ``PAD`` behind, integer, shape [B, K].
        student: the student's lists, ``PAD`` behind, integer, shape [B, D].
        settings: numbers and selection.
        generator: source of the draws of ``selection: sample``.

    >>> settings = DCDSettings(under_num=1, over_num=1, student_depth=3, selection="most",
    ...                        discrepancy_scale=1.0, refresh_epochs=1)
    >>> found = corrections(torch.tensor([[5, 6]]), torch.tensor([[7, 6, 8]]), settings, torch.Generator())
    >>> found.under.tolist(), found.over.tolist()
    ([[5]], [[7]])
    """
    teacher, student = teacher.long(), student.long()
    absent = max(student.shape[1], teacher.shape[1])
    under = ranks_in(student, teacher, absent) - _places(teacher)  # [B, K]
    over = ranks_in(teacher, student, absent) - _places(student)  # [B, D]
    return Corrections(
        _chosen(teacher, under.masked_fill(teacher == PAD, 0), settings.under_num, settings, generator, in_order=True),
        _chosen(student, over.masked_fill(student == PAD, 0), settings.over_num, settings, generator),
    )


def _places(lists: Tensor) -> Tensor:
    return torch.arange(lists.shape[1], device=lists.device).expand(lists.shape)


def _priority(discrepancy: Tensor, settings: DCDSettings, generator: torch.Generator) -> Tensor:
    """What is selected first, -inf where the discrepancy is not above 0."""
    amount = discrepancy.float()
    if settings.selection == "sample":
        amount = torch.tanh(settings.discrepancy_scale * amount.clamp(min=0)).log() + gumbel(amount, generator)
    return amount.masked_fill(discrepancy <= 0, -torch.inf)


def _chosen(
    entries: Tensor,
    discrepancy: Tensor,
    number: int,
    settings: DCDSettings,
    generator: torch.Generator,
    in_order: bool = False,
) -> Tensor:
    """The ``number`` entries of each row with the highest priority, in the row's order if ``in_order``."""
    best, place = _priority(discrepancy, settings, generator).sort(dim=1, descending=True, stable=True)
    best, place = best[:, :number], place[:, :number]
    place = place.masked_fill(best == -torch.inf, entries.shape[1])
    if in_order:
        place = place.sort(dim=1)[0]
    padded = torch.nn.functional.pad(entries, (0, 1), value=PAD)
    found = padded.gather(1, place)
    return torch.nn.functional.pad(found, (0, number - found.shape[1]), value=PAD)


def item_corrections(
    users: Tensor,
    items: Tensor,
    teacher_rank: Tensor,
    scores: Tensor,
    n_items: int,
    settings: DCDSettings,
    generator: torch.Generator,
) -> Corrections:
    """The users that the student under- and over-estimates, for every item.

    The candidates of an item are the users in whose teacher's or student's list it stands. The teacher orders them
    by the item's rank in their list, those who do not list it behind the others; the student by its score. Both
    orders break ties to the smaller user id.
    Source: Dual Correction Strategy for Ranking Distillation (CIKM 2021), the item side.

    Args:
        users: of each candidate pair, no pair twice, int64, shape [n].
        items: int64, shape [n].
        teacher_rank: the item's rank in the user's teacher list; ``PAD`` where it is not listed, int64, shape [n].
        scores: the student's, shape [n].
        n_items: I.
        settings: numbers and selection.
        generator: source of the draws of ``selection: sample``.

    Returns:
        Rows for all items: user ids, shape [I, under_num] and [I, over_num].

    >>> settings = DCDSettings(under_num=2, over_num=2, student_depth=3, selection="most",
    ...                        discrepancy_scale=1.0, refresh_epochs=1)
    >>> found = item_corrections(torch.tensor([3, 4]), torch.tensor([0, 0]), torch.tensor([1, -1]),
    ...                          torch.tensor([0.1, 0.9]), 1, settings, torch.Generator())
    >>> found.under.tolist(), found.over.tolist()
    ([[3, -1]], [[4, -1]])
    """
    listed = teacher_rank != PAD
    counts = torch.bincount(items, minlength=n_items)
    start = counts.cumsum(0) - counts  # [I]
    behind = teacher_rank.masked_fill(~listed, int(teacher_rank.max()) + 1 if len(items) else 0)
    by_teacher = _order(items, behind, users)
    by_student = _order(items, -scores, users)
    rank_t = _ranks(by_teacher, items, start)
    rank_s = _ranks(by_student, items, start)
    discrepancy = rank_s - rank_t

    def select(amount: Tensor, number: int) -> Tensor:
        priority = _priority(amount, settings, generator)
        order = _order(items, -priority, rank_t)
        place = _ranks(order, items, start)
        kept = (place < number) & (priority > -torch.inf)
        chosen = by_teacher[kept[by_teacher]]  # by item, in the teacher's order
        number_of = torch.bincount(items[chosen], minlength=n_items)
        column = torch.arange(len(chosen), device=items.device) - (number_of.cumsum(0) - number_of)[items[chosen]]
        found = torch.full((n_items, number), PAD, dtype=torch.int64, device=items.device)
        found[items[chosen], column] = users[chosen]
        return found

    under = select(discrepancy.masked_fill(~listed, 0), settings.under_num)
    return Corrections(under, select(-discrepancy, settings.over_num))


def _order(*keys: Tensor) -> Tensor:
    """Order of the pairs by the first key, then by the second, and so on."""
    order = torch.sort(keys[-1], stable=True)[1]
    for key in reversed(keys[:-1]):
        order = order[torch.sort(key[order], stable=True)[1]]
    return order


def _ranks(order: Tensor, items: Tensor, start: Tensor) -> Tensor:
    """Each pair's rank among those of its item, where ``order`` has the items one after the other."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return place - start[items]


def correction_loss(under: Tensor, over: Tensor, under_valid: Tensor, over_valid: Tensor) -> Tensor:
    r"""DCD's correction: L_rank of what is under-estimated, with what is over-estimated behind it.

    .. math:: L = -\sum_k \Bigl( f_{u_k} - \log\bigl( \sum_{j \ge k} e^{f_{u_j}} + \sum_l e^{f_{o_l}} \bigr) \Bigr)

    Source: Dual Correction Strategy for Ranking Distillation (CIKM 2021), L_UCD and L_ICD.

    Args:
        under: student scores of the under-estimated entries in the teacher's order, shape [B, k].
        over: student scores of the over-estimated entries, shape [B, l].
        under_valid: False at padded places, bool, shape [B, k].
        over_valid: False at padded places, bool, shape [B, l].

    Returns:
        Loss per ranking in nats, shape [B]. The caller reduces.

    >>> yes = torch.ones(1, 1, dtype=torch.bool)
    >>> correction_loss(torch.zeros(1, 1), torch.zeros(1, 1), yes, yes)   # log 2
    tensor([0.6931])
    """
    return plackett_luce_nll(under, masked_logsumexp(over, over_valid), under_valid)


@distillation_method(DCDSettings, training=TRAINING)
class DCDTrainer(StudentGuidedTrainer):
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

    @property
    def student_length(self) -> int:
        """Length of the student's lists."""
        return min(self.method.student_depth, self.scorer.n_items - 1)

    def choose(self, student: Tensor) -> dict[str, Tensor]:
        parts = [
            corrections(self.lists.unobserved[rows], student[rows], self.method, self.generator)
            for rows in self._blocks(self.student_length)
        ]
        chosen = {
            "under": torch.cat([part.under for part in parts]).int(),
            "over": torch.cat([part.over for part in parts]).int(),
        }
        if self.method.item_weight:
            found = self._choose_users(student[:, : self.settings.K])
            chosen["users_under"], chosen["users_over"] = found.under.int(), found.over.int()
            chosen["items"] = ((found.under != PAD).any(dim=1) & (found.over != PAD).any(dim=1)).nonzero().flatten()
        return chosen

    def _choose_users(self, student: Tensor) -> Corrections:
        """The item side: candidates are the pairs of the teacher's lists, and those of the student's that it lacks."""
        teacher, users = self.lists.unobserved, self.lists.history
        pairs = []
        for rows in self._blocks(self.settings.K):
            own, listed = student[rows].long(), teacher[rows].long()
            own = own.masked_fill(ranks_in(listed, own, PAD) != PAD, PAD)
            items = torch.cat((listed, own), dim=1)  # [B, K + K]
            row, place = (items != PAD).nonzero(as_tuple=True)
            rank = place.masked_fill(place >= listed.shape[1], PAD)
            everyone = torch.arange(users.n_rows, device=items.device)[rows]
            scores = self.scores(everyone, items)
            pairs.append((everyone[row], items[row, place], rank, scores[row, place]))
        user, item, rank, score = (torch.cat(column) for column in zip(*pairs))
        return item_corrections(user, item, rank, score, self.scorer.n_items, self.method, self.generator)

    def user_losses(self, users: Tensor) -> Tensor:
        method, chosen = self.method, self.chosen
        under, over = chosen["under"][users].long(), chosen["over"][users].long()
        scores = self.scores(users, torch.cat((under, over), dim=1))
        loss = _corrected(scores, under, over)
        if method.ranking_weight:
            lists = self.taught_lists(users)
            ranking = plackett_luce_nll(*self.scored_lists(users, lists), lists != PAD)
            loss = loss + method.ranking_weight * ranking
        if method.item_weight and len(chosen["items"]):
            loss = loss + method.item_weight * self._item_loss(len(users)).mean()
        return loss

    def _item_loss(self, number: int) -> Tensor:
        """The loss of items drawn at random, as many as there are users in the batch, [number]."""
        candidates = self.chosen["items"]
        draws = self.generator
        drawn = torch.randint(len(candidates), (number,), generator=draws, device=draws.device)
        items = candidates[drawn.to(candidates.device)]
        under, over = self.chosen["users_under"][items].long(), self.chosen["users_over"][items].long()
        both = torch.cat((under, over), dim=1)  # [number, k + l]
        row, place = (both != PAD).nonzero(as_tuple=True)
        scores = self.model.scores_of_pairs(both[row, place], items[row])
        filled = scores.new_zeros(both.shape).index_put((row, place), scores)
        return _corrected(filled, under, over)


def _corrected(scores: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """The loss from the scores of what is under-estimated and then of what is over-estimated, [B, k + l]."""
    n_under = under.shape[1]
    return correction_loss(scores[:, :n_under], scores[:, n_under:], under != PAD, over != PAD)
