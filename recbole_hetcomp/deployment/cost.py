"""What models of a data set cost, measured alike: bytes, and milliseconds for one user."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.deployment import REPEATS, THREADS, USERS, K
from recbole_hetcomp.serving.costs import Serve, Speed, served_by, single_ms, stored_bytes


def check_limits(max_bytes: float | None, max_ms: float | None, k: int) -> None:
    """Refuse limits that make no sense.

    Args:
        max_bytes: bytes that a model keeps at most; None: no limit.
        max_ms: milliseconds for one user at most; None: no limit.
        k: items of a list that is timed.

    Raises:
        ValueError: names one.
    """
    for name, value in (("max_bytes", max_bytes), ("max_ms", max_ms)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value} is not allowed: above 0")
    if k < 1:
        raise ValueError(f"k={k} is not allowed: at least 1")


@dataclass(frozen=True)
class Cost:
    """What one model costs.

    Attributes:
        bytes: that it must keep; NaN where that is not known.
        p50_ms: milliseconds for one user, the median; NaN where it was not timed.
        p95_ms: the 95th percentile.
    """

    bytes: float = math.nan
    p50_ms: float = math.nan
    p95_ms: float = math.nan


@dataclass(frozen=True)
class Stopwatch:
    """Times models on the same users, one thread, training items left out.

    Attributes:
        data: the interactions.
        k: items of a list.
        users: users that are served one by one.
        repeats: how often each is.
    """

    data: Interactions
    k: int = K
    users: int = USERS
    repeats: int = REPEATS

    @property
    def history(self) -> Ragged:
        """What is left out of a user's list."""
        return self.data.observed

    @property
    def length(self) -> int:
        """Items of a list, no more than there are."""
        return min(self.k, self.data.n_items - 1)

    def time(self, serve: Serve) -> Speed:
        """How long single users take."""
        order = torch.randperm(len(self.data.ranked_users), generator=torch.Generator().manual_seed(0))[: self.users]
        users = self.data.ranked_users[order].repeat(self.repeats)
        clock, processor = single_ms(serve, users, THREADS)
        return Speed(clock, math.nan, processor)

    def cost(self, serve: Serve, size: float, timed: bool = True) -> Cost:
        """Bytes and times of something that serves lists."""
        if not timed:
            return Cost(float(size))
        speed = self.time(serve)
        return Cost(float(size), speed.milliseconds(50), speed.milliseconds(95))

    def cost_of(self, model: Any, timed: bool = True) -> Cost:
        """Bytes and times of a model in evaluation mode."""
        serve = served_by(model, self.data.n_items, self.history, self.length)
        return self.cost(serve, stored_bytes(model), timed)
