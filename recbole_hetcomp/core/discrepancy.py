"""How far the student's ranking is from a teacher's: D@K_D (method section 3).

The paper weighs a hit by the teacher's rank of the item, the authors' published code by the student's
position; both are offered under ``gain``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recbole_hetcomp.core.rankings import PAD, SortedLists
from recbole_hetcomp.declared import allowed, default
from recbole_hetcomp.lesson_settings import Curriculum, Ranks

T_R = default(Ranks, "T_r")
GAINS = allowed(Curriculum, "discrepancy_gain")
GAIN = default(Curriculum, "discrepancy_gain")


def discrepancy(student: Tensor, teacher: Tensor, K_D: int, T_r: float = T_R, gain: str = GAIN) -> Tensor:
    r"""Discrepancy between two top lists, 0 where the student ranks like the teacher.

    .. math:: D@K_D = 1 - \frac{\sum_k g_k / \log_2(k + 2)}{IDCG}, \quad g = 2^{\exp(-r / T_r)} - 1

    with k = 0 … K_D-1 over the student's list. For an item that stands among the teacher's first K_D, r is
    the teacher's rank of it (``gain="teacher"``) or the student's position k (``gain="position"``); any other
    item gains 0. IDCG is the same sum over the teacher's own list. ``position`` does not see the order: two
    lists of the same items have D = 0.
    Source: method section 3.

    Args:
        student: the student's unobserved items, best first, shape [B, L_S].
        teacher: the teacher's unobserved items, best first, shape [B, L_T].
        K_D: how many items of each list count; a shorter list counts as far as it goes.
        T_r: temperature of the ranks.
        gain: ``teacher`` or ``position``.

    Returns:
        Discrepancy in [0, 1], float64, shape [B]; 0 where the teacher's list is empty.

    Raises:
        ValueError: if K_D, T_r or gain is outside its allowed values.

    >>> discrepancy(torch.tensor([[4, 2], [7, 8]]), torch.tensor([[4, 2], [4, 2]]), K_D=2).tolist()
    [0.0, 1.0]
    """
    return discrepancy_to(SortedLists.of(student[:, :K_D]), teacher, K_D, T_r, gain)


def discrepancy_to(student: SortedLists, teacher: Tensor, K_D: int, T_r: float = T_R, gain: str = GAIN) -> Tensor:
    """The same as `discrepancy`, for a student who is compared with many teachers.

    Args:
        student: the student's first K_D unobserved items, sorted.
        teacher: the teacher's unobserved items, best first, shape [B, L_T].
        K_D: how many items of each list count.
        T_r: temperature of the ranks.
        gain: ``teacher`` or ``position``.

    Returns:
        Discrepancy in [0, 1], float64, shape [B]; 0 where the teacher's list is empty.

    Raises:
        ValueError: if K_D, T_r or gain is outside its allowed values.
    """
    check_discrepancy_settings(K_D, T_r, gain)
    teacher = teacher[:, :K_D]
    n_ranks, n_positions = teacher.shape[1], student.by_id.shape[1]
    table = _hit_values(n_ranks, n_positions, T_r, gain, teacher.device)  # [L_T, L_S + 1]
    position = student.ranks_of(teacher, absent=n_positions)  # [B, L_T]: where the student has the teacher's items
    row = torch.arange(n_ranks, device=teacher.device) * (n_positions + 1)
    achieved = table.take(position.add_(row)).sum(dim=1).double()  # [B]
    ideal = _ideal(teacher, T_r)  # [B]
    return (1.0 - achieved / ideal.clamp(min=1.0)).clamp_(0.0, 1.0).masked_fill_(ideal == 0, 0.0)


def _hit_values(n_ranks: int, n_positions: int, T_r: float, gain: str, device: torch.device) -> Tensor:
    """What an item adds to DCG that has the rank of the row and the position of the column.

    The last column is for items that the student does not list. In steps of 2^-48, int64: the sum of integers does
    not depend on how a device groups the terms, so a student that stands still has gamma = 1 to the last bit, and not
    a little less, which would count as drifting.
    """
    gains = _gains(n_ranks, T_r, device)[:, None] if gain == "teacher" else _gains(n_positions, T_r, device)
    values = _fixed((gains / _discount(n_positions, device)).expand(n_ranks, n_positions))
    return torch.cat((values, values.new_zeros(n_ranks, 1)), dim=1)


def _ideal(teacher: Tensor, T_r: float) -> Tensor:
    """IDCG: the DCG of the teacher's own list, in steps of 2^-48, float64, shape [B]."""
    width = teacher.shape[1]
    values = _fixed(_gains(width, T_r, teacher.device) / _discount(width, teacher.device))  # [L_T]
    return torch.where(teacher != PAD, values, 0).sum(dim=1).double()


def _fixed(values: Tensor) -> Tensor:
    return (values * 2.0**48).round().long()


def _discount(width: int, device: torch.device) -> Tensor:
    """log2(k + 2) for k = 0 … width-1, float64."""
    return torch.arange(2, width + 2, dtype=torch.float64, device=device).log2()


def check_discrepancy_settings(K_D: int, T_r: float, gain: str) -> None:
    """Raise ValueError, naming value and allowed ones, unless the settings can be used."""
    if K_D < 1:
        raise ValueError(f"K_D is {K_D}; allowed: 1 or more")
    if not (math.isfinite(T_r) and T_r > 0):
        raise ValueError(f"T_r is {T_r}; allowed: a finite number above 0")
    if gain not in GAINS:
        raise ValueError(f"discrepancy gain is {gain!r}; allowed: {', '.join(GAINS)}")


def _gains(width: int, T_r: float, device: torch.device) -> Tensor:
    """2^{exp(-r/T_r)} - 1 for r = 0 … width-1, float64."""
    rank = torch.arange(width, dtype=torch.float64, device=device)
    return torch.expm1(torch.exp(-rank / T_r) * math.log(2.0))
