"""Top lists: from scores to rankings, ranks within lists, and the observed items N+_u (method, notation).

Every ranking in the package is an integer matrix with one row a user, best item first, and ``PAD`` behind the
last item of a row that has fewer items than the matrix has columns. Equal scores go to the smaller item id,
so that a ranking is a function of its scores and never of a sort's whims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PAD: int = -1
"""Marks "no item"; stands only at the end of a row."""

BLOCK_ELEMENTS: int = 2**21
"""Default number of elements in one intermediate matrix of a computation that runs in blocks of users."""


def user_blocks(n_users: int, width: int, budget: int = BLOCK_ELEMENTS) -> Iterator[slice]:
    """Cut ``n_users`` rows into blocks of at most ``budget`` elements, at ``width`` elements a row.

    A block holds at least one row, so a row wider than the budget still passes. No result depends on the cut.

    Raises:
        ValueError: if ``budget`` is below 1.

    >>> list(user_blocks(5, width=10, budget=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if budget < 1:
        raise ValueError(f"budget is {budget}; allowed: 1 or more elements")
    step = max(1, budget // max(1, width))
    for start in range(0, n_users, step):
        yield slice(start, min(start + step, n_users))


def lexsort(*keys: Tensor) -> Tensor:
    """Columns of each row in ascending order of the first key, then of the second, and so on; stable.

    Args:
        keys: matrices of one shape [B, L]; the first decides, the next ones break its ties.

    Returns:
        Column indices, int64, shape [B, L].

    >>> lexsort(torch.tensor([[1, 0, 1]]), torch.tensor([[5, 9, 4]]))
    tensor([[1, 2, 0]])
    """
    order = torch.sort(keys[-1], dim=1, stable=True)[1]
    for key in reversed(keys[:-1]):
        order = order.gather(1, torch.sort(key.gather(1, order), dim=1, stable=True)[1])
    return order


def top_k(scores: Tensor, k: int, excluded: Tensor | None = None) -> Tensor:
    """The k best items of each row, best first, ties to the smaller item id.

    An item of score -inf is no candidate, as if it were excluded (RecBole masks items that way).

    Args:
        scores: shape [B, I], floating point.
        k: length of the lists; may exceed I.
        excluded: True where an item is no candidate, bool, shape [B, I].

    Returns:
        Item ids, int64, shape [B, k], ``PAD`` where a row has fewer than k candidates.

    Raises:
        ValueError: if k is below 1, or a candidate's score is NaN.

    >>> top_k(torch.tensor([[0.5, 2.0, 0.5, 0.5]]), 3)
    tensor([[1, 0, 2]])
    >>> top_k(torch.tensor([[0.5, 2.0]]), 3, torch.tensor([[False, True]]))
    tensor([[ 0, -1, -1]])
    """
    if k < 1:
        raise ValueError(f"k is {k}; allowed: 1 or more")
    candidates = scores if excluded is None else scores.masked_fill(excluded, -torch.inf)
    n_rows, n_items = candidates.shape
    size = min(k, n_items)
    lists = torch.full((n_rows, k), PAD, dtype=torch.int64, device=scores.device)
    if size == 0 or n_rows == 0:
        return lists
    best, items = candidates.topk(min(size + 1, n_items), dim=1)  # [B, size + 1]: one more shows a cut tie
    if bool(best[:, 0].isnan().any()):  # topk puts NaN before every number
        raise ValueError("scores hold NaN; allowed: numbers, and -inf for an item that is no candidate")
    best, items, cut_tie = best[:, :size], items[:, :size], _tie_at(best, size)
    if bool(cut_tie.any()):
        items = items.clone()
        items[cut_tie] = _keep_smallest_ids(candidates[cut_tie], best[cut_tie, -1:], size)
        best = candidates.gather(1, items)
    tied = (best[:, 1:] == best[:, :-1]).any(dim=1) | cut_tie  # elsewhere topk's order is the only one
    if bool(tied.any()):
        items = items.clone()
        items[tied] = items[tied].gather(1, lexsort(-best[tied] + 0.0, items[tied]))  # + 0.0 makes -0.0 and 0.0 one
        best = candidates.gather(1, items)
    lists[:, :size] = items.masked_fill(best == -torch.inf, PAD)
    return lists


def _tie_at(best: Tensor, size: int) -> Tensor:
    """Rows whose items at positions ``size - 1`` and ``size`` are candidates of equal score, bool [B]."""
    if best.shape[1] <= size:
        return torch.zeros(best.shape[0], dtype=torch.bool, device=best.device)
    return (best[:, size - 1] == best[:, size]) & (best[:, size] > -torch.inf)


def _keep_smallest_ids(scores: Tensor, threshold: Tensor, size: int) -> Tensor:
    """The items above the threshold and, of those at it, the smallest ids: ``size`` a row, in order of id."""
    items = torch.empty(len(scores), size, dtype=torch.int64, device=scores.device)
    for block in user_blocks(*scores.shape):
        above, level = scores[block] > threshold[block], scores[block] == threshold[block]  # [B, I]
        room = size - above.sum(1, keepdim=True)  # [B, 1]
        keep = above | (level & (level.cumsum(1, dtype=torch.int32) <= room))
        items[block] = keep.nonzero()[:, 1].view(-1, size)
    return items


def ranks_in(lists: Tensor, items: Tensor, absent: int) -> Tensor:
    """Rank of each item in its row's list.

    Sorts each list and searches it, so memory is that of the arguments, whatever the number of items.

    Args:
        lists: item ids, best first, shape [B, L].
        items: item ids looked up, shape [B, J].
        absent: the answer for an item that the list does not hold, and for ``PAD``.

    Returns:
        Ranks, 0 for the best, int64, shape [B, J]; the best of them should a list repeat an item.

    >>> ranks_in(torch.tensor([[7, 3, 9, -1]]), torch.tensor([[9, 4, 7, -1]]), absent=100)
    tensor([[  2, 100,   0, 100]])
    """
    return SortedLists.of(lists).ranks_of(items, absent)


@dataclass(frozen=True)
class SortedLists:
    """Lists made ready to be searched, for those that are searched more than once.

    Attributes:
        by_id: each row's items in ascending order, shape [B, L].
        rank: their ranks, int64, shape [B, L].

    >>> SortedLists.of(torch.tensor([[7, 3, 9, -1]])).ranks_of(torch.tensor([[9, 4, 7, -1]]), absent=100)
    tensor([[  2, 100,   0, 100]])
    """

    by_id: Tensor
    rank: Tensor

    @staticmethod
    def of(lists: Tensor) -> SortedLists:
        """Sort lists of item ids, best first, shape [B, L]."""
        return SortedLists(*torch.sort(lists, dim=1, stable=True))

    def at(self, rows: Tensor | slice) -> SortedLists:
        """Some of the rows."""
        return SortedLists(self.by_id[rows], self.rank[rows])

    def ranks_of(self, items: Tensor, absent: int) -> Tensor:
        """Rank of each item in its row's list, as `ranks_in` says, int64, shape [B, J]."""
        if self.by_id.shape[1] == 0 or items.numel() == 0:
            return torch.full(items.shape, absent, dtype=torch.int64, device=items.device)
        kind = torch.promote_types(self.by_id.dtype, items.dtype)
        by_id, items = self.by_id.to(kind), items.to(kind).contiguous()
        slot = torch.searchsorted(by_id, items).clamp_(max=by_id.shape[1] - 1)  # [B, J]
        found = (by_id.gather(1, slot) == items) & (items != PAD)
        return self.rank.gather(1, slot).masked_fill_(~found, absent)


def observed_ranks(scores: Tensor, observed: Tensor) -> Tensor:
    """Rank of each observed item among the user's observed items: one row of rho(m, e, u) a user.

    Args:
        scores: shape [B, I], floating point.
        observed: the users' observed items, ``PAD`` at the end of a row, shape [B, H].

    Returns:
        Ranks, 0 for the best, ties to the smaller id, ``PAD`` kept, int64, shape [B, H]. A user none of whose observed
        items is ranked (all -inf) has their number as the rank of each: what is the same everywhere orders nothing.

    Raises:
        ValueError: if an observed item's score is NaN.

    >>> observed_ranks(torch.tensor([[0.1, 0.9, 0.5, 0.9]]), torch.tensor([[0, 1, 3, -1]]))
    tensor([[ 2,  0,  1, -1]])
    """
    padding = observed == PAD
    if observed.numel() == 0:
        return torch.full(observed.shape, PAD, dtype=torch.int64, device=observed.device)
    items = observed.long()
    values = scores.gather(1, items.clamp(min=0)).masked_fill(padding, 0.0)  # [B, H]
    if bool(values.isnan().any()):
        raise ValueError("scores hold NaN; allowed: numbers")
    order = lexsort(padding.long(), -values + 0.0, items)
    position = torch.arange(items.shape[1], device=items.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, position)
    unknown = (padding | (values == -torch.inf)).all(dim=1, keepdim=True)
    return torch.where(unknown, (~padding).sum(dim=1, keepdim=True), ranks).masked_fill(padding, PAD)


def lists_at(trajectory: Tensor, snapshot: Tensor, users: Tensor, length: int | None = None) -> Tensor:
    """The lists that a trajectory holds at one snapshot a user.

    The trajectory may lie on another device than the rest (memory-mapped on the host, say): only the selected
    rows travel.

    Args:
        trajectory: item ids, int16 or int32, shape [E, U, K'].
        snapshot: which snapshot for each row, int64, shape [B].
        users: which user for each row, int64, shape [B].
        length: L, how much of each list; all of it if None.

    Returns:
        Item ids, of the trajectory's type, shape [B, L], on the device of ``users``.

    >>> lists_at(torch.tensor([[[1, 2]], [[3, 4]]]), torch.tensor([1]), torch.tensor([0]))
    tensor([[3, 4]])
    """
    rows = trajectory[:, :, :length][snapshot.to(trajectory.device), users.to(trajectory.device)]
    return rows.to(users.device)


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one vector; holds N+_u, and whatever is aligned with it.

    Attributes:
        offsets: row u is ``values[offsets[u]:offsets[u + 1]]``, int64, shape [U + 1].
        values: the rows, one after the other, shape [nnz].

    >>> observed = Ragged.from_pairs(torch.tensor([2, 0, 2]), torch.tensor([5, 7, 3]), n_users=3)
    >>> observed.padded(torch.tensor([0, 1, 2]))
    tensor([[ 7, -1],
            [-1, -1],
            [ 3,  5]])
    """

    offsets: Tensor
    values: Tensor

    @staticmethod
    def from_pairs(users: Tensor, items: Tensor, n_users: int) -> Ragged:
        """The items of each user, in ascending order, repeated pairs kept once.

        Args:
            users: user ids, shape [n].
            items: item ids, shape [n].
            n_users: U; users without a pair get an empty row.

        Raises:
            ValueError: if the arguments differ in length or a user id is outside 0 … U-1, or an item id below
                0.
        """
        if users.shape != items.shape or users.dim() != 1:
            raise ValueError(
                f"users and items have shapes {tuple(users.shape)} and {tuple(items.shape)}; "
                "allowed: two vectors of one length"
            )
        if users.numel() and not (int(users.min()) >= 0 and int(users.max()) < n_users):
            raise ValueError(f"user ids run from {int(users.min())} to {int(users.max())}; allowed: 0 … {n_users - 1}")
        if items.numel() and int(items.min()) < 0:
            raise ValueError(f"item id {int(items.min())}; allowed: 0 or more")
        stride = int(items.max()) + 1 if items.numel() else 1
        pairs = torch.unique(users.long() * stride + items.long())  # ascending by user, then item
        counts = torch.bincount(pairs // stride, minlength=n_users)
        return Ragged(torch.cat((counts.new_zeros(1), counts.cumsum(0))), pairs % stride)

    def to(self, device: torch.device | str) -> Ragged:
        """The same rows on a device."""
        return Ragged(self.offsets.to(device), self.values.to(device))

    @property
    def n_rows(self) -> int:
        """U."""
        return self.offsets.shape[0] - 1

    def lengths(self) -> Tensor:
        """Number of values in each row, int64, shape [U]."""
        return self.offsets[1:] - self.offsets[:-1]

    def positions(self, users: Tensor) -> Tensor:
        """Where each value of the users' rows stands in ``values``, ``PAD`` behind a row's end, int64 [B, H].

        H is the length of the longest of these rows.
        """
        start, stop = self.offsets[users], self.offsets[users + 1]  # [B]
        longest = int((stop - start).max()) if users.numel() else 0
        position = start[:, None] + torch.arange(longest, device=users.device)  # [B, H]
        return position.masked_fill(position >= stop[:, None], PAD)

    def padded(self, users: Tensor, fill: int = PAD) -> Tensor:
        """The users' rows as a matrix, ``fill`` behind a row's end, shape [B, H]."""
        return take_padded(self.values, self.positions(users), fill)


def take_padded(values: Tensor, positions: Tensor, fill: int = PAD) -> Tensor:
    """``values[..., positions]`` with ``fill`` where a position is ``PAD``.

    >>> take_padded(torch.tensor([4, 5]), torch.tensor([[1, -1]]))
    tensor([[ 5, -1]])
    """
    if values.numel() == 0:
        return torch.full(positions.shape, fill, dtype=values.dtype, device=values.device)
    return values[positions.clamp(min=0)].masked_fill(positions == PAD, fill)


def exclusion(n_rows: int, n_items: int, *lists: Tensor) -> Tensor:
    """True for RecBole's padding item 0 and for every listed item.

    Args:
        n_rows: B.
        n_items: I.
        lists: item ids, padded with ``PAD``, int64 [B, L] each.

    Returns:
        bool [B, I].
    """
    device = lists[0].device
    excluded = torch.zeros(n_rows, n_items + 1, dtype=torch.bool, device=device)
    excluded[:, 0] = True
    for items in lists:
        excluded.scatter_(1, torch.where(items == PAD, n_items, items.long()), True)
    return excluded[:, :n_items]


def hide(scores: Tensor, users: Tensor, history: Ragged) -> Tensor:
    """Put -inf, in place, where an item is no candidate: RecBole's padding item 0 and the users' history.

    Args:
        scores: float [B, I].
        users: int64 [B], on the device of ``history``.
        history: each user's items that are no candidates.

    Returns:
        ``scores``.

    >>> seen = Ragged.from_pairs(torch.tensor([4]), torch.tensor([2]), n_users=5)
    >>> hide(torch.zeros(2, 3), torch.tensor([3, 4]), seen)
    tensor([[-inf, 0., 0.],
            [-inf, 0., -inf]])
    """
    lengths = history.lengths()[users]
    rows = torch.arange(len(users), device=users.device).repeat_interleave(lengths)
    before = history.offsets[users] - (lengths.cumsum(0) - lengths)  # [B]: from a pair's number to its place
    items = history.values[torch.arange(len(rows), device=users.device) + before[rows]]
    scores[:, 0] = -torch.inf
    scores[rows.to(scores.device), items.long().to(scores.device)] = -torch.inf
    return scores


def without(lists: Tensor, dropped: Tensor) -> Tensor:
    """Lists less the items that are dropped, the rest in order, ``PAD`` behind.

    Args:
        lists: item ids, best first, int [B, L].
        dropped: which places to leave out, bool [B, L].

    >>> without(torch.tensor([[7, 3, 9, -1]]), torch.tensor([[True, False, False, False]]))
    tensor([[ 3,  9, -1, -1]])
    """
    order = dropped.byte().sort(dim=1, stable=True)[1]
    return lists.masked_fill(dropped, PAD).gather(1, order)
