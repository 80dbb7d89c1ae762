"""Rows of yesterday's tables at today's places: by external ids, and a start for rows that are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

SIDES = ("user", "item")


def rows_before(today: Sequence[object], before: Sequence[object]) -> Tensor:
    """Yesterday's row of each of today's ids, -1 for a new one; the padding row 0 stays what it is.

    Args:
        today: external ids by row, padding first, length n.
        before: yesterday's, likewise.

    Returns:
        int64 [n].

    >>> rows_before(["[PAD]", "b", "c", "a"], ["[PAD]", "a", "b"])
    tensor([ 0,  2, -1,  1])
    """
    known = {str(name): row for row, name in enumerate(before) if row}
    return torch.tensor([0, *(known.get(str(name), -1) for name in today[1:])])


@dataclass(frozen=True)
class Matching:
    """Today's users and items, and where each was yesterday.

    Attributes:
        rows: by side, ``user`` and ``item``: what :func:`rows_before` gave, int64 [n].
        before: by side, how many rows there were yesterday, padding included.
        pairs: who has what in today's training split, float32 [U, I], each pair once.
    """

    rows: Mapping[str, Tensor]
    before: Mapping[str, int]
    pairs: csr_matrix

    @classmethod
    def of(cls, dataset: Any, before: Mapping[str, Sequence[str]]) -> Matching:
        """Match a RecBole Dataset, a training split, with yesterday's ids by side.

        Raises:
            ValueError: no user, or no item, was there yesterday.
        """
        fields = dict(zip(SIDES, (dataset.uid_field, dataset.iid_field)))
        rows = {side: rows_before(dataset.field2id_token[field], before[side]) for side, field in fields.items()}
        for side, found in rows.items():
            if not bool((found > 0).any()):
                raise ValueError(f"none of the {len(found) - 1} {side}s of {dataset.dataset_name} was there before")
        users, items = (np.asarray(dataset.inter_feat[field]) for field in fields.values())
        pairs = csr_matrix(
            (np.ones(len(users), dtype=np.float32), (users, items)), (dataset.user_num, dataset.item_num)
        )
        pairs.data[:] = 1.0  # repeated pairs have been added up
        return cls(rows, {side: len(names) for side, names in before.items()}, pairs)

    def is_new(self, side: str) -> Tensor:
        """Rows that were not there yesterday, bool [n]."""
        return self.rows[side] < 0

    def in_words(self) -> str:
        """How many are known: ``480 of 512 users and 1500 of 1510 items``."""
        counts = {side: (int((rows > 0).sum()), len(rows) - 1) for side, rows in self.rows.items()}
        return " and ".join(f"{known:,} of {total:,} {side}s" for side, (known, total) in counts.items())

    def axes(self, name: str, before: Sequence[int], today: Sequence[int]) -> list[str | None]:
        """Which dimensions of a tensor are users or items: those that were as many as they are.

        Where there are as many users as items the tensor's name decides.

        Args:
            name: the tensor's.
            before: its shape yesterday.
            today: its shape now.

        Returns:
            ``user``, ``item`` or None for each dimension.

        Raises:
            ValueError: the shapes do not follow from each other, or may do so in two ways.
        """
        if len(before) != len(today):
            raise ValueError(f"{name} has {len(today)} dimensions, and had {len(before)}")
        return [self._side(name, was, now) for was, now in zip(before, today)]

    def _side(self, name: str, was: int, now: int) -> str | None:
        sides = [side for side in SIDES if (was, now) == (self.before[side], len(self.rows[side]))]
        if len(sides) > 1:
            sides = [side for side in sides if side in name] if sum(side in name for side in sides) == 1 else sides
        if len(sides) > 1:
            raise ValueError(f"{name}: there are {now} users and as many items, and its name says neither")
        if not sides and was != now:
            raise ValueError(f"{name} has a dimension of {now}, and had one of {was}")
        return sides[0] if sides else None

    def moved(self, value: Tensor, fresh: Tensor, axes: Sequence[str | None]) -> Tensor:
        """A tensor of yesterday's at today's places; new rows are the means of their neighbours' rows.

        Args:
            value: yesterday's.
            fresh: today's, as it was initialised.
            axes: what :meth:`axes` gave.

        Returns:
            A tensor of the shape and type of ``fresh``.
        """
        for axis, side in enumerate(axes):
            if side is not None:
                value = self._moved_rows(value.transpose(0, axis), side).transpose(0, axis)
        return value.to(fresh.dtype).contiguous()

    def _moved_rows(self, value: Tensor, side: str) -> Tensor:
        rows, new = self.rows[side], self.is_new(side)
        found = value[rows.clamp(min=0)]
        if bool(new.any()):
            flat = found.reshape(len(found), -1).double().numpy()
            means = neighbour_means(flat, new.numpy(), self.pairs if side == "user" else self.pairs.T.tocsr())
            found[new] = torch.from_numpy(means).to(found.dtype).view(-1, *found.shape[1:])
        return found


def neighbour_means(table: NDArray[np.float64], new: NDArray[np.bool_], pairs: csr_matrix) -> NDArray[np.float64]:
    """Rows for those that are new: the mean over their pairs' partners of the mean over these partners' known rows.

    A new item so stands where the other items of its users stand; one without any partner who knows others stands in
    the mean of all known rows.

    Args:
        table: [n, d]; row 0 is padding.
        new: the rows that are asked for, bool [n].
        pairs: who is paired with whom on the other side, [n, m].

    Returns:
        Their rows, [number of new rows, d].

    >>> pairs = csr_matrix([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])  # row 3 shares its only partner with row 2
    >>> neighbour_means(np.array([[9.0], [1.0], [3.0], [0.0], [0.0]]), np.array([0, 0, 0, 1, 1], dtype=bool), pairs)
    array([[3.],
           [2.]])
    """
    known = ~new
    known[0] = False
    of_known, of_new = pairs[known], pairs[new]
    sizes = np.asarray(of_known.sum(0)).ravel()  # [m]
    partners = (of_known.T @ table[known]) / np.maximum(sizes, 1.0)[:, None]  # [m, d]
    counts = of_new @ (sizes > 0).astype(np.float64)  # [new]
    means = (of_new @ partners) / np.maximum(counts, 1.0)[:, None]
    means[counts == 0] = table[known].mean(0)
    return means
