"""R_u of a dot-product student without a [batch, items] tensor: mass and gradients of blocks of users, tile by tile.

A block of users is scored and turned into mass while it is in cache; the losses of :mod:`recbole_hetcomp.core.fused`
finish their gradients from it at once, any other loss takes R_u itself from :func:`fused_rest_logsumexp`.

Source: method sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding

from recbole_hetcomp.core.rankings import PAD, user_blocks
from recbole_hetcomp.core.sampling import columns_of, sample_scale

_TILE_ROWS = 32  # users whose scores are worked on at once on a CPU: their row of 32 x 25,000 floats stays in cache
_CACHED_ELEMENTS = 2**19  # scores of more users at once where the catalogue is small: fewer, longer steps
_TILE_ELEMENTS = {"cpu": 2**20}
_BLOCK_ELEMENTS = {"cpu": 2**22}
_ELSEWHERE_ELEMENTS = 2**26  # on a GPU: few large kernels


def fused_rest_logsumexp(
    user_factors: Tensor,
    item_factors: Tensor,
    excluded: Tensor,
    first_item: int = 0,
    budget: int | None = None,
    sample: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    r"""R_u of a batch for scores f(u, i) = p_u . q_i, for losses other than those of `fused_listwise_loss`.

    .. math:: R_u = \log \sum_{i \in rest_u} e^{f(u, i)}

    The backward pass scores the catalogue again instead of keeping a [batch, items] tensor. Value and gradients are
    those of `rest_logsumexp`, or of `shared_rest_logsumexp` where ``sample`` is given. Double backward is not
    supported.
    Source: method sections 5 and 6.

    Args:
        user_factors: p of the batch's users, floating point, shape [B, d].
        item_factors: q of all items, shape [I, d].
        excluded: items outside rest_u (history, taught items), ``PAD`` and repeats allowed anywhere, shape [B, H].
        first_item: smaller item ids are in no rest (1 where item 0 is padding).
        budget: scores held at once; bounds memory, changes no result beyond rounding. None: by device.
        sample: as in `fused_listwise_loss`.

    Returns:
        Shape [B], of the factors' type; -inf, with zero gradient, where the rest is empty.

    >>> fused_rest_logsumexp(torch.zeros(1, 2), torch.zeros(4, 2), torch.tensor([[2, -1]]))   # log 3
    tensor([1.0986])
    """
    result: Tensor = _FusedRest.apply(user_factors, item_factors, excluded.long(), first_item, budget, sample)
    return result


class _FusedRest(torch.autograd.Function):
    """The rest's log mass; the backward pass computes the mass anew."""

    @staticmethod
    def forward(
        ctx: Any,
        user_factors: Tensor,
        item_factors: Tensor,
        excluded: Tensor,
        first_item: int,
        budget: int | None,
        sample: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        kind = torch.promote_types(user_factors.dtype, torch.float32)
        users = user_factors.to(kind)
        rest = rest_of(item_factors.to(kind), excluded, first_item, budget, sample)
        result = users.new_empty(len(users))
        for block in user_blocks(len(users), 1, rest.rows):
            result[block] = rest.log(rest.mass(users[block], block), block)
        ctx.save_for_backward(user_factors, item_factors, excluded)
        ctx.settings = first_item, budget, sample
        return result.to(user_factors.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        user_factors, item_factors, excluded = ctx.saved_tensors
        kind = torch.promote_types(user_factors.dtype, torch.float32)
        users, grad = user_factors.to(kind), grad.to(kind)
        rest = rest_of(item_factors.to(kind), excluded, *ctx.settings)
        user_grad = torch.zeros_like(users)
        for block in user_blocks(len(users), 1, rest.rows):
            mass = rest.mass(users[block], block)
            nothing = excluded[block, :0]
            rest.add_gradients(mass, block, nothing, nothing.to(kind), grad[block], user_grad[block])
        item_grad = rest.item_gradients().to(item_factors.dtype).contiguous()
        return (user_grad.to(user_factors.dtype), item_grad, *(None,) * 4)


def rest_of(
    items: Tensor, outside: Tensor, first_item: int, budget: int | None, sample: tuple[Tensor, Tensor] | None
) -> Rest | SampledRest:
    """The rest of a batch.

    Args:
        items: q of all items, at least float32, shape [I, d].
        outside: items outside the rest, ``PAD`` and repeats allowed anywhere, int64 [B, H].
        first_item: smaller item ids are in no rest.
        budget: scores held at once; None: by device.
        sample: the items drawn for the batch [S] and the number of items in each user's rest [B]; None: exact.
    """
    if sample is None:
        return Rest(items, _Places.of(outside, first_item), budget)
    return SampledRest(items, outside, *sample, budget)


@dataclass(frozen=True)
class _Places:
    """Places [row, item] of a batch that are outside the rest, in order of their row."""

    row: Tensor  # [n]
    item: Tensor  # [n]
    offsets: list[int]  # [B + 1]
    first_item: int

    @staticmethod
    def of(items: Tensor, first_item: int) -> _Places:
        row, column = (items != PAD).nonzero(as_tuple=True)
        counts = torch.bincount(row, minlength=len(items)).cumsum(0)
        return _Places(row, items[row, column], [0, *counts.tolist()], first_item)

    def within(self, rows: slice, columns: slice, n_items: int) -> tuple[Tensor, Tensor]:
        """Those of some rows and columns, counted from their first."""
        part = slice(self.offsets[rows.start], self.offsets[rows.stop])
        row, item = self.row[part] - rows.start, self.item[part]
        if columns == slice(0, n_items):
            return row, item
        inside = (item >= columns.start) & (item < columns.stop)
        return row[inside], item[inside] - columns.start


def _add_listed(weight: Tensor, lists: Tensor, grad: Tensor, columns: slice, n_items: int) -> None:
    """Add the listed items' gradients [B, L] where they stand in a tile; those of padded places are 0."""
    place = lists.clamp(min=0)
    if columns != slice(0, n_items):
        outside = (place < columns.start) | (place >= columns.stop)
        place, grad = (place - columns.start).masked_fill(outside, 0), grad.masked_fill(outside, 0.0)
    weight.scatter_add_(1, place, grad)


@dataclass(frozen=True)
class _Mass:
    """The rest's mass of a block of users, over exp(top), and its places where they were kept."""

    factors: Tensor  # [B, d]
    top: Tensor  # [B, 1]
    total: Tensor  # [B, 1]
    kept: Tensor | None  # [B, I]

    def log(self) -> Tensor:
        """R_u, -inf for an empty rest, [B]."""
        return (self.total.log() + self.top)[:, 0]


class Rest:
    """Mass and gradients of the rest for blocks of users, tile by tile.

    A catalogue that fits keeps its mass for the gradients, so no exponential is taken twice; on a wider one tiles of
    items are scored again.
    """

    def __init__(self, items: Tensor, places: _Places, budget: int | None) -> None:
        self.items = items.t().contiguous()  # [d, I]: products with long rows
        self.n_items = items.shape[0]
        self.places = places
        kind = items.device.type
        budget = budget or _BLOCK_ELEMENTS.get(kind, _ELSEWHERE_ELEMENTS)
        fits = budget // max(1, self.n_items)
        cached = _CACHED_ELEMENTS // max(1, self.n_items) // _TILE_ROWS * _TILE_ROWS
        self.tile_rows = max(_TILE_ROWS, cached if kind == "cpu" else fits)
        self.keeps = fits >= _TILE_ROWS
        self.rows = fits // _TILE_ROWS * _TILE_ROWS if self.keeps else max(1, min(128, budget // 1024))
        elements = min(budget, _TILE_ELEMENTS.get(kind, _ELSEWHERE_ELEMENTS))
        self._buffer = self.items.new_empty(self.rows, self.n_items) if self.keeps else None  # new pages cost time
        self.width = max(1, self.n_items if self.keeps else elements // min(self.rows, self.tile_rows))
        self._grad = torch.zeros_like(self.items)  # [d, I]

    def item_gradients(self) -> Tensor:
        """Gradient of the items' factors, [I, d]."""
        return self._grad.t()

    def log(self, mass: _Mass, block: slice) -> Tensor:
        """R_u of a block's users, [B]."""
        return mass.log()

    def mass(self, factors: Tensor, block: slice) -> _Mass:
        """The rest's mass of a block's users."""
        n_rows = len(factors)
        kept = None if self._buffer is None else self._buffer[:n_rows]
        top = factors.new_full((n_rows, 1), -torch.inf)
        total = factors.new_zeros(n_rows, 1)
        for rows, columns in self._tiles(n_rows):
            scores = self._scores(factors, block, rows, columns, kept)
            before = top[rows]
            now = torch.maximum(before, scores.amax(dim=1, keepdim=True)) if scores.shape[1] else before
            base = now.masked_fill(now == -torch.inf, 0.0)
            added = scores.sub_(base).exp_().sum(dim=1, keepdim=True)
            total[rows] = total[rows] * (before - base).exp_() + added
            top[rows] = now
        return _Mass(factors, top.masked_fill_(top == -torch.inf, 0.0), total, kept)

    def add_gradients(
        self,
        mass: _Mass,
        block: slice,
        lists: Tensor | None,
        listed_grad: Tensor,
        rest_grad: Tensor,
        user_grad: Tensor,
    ) -> None:
        """Add the block's gradients to those of its users' factors [B, d] and of the items' factors.

        The listed items' own part is left out where ``lists`` is None.
        """
        scale = rest_grad[:, None] / mass.total.clamp(min=1.0)  # total is 1 or more, or 0 for an empty rest
        transposed = mass.factors.t().contiguous()  # [d, B]
        for rows, columns in self._tiles(len(scale)):
            if mass.kept is None:
                scores = self._scores(mass.factors, block, rows, columns, None)
                weight = scores.sub_(mass.top[rows]).exp_()
            else:
                weight = mass.kept[rows]
            weight.mul_(scale[rows])
            if lists is not None:
                _add_listed(weight, lists[rows], listed_grad[rows], columns, self.n_items)
            self._grad[:, columns].addmm_(transposed[:, rows], weight)
            user_grad[rows] += (self.items[:, columns] @ weight.t()).t()

    def _scores(self, factors: Tensor, block: slice, rows: slice, columns: slice, kept: Tensor | None) -> Tensor:
        """Scores of a tile, -inf outside the rest."""
        items = self.items[:, columns]
        scores = factors[rows] @ items if kept is None else torch.mm(factors[rows], items, out=kept[rows])
        outside = slice(block.start + rows.start, block.start + rows.stop)
        scores[self.places.within(outside, columns, self.n_items)] = -torch.inf
        scores[:, : max(0, self.places.first_item - columns.start)] = -torch.inf
        return scores

    def _tiles(self, n_rows: int) -> Iterator[tuple[slice, slice]]:
        for rows in user_blocks(n_rows, 1, self.tile_rows):
            for columns in user_blocks(self.n_items, 1, self.width):
                yield rows, columns


class SampledRest:
    """The same from items drawn for the whole batch: a small catalogue for the rest, the listed items beside it."""

    def __init__(self, items: Tensor, outside: Tensor, drawn: Tensor, rest_size: Tensor, budget: int | None) -> None:
        hit = columns_of(drawn, items.shape[0])[outside]  # [B, P + K + H]; PAD where an item was not drawn
        self.scale = sample_scale(hit, len(drawn), rest_size, items.dtype)  # [B]
        self.items = items
        self.drawn = drawn
        self._rest = Rest(embedding(drawn, items), _Places.of(hit, first_item=0), budget)
        self._grad = torch.zeros_like(items)  # [I, d]
        self.rows = self._rest.rows

    def item_gradients(self) -> Tensor:
        """Gradient of the items' factors, [I, d]."""
        return self._grad.index_add_(0, self.drawn, self._rest.item_gradients())

    def log(self, mass: _Mass, block: slice) -> Tensor:
        """R_u of a block's users, estimated, [B]."""
        return mass.log() + self.scale[block]

    def mass(self, factors: Tensor, block: slice) -> _Mass:
        """The drawn rest's mass of a block's users."""
        return self._rest.mass(factors, block)

    def add_gradients(
        self,
        mass: _Mass,
        block: slice,
        lists: Tensor,
        listed_grad: Tensor,
        rest_grad: Tensor,
        user_grad: Tensor,
    ) -> None:
        """Add the block's gradients to those of its users' factors [B, d] and of the items' factors."""
        self._rest.add_gradients(mass, block, None, listed_grad, rest_grad, user_grad)
        place = lists.clamp(min=0)  # gradients of padded places are 0
        user_grad += (listed_grad[:, None] @ embedding(place, self.items))[:, 0]
        by_item = listed_grad[:, :, None] * mass.factors[:, None]  # [B, P + K, d]
        self._grad.index_add_(0, place.flatten(), by_item.flatten(0, 1))
