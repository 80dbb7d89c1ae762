"""Which users a distillation step sees (method.md §6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_hetcomp.data.interactions import Interactions


class UserBatches:
    """One epoch of user batches, drawn anew each time that it is iterated.

    Each batch is a RecBole Interaction with the distinct users of the step under the user field.

    Args:
        data: the interactions; users without training items are never drawn.
        user_field: RecBole's name of the user field.
        sampling: ``user``, each user once, or ``interaction``, the distinct users of a batch of interactions.
        batch_size: users in a batch, or interactions.
        generator: source of randomness.
    """

    shuffle = True

    def __init__(
        self, data: Interactions, user_field: str, sampling: str, batch_size: int, generator: torch.Generator
    ) -> None:
        self.user_field = user_field
        self.distinct = sampling == "interaction"
        self.batch_size = batch_size
        self.generator = generator
        lengths = data.observed.lengths()
        self.rows = (
            torch.arange(data.n_users, device=lengths.device).repeat_interleave(lengths)
            if self.distinct
            else data.users
        )

    def __len__(self) -> int:
        return -(-self.rows.shape[0] // self.batch_size)

    def __iter__(self) -> Iterator[Interaction]:
        order = torch.randperm(self.rows.shape[0], generator=self.generator, device=self.generator.device)
        for chosen in order.split(self.batch_size):
            yield Interaction({self.user_field: self._users(self.rows[chosen])})

    def _users(self, rows: Tensor) -> Tensor:
        return rows.unique() if self.distinct else rows


class WithBaseBatches:
    """User batches beside RecBole's own training batches, for a base loss; as many steps as the longer of the two.

    Yields pairs (users' Interaction, base Interaction) as one object that RecBole's loop can move to a device.
    """

    shuffle = True

    def __init__(self, users: UserBatches, base: Any) -> None:
        self.users = users
        self.base = base

    def __len__(self) -> int:
        return max(len(self.users), len(self.base))

    def __iter__(self) -> Iterator[PairedBatch]:
        users, base = _endless(self.users), _endless(self.base)
        for _ in range(len(self)):
            yield PairedBatch(next(users), next(base))


class PairedBatch:
    """A batch of users and a batch of interactions."""

    def __init__(self, users: Interaction, base: Interaction) -> None:
        self.users = users
        self.base = base

    def to(self, device: torch.device | str) -> PairedBatch:
        """Both on a device."""
        return PairedBatch(self.users.to(device), self.base.to(device))


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches
