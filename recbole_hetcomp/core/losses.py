"""Adaptive knowledge transfer (ADKT): what the student minimises, coarse then fine (method sections 5 and 6).

All functions return one loss a user, [B], and leave the reduction to the caller. All work in the log domain:
gradients stay finite and exact where the listed items hold nearly all of the mass. Padded places, empty lists
and an empty rest (R_u = -inf) contribute exactly 0 to loss and gradient; what stands under a padded place is
never read.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid


def rest_logsumexp(scores: Tensor, excluded: Tensor) -> Tensor:
    r"""R_u: log of the mass that the student gives to the items that are not excluded.

    .. math:: R_u = \log \sum_{i \in rest_u} e^{f(u, i)}

    Source: method section 5.

    Args:
        scores: student scores, shape [B, I].
        excluded: True for items outside rest_u (observed, taught, padding), bool, shape [B, I].

    Returns:
        Shape [B]; -inf, with zero gradient, where the rest is empty.

    >>> rest_logsumexp(torch.zeros(1, 4), torch.tensor([[True, False, False, True]]))   # log 2
    tensor([0.6931])
    """
    result: Tensor = _MaskedLogSumExp.apply(scores, excluded)
    return result


class _MaskedLogSumExp(torch.autograd.Function):
    """logsumexp over the places that are not excluded: the one step that touches every item of the catalogue.

    Against ``masked_fill`` and ``logsumexp`` it keeps one matrix [B, I] for the gradient instead of three,
    takes no exponential twice, and has no -inf - -inf.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, excluded: Tensor) -> Tensor:
        if scores.shape[1] == 0:
            ctx.save_for_backward(scores, scores.new_ones(len(scores), 1))
            return scores.new_full((len(scores),), -torch.inf)
        mass = scores.masked_fill(excluded, -torch.inf)  # [B, I]
        top = mass.amax(dim=1, keepdim=True)  # [B, 1]
        top = top.masked_fill(top == -torch.inf, 0.0)
        total = mass.sub_(top).exp_().sum(dim=1, keepdim=True)  # [B, 1]; 1 or more, or 0 for an empty rest
        ctx.save_for_backward(mass, total)
        result: Tensor = (total.log() + top).squeeze(1)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        mass, total = ctx.saved_tensors
        return mass * (grad[:, None] / total.clamp(min=1.0)), None


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


def plackett_luce_nll(ranked: Tensor, rest: Tensor, valid: Tensor | None = None) -> Tensor:
    r"""Negative log-likelihood of a ranking under the Plackett-Luce model, L_rank.

    .. math:: L = -\sum_k \Bigl( f_k - \log\bigl( e^{f_k} + e^{f_{k+1}} + \dots + e^{R} \bigr) \Bigr)

    Source: method section 5.

    Args:
        ranked: student scores of the listed items, best item first, shape [B, L].
        rest: R, log mass of the items behind the list, shape [B]; -inf for none.
        valid: False at padded places, bool, shape [B, L]; all True if None.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> plackett_luce_nll(torch.zeros(1, 3), torch.tensor([-torch.inf]))   # log 3!
    tensor([1.7918])
    """
    if valid is None:
        valid = torch.ones_like(ranked, dtype=torch.bool)
    listed = ranked.masked_fill(~valid, _lowest(ranked))  # [B, L]
    behind = torch.cat((listed, _finite(rest)[:, None]), dim=1)  # [B, L + 1]
    tail = behind.flip(1).logcumsumexp(dim=1).flip(1)[:, :-1]  # [B, L]
    return (tail - listed).masked_fill(~valid, 0.0).sum(dim=1)


def coarse_loss(
    observed_scores: Tensor,
    unobserved_scores: Tensor,
    rest: Tensor,
    observed_valid: Tensor | None = None,
    unobserved_valid: Tensor | None = None,
) -> Tensor:
    r"""L_overall: which items belong on top, whatever their order.

    .. math:: L = -\sum_{i \in \pi^+_u \cup \pi^-_u} \Bigl( f_i - \log\bigl( e^{f_i} + e^{R_u} \bigr) \Bigr)

    Source: method section 5.

    Args:
        observed_scores: student scores of pi+_u, shape [B, P].
        unobserved_scores: student scores of pi-_u, shape [B, K].
        rest: R_u, shape [B]; -inf for an empty rest.
        observed_valid: False at padded places, bool, shape [B, P]; all True if None.
        unobserved_valid: False at padded places, bool, shape [B, K]; all True if None.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> coarse_loss(torch.zeros(1, 1), torch.zeros(1, 2), torch.zeros(1))   # 3 log 2
    tensor([2.0794])
    """
    rest = _finite(rest)[:, None]  # [B, 1]
    return _against_rest(observed_scores, rest, observed_valid) + _against_rest(
        unobserved_scores, rest, unobserved_valid
    )


def fine_loss(
    observed_scores: Tensor,
    unobserved_scores: Tensor,
    rest: Tensor,
    observed_valid: Tensor | None = None,
    unobserved_valid: Tensor | None = None,
) -> Tensor:
    r"""L_fine: the order of the items on top.

    .. math:: L = L_{rank}(\pi^+_u) + \tfrac12 [ L_{rank}(\pi^-_u[:K/2]) + L_{rank}(\pi^-_u[:K/10]) ]

    where behind each list stand the unobserved items that are not in it: rest_u and what is left of pi-_u.
    K/2 and K/10 are rounded down, K/10 to no less than 1.
    Source: method section 5.

    Args:
        observed_scores: student scores of pi+_u, best first, shape [B, P].
        unobserved_scores: student scores of pi-_u, best first, shape [B, K].
        rest: R_u, shape [B]; -inf for an empty rest.
        observed_valid: False at padded places, bool, shape [B, P]; all True if None.
        unobserved_valid: False at padded places, bool, shape [B, K]; all True if None.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> fine_loss(torch.zeros(1, 1), torch.zeros(1, 2), torch.zeros(1))   # log 4 + (log 3 + log 3) / 2
    tensor([2.4849])
    """
    if unobserved_valid is None:
        unobserved_valid = torch.ones_like(unobserved_scores, dtype=torch.bool)
    length = unobserved_scores.shape[1]
    half, tenth = length // 2, max(1, length // 10)
    unobserved = unobserved_scores.masked_fill(~unobserved_valid, _lowest(unobserved_scores))  # [B, K]

    def behind(n_listed: int) -> Tensor:
        return torch.cat((_finite(rest)[:, None], unobserved[:, n_listed:]), dim=1).logsumexp(dim=1)

    def first(n_listed: int) -> Tensor:
        return plackett_luce_nll(unobserved[:, :n_listed], behind(n_listed), unobserved_valid[:, :n_listed])

    return plackett_luce_nll(observed_scores, behind(0), observed_valid) + 0.5 * (first(half) + first(tenth))


def _against_rest(scores: Tensor, rest: Tensor, valid: Tensor | None) -> Tensor:
    """Sum of log(1 + e^{R - f}) over the valid places, shape [B]."""
    if valid is None:
        valid = torch.ones_like(scores, dtype=torch.bool)
    margin = scores.masked_fill(~valid, 0.0) - rest
    return -logsigmoid(margin).masked_fill(~valid, 0.0).sum(dim=1)


def _lowest(scores: Tensor) -> float:
    """A finite stand-in for -inf: exp of it is 0 beside any score, and its gradient 0 instead of NaN."""
    return torch.finfo(scores.dtype).min / 4


def _finite(rest: Tensor) -> Tensor:
    """The log mass with -inf replaced by the stand-in, which cuts its gradient."""
    return rest.masked_fill(rest == -torch.inf, _lowest(rest))
