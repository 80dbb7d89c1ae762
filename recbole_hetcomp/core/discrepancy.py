"""How far the student's ranking is from a teacher's: D@K_D (method section 3).

The paper weighs a hit by the teacher's rank of the item, the authors' published code by the student's
position; both are offered under ``gain``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from recbole_hetcomp.core.rankings import PAD, ranks_in

GAINS = ("teacher", "position")
"""Allowed gains: by the teacher's rank of an item (paper), by the student's position (authors' code)."""


def discrepancy(student: Tensor, teacher: Tensor, K_D: int, T_r: float = 10.0, gain: str = "teacher") -> Tensor:
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
    check_discrepancy_settings(K_D, T_r, gain)
    width = min(K_D, max(student.shape[1], teacher.shape[1]))
    student, teacher = _resize(student, width), _resize(teacher, width)  # [B, width]
    gains = _gains(width, T_r, student.device)  # [width]
    discount = torch.arange(2, width + 2, dtype=torch.float64, device=student.device).log2()  # [width]
    rank = ranks_in(teacher, student, absent=PAD)  # [B, width]
    gained = gains[rank.clamp(min=0)] if gain == "teacher" else gains.expand(rank.shape)
    achieved = _sum(gained / discount, rank != PAD)  # [B]
    ideal = _sum((gains / discount).expand(rank.shape), teacher != PAD)  # [B]
    return (1.0 - achieved / ideal.clamp(min=1.0)).clamp(0.0, 1.0).masked_fill(ideal == 0, 0.0)


def _sum(terms: Tensor, counted: Tensor) -> Tensor:
    """Row sums of the counted terms in steps of 2^-48, float64, shape [B].

    Integers, because their sum does not depend on how a device groups the terms: a student that stands still
    has gamma = 1 to the last bit, and not a little less, which would count as drifting.
    """
    return (terms * 2.0**48).round().long().masked_fill(~counted, 0).sum(dim=1).double()


def check_discrepancy_settings(K_D: int, T_r: float, gain: str) -> None:
    """Raise ValueError, naming value and allowed ones, unless the settings can be used."""
    if K_D < 1:
        raise ValueError(f"K_D is {K_D}; allowed: 1 or more")
    if not (math.isfinite(T_r) and T_r > 0):
        raise ValueError(f"T_r is {T_r}; allowed: a finite number above 0")
    if gain not in GAINS:
        raise ValueError(f"discrepancy gain is {gain!r}; allowed: {', '.join(GAINS)}")


def _resize(lists: Tensor, width: int) -> Tensor:
    """Cut or pad lists to ``width`` columns."""
    return pad(lists[:, :width], (0, max(0, width - lists.shape[1])), value=PAD)


def _gains(width: int, T_r: float, device: torch.device) -> Tensor:
    """2^{exp(-r/T_r)} - 1 for r = 0 … width-1, float64."""
    rank = torch.arange(width, dtype=torch.float64, device=device)
    return torch.expm1(torch.exp(-rank / T_r) * math.log(2.0))
