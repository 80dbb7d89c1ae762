"""The ensemble's lists: the final snapshots of several teachers, fused (method section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD, taught_unobserved
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.settings import Consensus
from recbole_hetcomp.trajectories import MappedTensors, Trajectory


def ensemble_lists(
    data: Interactions, teachers: Sequence[Trajectory], consensus: Consensus, served_length: int, budget: int
) -> Tensor:
    """The teacher ensemble: the consensus of the final snapshots, over the items that any teacher lists.

    Args:
        data: the interactions.
        teachers: the teachers' trajectories.
        consensus: temperatures, weights, window.
        served_length: S, items wanted of each list once the user's validation items are left out.
        budget: elements of one intermediate matrix; changes no list.

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
        items, _ = taught_unobserved(trajectories, last.expand(len(users), -1), users, length, consensus, budget)
        lists[users] = items.int()
    return lists
