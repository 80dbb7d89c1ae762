"""What both sides work on: sizes of real data sets, and random inputs of such a size.

Factors shared by all models give the scores, teachers add noise of their own that shrinks from snapshot to snapshot,
interactions are drawn from the same scores with skewed activity and popularity.
"""

from __future__ import annotations

from dataclasses import dataclass

import draws
import torch
from harness import K
from torch import Tensor

from recbole_hetcomp.core import Ragged, ranks_in

SHARED_DIMENSIONS = 32


@dataclass(frozen=True)
class Size:
    """A data set's numbers, and how much of each part is timed.

    Attributes:
        users: U.
        items: I.
        interactions: all interactions; 60 % are for training.
        dimension: of the student's factors.
        epoch_rows: user rows of one epoch of listwise training.
        share: share of the users on which consensus and evaluation are timed.
        batches: batches on which the losses are timed.
    """

    users: int
    items: int
    interactions: int
    dimension: int
    epoch_rows: int
    share: float
    batches: int


SIZES = {
    "citeulike": Size(5219, 25181, 131597, 6, 58408, 0.2, 3),
    "ml-100k": Size(943, 1682, 100000, 8, 7544, 1.0, 4),
    "video-games": Size(29341, 23464, 277297, 16, 58408, 0.05, 3),
    "tiny": Size(60, 400, 900, 4, 120, 0.5, 1),
}
"""Sizes by name; ``tiny`` is for tests."""


@dataclass(frozen=True)
class Inputs:
    """What both sides work on.

    Attributes:
        size: the numbers.
        train: each user's training items.
        history: training and validation items.
        test: each user's test items, at least one.
        activity: interactions of each user, float [U].
        trajectories: pi of each teacher, M of shape [E, U, K], as small a type as the store's.
        user_factors: the student's, float32 [U, d].
        item_factors: the student's, float32 [I, d].
        earlier_lists: the student's lists before its last epochs, int64 [U, K].
        student_lists: the student's lists now, int64 [U, K].
    """

    size: Size
    train: Ragged
    history: Ragged
    test: Ragged
    activity: Tensor
    trajectories: list[Tensor]
    user_factors: Tensor
    item_factors: Tensor
    earlier_lists: Tensor
    student_lists: Tensor


def draw_inputs(size: Size, generator: torch.Generator) -> Inputs:
    """Draw a data set, teachers and a student that resemble each other."""
    spread = torch.linspace(1.0, 0.3, SHARED_DIMENSIONS) * 0.7
    user_factors = torch.randn(size.users, SHARED_DIMENSIONS, generator=generator)
    item_factors = torch.randn(size.items, SHARED_DIMENSIONS, generator=generator) * spread
    user_factors[:, 0], item_factors[:, 0] = 1.0, item_factors[:, 0].abs() * 2.0  # popularity
    counts = draws.activity(size.users, size.items, size.interactions, generator)
    train, history, test = draws.splits(user_factors, item_factors, counts, generator)
    unlike = torch.randn(user_factors.shape, generator=generator) * 0.5
    student = user_factors[:, : size.dimension].contiguous()
    items = item_factors[:, : size.dimension].contiguous()
    return Inputs(
        size=size,
        train=train,
        history=history,
        test=test,
        activity=counts.float(),
        trajectories=draws.trajectories(user_factors, item_factors, train, generator),
        user_factors=student,
        item_factors=items,
        earlier_lists=draws.ranked(student + unlike[:, : size.dimension], items, train, K),
        student_lists=draws.ranked(student, items, train, K),
    )


def chosen_users(size: Size, generator: torch.Generator) -> Tensor:
    """The users on which a part is timed that takes long, in order, int64 [n]."""
    return torch.randperm(size.users, generator=generator)[: max(1, round(size.users * size.share))].sort()[0]


def likeness(inputs: Inputs) -> dict[str, float]:
    """Share of common items in the inputs' lists, to judge whether they are realistic."""

    def common(first: Tensor, second: Tensor) -> float:
        return float((ranks_in(first.long(), second.long(), absent=-1) >= 0).double().mean())

    final = [trajectory[-1] for trajectory in inputs.trajectories]
    return {
        "two_teachers": common(final[0], final[1]),
        "first_and_final_snapshot": common(inputs.trajectories[0][0], final[0]),
        "student_and_teacher": common(inputs.student_lists, final[0]),
        "student_now_and_earlier": common(inputs.student_lists, inputs.earlier_lists),
    }
