"""R_u from some of the catalogue: the rest sampled, for catalogues too large to score in full (method section 6).

``sample_rest`` draws for each user alone; ``draw_items`` once for all users of a batch, whose scores are then one
matrix product, so that many more draws cost less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recbole_hetcomp.core.losses import rest_logsumexp
from recbole_hetcomp.core.rankings import PAD


def draw_items(n_items: int, S: int, generator: torch.Generator, first_item: int = 0) -> Tensor:
    """Draw S items for a whole batch, uniformly and with replacement, and keep the distinct ones.

    Given their number, the distinct items are a uniform draw without replacement, and so are those of them that
    fall into a user's rest: a draw of rest_u that shares nothing with the scores. Two draws of the same item would
    tell nothing new.
    Source: method section 6.

    Args:
        n_items: one more than the largest item id.
        S: number of draws.
        generator: source of randomness; may live on another device.
        first_item: the smallest item id that may be drawn (1 where item 0 is padding).

    Returns:
        Item ids, ascending, int64, at most S of them, on the generator's device.

    Raises:
        ValueError: if S is below 1, or there is no item.

    >>> draw_items(4, S=100, generator=torch.Generator().manual_seed(0), first_item=1)
    tensor([1, 2, 3])
    """
    if S < 1:
        raise ValueError(f"S is {S}; allowed: 1 or more draws")
    if n_items <= first_item:
        raise ValueError(f"n_items is {n_items}; allowed: more than first_item = {first_item}")
    drawn = torch.randint(first_item, n_items, (S,), device=generator.device, generator=generator)
    return drawn.unique()


def shared_rest_logsumexp(scores: Tensor, drawn: Tensor, outside: Tensor, rest_size: Tensor, n_items: int) -> Tensor:
    r"""R_u of every user of a batch, estimated from items drawn once for all of them.

    .. math:: \hat R_u = \log \sum_{i \in D \cap rest_u} e^{f(u, i)} + \log(|rest_u| / |D \cap rest_u|)

    The mass is estimated without bias given that a drawn item is in the user's rest; where none is, it counts as 0.
    Source: method section 6.

    Args:
        scores: student scores of the drawn items, shape [B, S].
        drawn: D, item ids without repeats, ascending, int64, shape [S].
        outside: items outside rest_u, ``PAD`` allowed anywhere, shape [B, H].
        rest_size: number of items in rest_u, shape [B].
        n_items: one more than the largest item id.

    Returns:
        Shape [B]; -inf, with zero gradient, where no drawn item is in the rest.

    >>> everything = torch.arange(4)
    >>> shared_rest_logsumexp(torch.zeros(1, 4), everything, torch.tensor([[2]]), torch.tensor([3]), 4)   # log 3
    tensor([1.0986])
    """
    hit = columns_of(drawn, n_items)[outside.long()]  # [B, H]
    return rest_logsumexp(scores, _hit_mask(hit, len(drawn))) + sample_scale(hit, len(drawn), rest_size, scores.dtype)


def columns_of(drawn: Tensor, n_items: int) -> Tensor:
    """Where each item stands among the drawn ones, ``PAD`` where it does not; the last place is for ``PAD`` itself.

    >>> columns_of(torch.tensor([1, 3]), n_items=4)[torch.tensor([3, 0, -1])]
    tensor([ 1, -1, -1])
    """
    column = torch.full((n_items + 1,), PAD, dtype=torch.int64, device=drawn.device)
    column[drawn] = torch.arange(len(drawn), device=drawn.device)
    return column


def sample_scale(hit: Tensor, n_drawn: int, rest_size: Tensor, dtype: torch.dtype) -> Tensor:
    """log(abs(rest_u) / number of drawn items in rest_u), shape [B].

    Args:
        hit: columns of the items outside rest_u, ``PAD`` for those not drawn, repeats allowed, shape [B, H].
        n_drawn: S.
        rest_size: number of items in rest_u, shape [B].
        dtype: of the result.

    >>> sample_scale(torch.tensor([[1, -1, 1]]), n_drawn=3, rest_size=torch.tensor([8]), dtype=torch.float64)  # log 4
    tensor([1.3863], dtype=torch.float64)
    """
    row, column = _hits(hit)
    distinct = torch.unique(row * n_drawn + column)
    n_draws = n_drawn - torch.bincount(distinct // n_drawn, minlength=len(hit))  # [B]
    return rest_size.clamp(min=1).to(dtype).log() - n_draws.clamp(min=1).to(dtype).log()


def _hit_mask(hit: Tensor, n_drawn: int) -> Tensor:
    """True for drawn items that are outside a user's rest, bool [B, S]."""
    mask = torch.zeros(len(hit), n_drawn, dtype=torch.bool, device=hit.device)
    mask[_hits(hit)] = True
    return mask


def _hits(hit: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the drawn items that are outside a user's rest, repeats kept."""
    row, place = (hit != PAD).nonzero(as_tuple=True)
    return row, hit[row, place]


def sampled_rest_logsumexp(sample_scores: Tensor, rest_size: Tensor) -> Tensor:
    r"""R_u estimated from S uniform draws of rest_u.

    .. math:: \hat R_u = \log \sum_{s=1}^{S} e^{f(u, i_s)} + \log(|rest_u| / S)

    The mass is estimated without bias, its logarithm with one that vanishes as S grows.
    Source: method section 6.

    Args:
        sample_scores: student scores of the drawn items, shape [B, S].
        rest_size: number of items in rest_u, shape [B].

    Returns:
        Shape [B]; -inf, with zero gradient, where rest_size is 0.

    Raises:
        ValueError: if S is 0.

    >>> sampled_rest_logsumexp(torch.zeros(1, 2), torch.tensor([8]))   # log 8
    tensor([2.0794])
    """
    n_draws = sample_scores.shape[1]
    if n_draws == 0:
        raise ValueError("sample_scores has 0 columns; allowed: 1 or more draws")
    empty = (rest_size == 0)[:, None].expand_as(sample_scores)
    scale = rest_size.clamp(min=1).to(sample_scores.dtype).log() - math.log(n_draws)
    return rest_logsumexp(sample_scores, empty) + scale


def _distinct_excluded(excluded_items: Tensor, n_items: int, first_item: int) -> tuple[Tensor, Tensor]:
    """Distinct excluded items, ascending, ``n_items`` behind the last [B, H], and their number [B]."""
    items = excluded_items.long()
    outside = (items < first_item) | (items >= n_items)  # PAD is below any first item
    items = torch.sort(items.masked_fill(outside, n_items), dim=1)[0]
    repeated = torch.zeros_like(items, dtype=torch.bool)
    repeated[:, 1:] = items[:, 1:] == items[:, :-1]
    items = torch.sort(items.masked_fill(repeated, n_items), dim=1)[0]
    return items, (items < n_items).sum(dim=1)


def rest_size(excluded_items: Tensor, n_items: int, first_item: int = 0) -> Tensor:
    """Number of items in first_item … n_items-1 that are not excluded: abs(rest_u), int64, shape [B].

    >>> rest_size(torch.tensor([[1, 3, 3, -1]]), n_items=5)
    tensor([3])
    """
    return n_items - first_item - _distinct_excluded(excluded_items, n_items, first_item)[1]


def sample_rest(
    excluded_items: Tensor, n_items: int, S: int, generator: torch.Generator, first_item: int = 0
) -> Tensor:
    """Draw S items of rest_u, uniformly and with replacement.

    Draws a number t below abs(rest_u) and takes the t-th item that is not excluded: with e_0 < e_1 < …
    excluded, e_j - j items of the rest stand before e_j, so the t-th is t plus the number of j with e_j - j
    <= t. No draw is rejected, so time does not depend on how much is excluded, and memory not on the number
    of items.
    Source: method section 6.

    Args:
        excluded_items: observed and taught items, in any order, repeats and ``PAD`` allowed, shape [B, H].
        n_items: one more than the largest item id.
        S: number of draws a row.
        generator: source of randomness; may live on another device.
        first_item: the smallest item id that may be drawn (1 where item 0 is padding).

    Returns:
        Item ids, int64, shape [B, S].

    Raises:
        ValueError: if S is below 1, or every item of a row is excluded.

    >>> sample_rest(torch.tensor([[0, 1, 3]]), n_items=4, S=3, generator=torch.Generator().manual_seed(0))
    tensor([[2, 2, 2]])
    """
    if S < 1:
        raise ValueError(f"S is {S}; allowed: 1 or more draws")
    excluded, count = _distinct_excluded(excluded_items, n_items, first_item)
    size = n_items - first_item - count  # [B]
    if bool((size <= 0).any()):
        row = int((size <= 0).nonzero()[0, 0])
        raise ValueError(
            f"row {row} excludes every item of {first_item} … {n_items - 1}; allowed: rows that leave an item to draw"
        )
    uniform = torch.rand(len(size), S, dtype=torch.float64, device=generator.device, generator=generator)
    draw = (uniform.to(size.device) * size[:, None]).long()  # [B, S]
    draw = torch.minimum(draw, size[:, None] - 1) + first_item
    column = torch.arange(excluded.shape[1], device=size.device)
    before = (excluded - column).masked_fill(excluded == n_items, n_items)  # [B, H]: e_j - j, ascending
    return draw + torch.searchsorted(before, draw, right=True)


def importance(rank: Tensor, listed: Tensor, temperature: float) -> Tensor:
    """exp(-r / T) of the listed items, 0 of the others (method section 2).

    Args:
        rank: 0 for the best, shape [B, L].
        listed: False where an item has no rank, bool, shape [B, L].
        temperature: T, in ranks.

    Returns:
        float32 [B, L].

    >>> importance(torch.tensor([[0, 7]]), torch.tensor([[True, False]]), temperature=10.0)
    tensor([[1., 0.]])
    """
    return torch.exp(-rank.float() / temperature).masked_fill(~listed, 0.0)


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise: the k largest of log w + noise are k draws without replacement in proportion to w.

    Args:
        like: of the wanted shape and device.
        generator: source of randomness; may live on another device.
    """
    uniform = torch.rand(like.shape, generator=generator, device=generator.device)
    tiny = torch.finfo(uniform.dtype).tiny
    return -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log().to(like.device)
