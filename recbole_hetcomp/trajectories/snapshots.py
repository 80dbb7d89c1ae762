"""Which of a teacher's validations its trajectory keeps (method section 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recbole_hetcomp.declared import allowed
from recbole_hetcomp.settings import Teachers

SPACINGS = allowed(Teachers, "snapshot_spacing")
"""Allowed spacings of the intermediate snapshots: in epochs, or in validation quality."""


def select_snapshots(
    epochs: Sequence[int], scores: Sequence[float], count: int, spacing: str = "even", bigger: bool = True
) -> list[int]:
    """Which validations a trajectory keeps: the best one last, the others spread out before it.

    ``even`` takes the recorded epochs nearest to ``count`` epochs evenly spaced from the first to the best.
    ``quality`` takes, of the validations no worse than all before them, those nearest to ``count`` scores
    evenly spaced from the first one's to the best. The earlier of two that are equally near.
    Source: method section 1.

    Args:
        epochs: epochs of the validations, ascending.
        scores: their validation scores.
        count: E, how many to keep.
        spacing: ``even`` or ``quality``.
        bigger: whether bigger scores are better.

    Returns:
        Indices into ``epochs``, strictly ascending, at most ``count`` of them: fewer where there are too few
        distinct validations. Of equal best scores the last counts, as in RecBole's early stopping.

    Raises:
        ValueError: if count or spacing is outside the allowed values, the validations are none or not
            ascending, or a score is NaN.

    >>> select_snapshots([10, 20, 30, 40, 50], [0.1, 0.5, 0.6, 0.7, 0.6], count=3)
    [0, 1, 3]
    >>> select_snapshots([10, 20, 30, 40, 50], [0.1, 0.5, 0.6, 0.7, 0.6], count=3, spacing="quality")
    [0, 1, 3]
    """
    _check_selection(epochs, scores, count, spacing)
    quality = [float(score) if bigger else -float(score) for score in scores]
    best = max(range(len(quality)), key=lambda index: (quality[index], index))
    if spacing == "even":
        candidates = list(range(best + 1))
        axis = [float(epoch) for epoch in epochs]
    else:
        candidates = [index for index in range(best + 1) if quality[index] >= max(quality[: index + 1])]
        axis = quality
    chosen = {best}
    for step in range(count - 1):
        target = axis[0] + (axis[best] - axis[0]) * step / (count - 1)
        chosen.add(min(candidates, key=lambda index: (abs(axis[index] - target), index)))
    return sorted(chosen)


def _check_selection(epochs: Sequence[int], scores: Sequence[float], count: int, spacing: str) -> None:
    if count < 1:
        raise ValueError(f"count is {count}; allowed: 1 or more snapshots")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing is {spacing!r}; allowed: {', '.join(SPACINGS)}")
    if not epochs or len(epochs) != len(scores):
        raise ValueError(
            f"{len(epochs)} epochs and {len(scores)} scores; allowed: one of each for 1 or more validations"
        )
    if any(later <= earlier for earlier, later in zip(epochs, epochs[1:])):
        raise ValueError(f"epochs are {list(epochs)}; allowed: ascending")
    if any(math.isnan(score) for score in scores):
        raise ValueError(f"scores are {list(scores)}; allowed: numbers")
