"""Which items each user has, without a matrix over the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD, Ragged


@dataclass(frozen=True)
class Membership:
    """Which items each user has, searched without a matrix over the catalogue.

    Attributes:
        items: the users' items.
        stride: more than any item id.
        keys: ``user * stride + item`` of every pair, ascending, int64 [nnz].

    >>> bought = Ragged.from_pairs(torch.tensor([0, 2, 2]), torch.tensor([5, 3, 7]), n_users=3)
    >>> Membership.of(bought).holds(torch.tensor([2, 0]), torch.tensor([[7, 5, -1], [7, 5, -1]]))
    tensor([[ True, False, False],
            [False,  True, False]])
    """

    items: Ragged
    stride: int
    keys: Tensor

    @staticmethod
    def of(items: Ragged) -> Membership:
        """Make each user's items, ascending without repeats, ready to be searched."""
        stride = int(items.values.max()) + 1 if items.values.numel() else 1
        users = torch.arange(items.n_rows, device=items.offsets.device).repeat_interleave(items.lengths())
        return Membership(items, stride, users * stride + items.values)

    def holds(self, users: Tensor, lists: Tensor) -> Tensor:
        """Whether each listed item is one of its user's.

        Args:
            users: int64 [B].
            lists: item ids, ``PAD`` for none, int [B, L].

        Returns:
            bool [B, L].
        """
        if self.keys.numel() == 0:
            return torch.zeros(lists.shape, dtype=torch.bool, device=lists.device)
        listed = lists.long()
        wanted = users[:, None] * self.stride + listed
        slot = torch.searchsorted(self.keys, wanted).clamp_(max=self.keys.shape[0] - 1)
        return (self.keys[slot] == wanted) & (listed != PAD) & (listed < self.stride)
