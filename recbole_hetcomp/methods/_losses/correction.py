"""DCD, Dual Correction Distillation: what the student under-estimates against the teacher, over what it over-estimates.

Users' rankings of items and items' rankings of users alike. Only top lists are compared: an item outside a list of
length L has rank L there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_hetcomp.core.draws import above_zero, at_least, gumbel, masked_logsumexp
from recbole_hetcomp.core.losses import plackett_luce_nll
from recbole_hetcomp.core.rankings import PAD, ranks_in

SELECTIONS = ("most", "sample")


@dataclass(frozen=True)
class DCDSettings:
    """Settings of DCD.

    Attributes:
        kd_weight: λ, weight of the distillation loss, a mean over users, beside the base loss.
        ranking_weight: weight, within it, of RRD's loss on the whole list (the paper's L_RKD).
        item_weight: weight, within it, of the item side; 0: users' rankings alone.
        under_num: under-estimated entries that are corrected of each ranking.
        over_num: over-estimated entries that they are put above.
        student_depth: length of the student's lists; ranks behind it count as it.
        selection: ``most`` (the largest discrepancies) or ``sample`` (drawn in proportion, as in the paper).
        discrepancy_scale: ε of the paper's discrepancy tanh(max(ε d, 0)), with which ``sample`` draws.
        refresh_epochs: epochs between selections.

    Raises:
        ValueError: a value is not allowed.
    """

    kd_weight: float
    ranking_weight: float
    item_weight: float
    under_num: int
    over_num: int
    student_depth: int
    selection: str
    discrepancy_scale: float
    refresh_epochs: int

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("kd_weight", "ranking_weight", "item_weight"):
            at_least(name, getattr(self, name), 0)
        for name in ("under_num", "over_num", "student_depth", "refresh_epochs"):
            at_least(name, getattr(self, name), 1)
        above_zero("discrepancy_scale", self.discrepancy_scale)
        if self.selection not in SELECTIONS:
            raise ValueError(f"selection={self.selection!r} is not allowed: one of {', '.join(SELECTIONS)}")


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

    >>> settings = DCDSettings(1.0, 1.0, 1.0, under_num=1, over_num=1, student_depth=3, selection="most",
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

    >>> settings = DCDSettings(1.0, 1.0, 1.0, under_num=2, over_num=2, student_depth=3, selection="most",
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
