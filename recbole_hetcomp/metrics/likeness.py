"""How close a student's lists are to a teacher's, or to the ensemble's. From top lists alone."""

from __future__ import annotations

from torch import Tensor

from recbole_hetcomp.core import PAD, discrepancy, ranks_in
from recbole_hetcomp.declared import default
from recbole_hetcomp.lesson_settings import Curriculum

_K_D, _T_R = default(Curriculum, "K_D"), default(Curriculum, "T_r")

LIKENESS_MEASURES = ("overlap", "discrepancy")
"""Measures of :func:`likeness`, without their ``@K_D``."""


def likeness(student: Tensor, teacher: Tensor, K_D: int = _K_D, T_r: float = _T_R) -> dict[str, float]:
    """Two measures of how alike lists are.

    - ``overlap@K_D``: mean share of the teacher's first K_D items that are among the student's first K_D.
    - ``discrepancy@K_D``: mean D@K_D (method section 3), with the teacher's ranks as gains.

    Args:
        student: the student's items, best first, ``PAD`` at the end of a short row, int, shape [U, L_S].
        teacher: the teacher's items for the same users, shape [U, L_T].
        K_D: how many items of a list count; a shorter one counts as far as it goes.
        T_r: temperature of the ranks.

    Returns:
        Measure → mean over the users for whom the teacher lists anything.

    Raises:
        ValueError: K_D, T_r or the shapes are not allowed, or the teacher lists nothing for anybody.

    >>> import torch
    >>> likeness(torch.tensor([[4, 2], [7, 8]]), torch.tensor([[4, 2], [4, 2]]), K_D=2)
    {'overlap@2': 0.5, 'discrepancy@2': 0.5}
    """
    if student.dim() != 2 or teacher.dim() != 2 or len(student) != len(teacher):
        raise ValueError(
            f"student and teacher have shapes {tuple(student.shape)} and {tuple(teacher.shape)}; "
            "needed: [U, L] each, the same users"
        )
    distance = discrepancy(student, teacher, K_D, T_r)  # [U]
    student, teacher = student[:, :K_D], teacher[:, :K_D]
    taught = (teacher != PAD).sum(dim=1)  # [U]
    some = taught > 0
    if not some.any():
        raise ValueError("the teacher lists no item for any user")
    shared = (ranks_in(student, teacher, absent=K_D) < K_D).sum(dim=1)  # [U]
    return {
        f"overlap@{K_D}": float((shared[some].double() / taught[some]).mean()),
        f"discrepancy@{K_D}": float(distance[some].mean()),
    }
