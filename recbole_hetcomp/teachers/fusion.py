"""The ensemble's lists: the final snapshots of several teachers, fused (method section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD, taught_unobserved
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.teachers.learned_fusion import LearnedFusion
from recbole_hetcomp.trajectories import MappedTensors, Trajectory

Fuse = Callable[..., "tuple[Tensor, Tensor]"]
"""Several lists -> one: :func:`~recbole_hetcomp.core.taught_unobserved`, or what is called as it is."""


def fuse_of(
    data: Interactions, teachers: Sequence[Trajectory], consensus: Consensus, valid_data: Any, seed: int, budget: int
) -> Fuse:
    """What makes the teachers' lists one: the formula of the settings, or what is learned from the validation items.

    Nothing is learned of a single teacher, whose list stays as it is.

    Args:
        data: the interactions.
        teachers: the teachers' trajectories.
        consensus: the fusion; its weights decided.
        valid_data: RecBole's validation loader.
        seed: of what is learned.
        budget: elements of one intermediate matrix; changes no list.
    """
    if consensus.fusion != "learned" or len(teachers) < 2:
        return taught_unobserved
    return LearnedFusion.fitted(data, MappedTensors(teachers), consensus, valid_data, seed, budget)


def ensemble_lists(
    data: Interactions,
    teachers: Sequence[Trajectory],
    consensus: Consensus,
    served_length: int,
    budget: int,
    fuse: Fuse = taught_unobserved,
) -> Tensor:
    """The teacher ensemble: the fusion of the final snapshots, over the items that any teacher lists.

    Args:
        data: the interactions.
        teachers: the teachers' trajectories.
        consensus: temperatures, weights, window.
        served_length: S, items wanted of each list once the user's validation items are left out.
        budget: elements of one intermediate matrix; changes no list.
        fuse: how lists become one.

    Returns:
        Item ids, best first, int32 [U, L]; the padding user's row is all ``PAD``. L is S and the most
        validation items that any user has, or the sum of K' where that is less: no S of what is left lies behind.
    """
    trajectories = MappedTensors(teachers)
    last = torch.tensor([trajectory.shape[0] - 1 for trajectory in trajectories])
    left_out = int((data.served.lengths() - data.observed.lengths()).max())
    length = min(sum(trajectory.shape[2] for trajectory in trajectories), served_length + left_out)
    lists = torch.full((data.n_users, length), PAD, dtype=torch.int32)
    for users in data.ranked_users.split(max(1, budget // length)):
        items, _ = fuse(trajectories, last.expand(len(users), -1), users, length, consensus, budget)
        lists[users] = items.int()
    return lists
