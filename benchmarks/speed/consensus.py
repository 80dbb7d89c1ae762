"""The ensemble's taught lists of users at random snapshots, with and without consistency."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import direct
import numpy as np
import torch
from draws import mask, users_at_once
from harness import SNAPSHOTS, T_R, T_S, TEACHERS, TIE, K, Part, timed, timed_in_turn
from inputs import Inputs, chosen_users
from torch import Tensor

from recbole_hetcomp.core import ranks_in, taught_unobserved
from recbole_hetcomp.lesson_settings import Consensus


def parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """Both kinds of consensus, for the same users."""
    users = chosen_users(inputs.size, generator)
    v = torch.randint(0, SNAPSHOTS, (len(users), TEACHERS), generator=generator)
    return {
        name: _part(
            inputs, users, v, Consensus(T_r=T_R, T_s=T_S, use_consistency=consistent, consistency_window=1), repeats
        )
        for name, consistent in (("consensus", True), ("consensus_without_consistency", False))
    }


def _part(inputs: Inputs, users: Tensor, v: Tensor, settings: Consensus, repeats: int) -> Part:
    scale = inputs.size.users / len(users)
    window = settings.consistency_window if settings.use_consistency else None
    package = partial(taught_unobserved, inputs.trajectories, v, users, K, settings)
    items, scores = package()  # warm-up
    sides = {"direct": partial(_direct_lists, inputs, users, v.numpy(), window), "package": partial(timed, package)}
    seconds, answers = timed_in_turn(sides, repeats, scale)
    everything = taught_unobserved(inputs.trajectories, v, users, TEACHERS * K, settings)
    return Part(
        seconds["direct"],
        seconds["package"],
        _compare(torch.from_numpy(answers["direct"]), items, scores, *everything),
        f"{len(users)} of {inputs.size.users} users timed; direct: its ranks exist already",
    )


def _direct_lists(inputs: Inputs, users: Tensor, v: np.ndarray, window: int | None) -> tuple[float, np.ndarray]:
    """Seconds and lists, some users at a time."""
    at_once = 2 * users_at_once(inputs.size.items)
    blocks = (slice(start, start + at_once) for start in range(0, len(users), at_once))
    spent, lists = zip(*(_direct_block(inputs, users[block], v[block], window) for block in blocks))
    return sum(spent), np.concatenate(lists)


def _direct_block(inputs: Inputs, users: Tensor, v: np.ndarray, window: int | None) -> tuple[float, np.ndarray]:
    """Seconds and lists of some users; the dense ranks, which the published code holds, are built off the clock."""
    spent = 0.0
    total = np.zeros((len(users), inputs.size.items), dtype=np.float32)
    observed = mask(torch.zeros(total.shape, dtype=torch.bool), inputs.train, users, True).numpy()
    for m, trajectory in enumerate(inputs.trajectories):
        ranks = [direct.rank_matrix(lists[users].long().numpy(), inputs.size.items) for lists in trajectory]
        start = time.perf_counter()
        total += direct.importance(v[:, m], ranks, T_R, T_S, window)
        spent += time.perf_counter() - start
    taken, (items, _) = timed(lambda: direct.consensus(total, observed, K))
    return spent + taken, items


def _compare(found: Tensor, items: Tensor, scores: Tensor, all_items: Tensor, all_scores: Tensor) -> dict[str, Any]:
    """Share of equal positions; a position that differs must hold an item of equal score."""
    place = ranks_in(all_items, found, absent=-1)
    value = all_scores.gather(1, place.clamp(min=0)).masked_fill(place < 0, -torch.inf)
    tied = (value - scores).abs() <= TIE * scores.abs()
    same = found == items
    return {
        "agrees": bool((same | tied).all()),
        "share_of_equal_positions": float(same.double().mean()),
        "unequal_positions_of_equal_score": int((tied & ~same).sum()),
        "unequal_positions_otherwise": int((~tied & ~same).sum()),
    }
