"""Interactions while they are being prepared, and the account of what was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Records:
    """Interactions in the order of the input.

    Attributes:
        users: place of each interaction's user in ``user_ids``, int64 [n].
        items: place of its item in ``item_ids``, int64 [n].
        user_ids: the input's names of users, str [≥ U]; some may have no interaction any more.
        item_ids: the input's names of items, str [≥ I].
        ratings: float64 [n], or None where the input has none.
        timestamps: float64 [n], or None likewise.
        others: further columns by RecBole's name of each, ``name:type``, [n] each.
    """

    users: Ints
    items: Ints
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    ratings: Floats | None = None
    timestamps: Floats | None = None
    others: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of users who have an interaction."""
        return int(np.count_nonzero(np.bincount(self.users)))

    @property
    def n_items(self) -> int:
        """Number of items that have an interaction."""
        return int(np.count_nonzero(np.bincount(self.items)))

    def keep(self, mask: Mask) -> Records:
        """The interactions where ``mask`` is true, bool [n]."""
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            ratings=None if self.ratings is None else self.ratings[mask],
            timestamps=None if self.timestamps is None else self.timestamps[mask],
            others={name: values[mask] for name, values in self.others.items()},
        )


@dataclass(frozen=True)
class Drop:
    """What one step took away.

    Attributes:
        reason: why.
        interactions: how many interactions.
        users: how many users have none left.
        items: how many items have none left.
    """

    reason: str
    interactions: int
    users: int
    items: int

    @classmethod
    def between(cls, reason: str, before: Records, after: Records) -> Drop:
        """The difference between two states."""
        return cls(
            reason,
            len(before) - len(after),
            before.n_users - after.n_users,
            before.n_items - after.n_items,
        )

    def __str__(self) -> str:
        return f"{self.reason}: {self.interactions:,} interactions, {self.users:,} users, {self.items:,} items"
