"""Adaptive knowledge transfer (ADKT): what the student minimises, coarse then fine (method section 5).

All functions return one loss a user, [B], and leave the reduction to the caller. All work in the log domain:
gradients stay finite and exact where the listed items hold nearly all of the mass. Padded places, empty lists
and an empty rest (R_u = -inf) contribute exactly 0 to loss and gradient; what stands under a padded place is
never read.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from recbole_hetcomp.declared import default
from recbole_hetcomp.lesson_settings import Loss


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


def plackett_luce_nll(
    ranked: Tensor, rest: Tensor, valid: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    r"""Negative log-likelihood of a ranking under the Plackett-Luce model, L_rank.

    .. math:: L = -\sum_k w_k \Bigl( f_k - \log\bigl( e^{f_k} + e^{f_{k+1}} + \dots + e^{R} \bigr) \Bigr)

    Source: method section 5.

    Args:
        ranked: student scores of the listed items, best item first, shape [B, L].
        rest: R, log mass of the items behind the list, shape [B]; -inf for none.
        valid: False at padded places, bool, shape [B, L]; all True if None.
        weights: w, of each place, shape [L] or [B, L]; 1 each if None.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> plackett_luce_nll(torch.zeros(1, 3), torch.tensor([-torch.inf]))   # log 3!
    tensor([1.7918])
    """
    if valid is None:
        valid = torch.ones_like(ranked, dtype=torch.bool)
    listed = ranked.masked_fill(~valid, log_of_zero(ranked.dtype))  # [B, L]
    behind = torch.cat((listed, _finite(rest)[:, None]), dim=1)  # [B, L + 1]
    tail = behind.flip(1).logcumsumexp(dim=1).flip(1)[:, :-1]  # [B, L]
    terms = tail - listed
    return (terms if weights is None else terms * weights).masked_fill(~valid, 0.0).sum(dim=1)


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
    behind_observed: str = default(Loss, "behind_observed"),
    place_decay: float | None = default(Loss, "place_decay"),
) -> Tensor:
    r"""L_fine: the order of the items on top.

    .. math:: L = L_{rank}(\pi^+_u) + \tfrac12 [ L_{rank}(\pi^-_u[:K/2]) + L_{rank}(\pi^-_u[:K/10]) ]

    where behind each list of pi-_u stand the unobserved items that are not in it: rest_u and what is left of pi-_u.
    Behind pi+_u stand those outside the first K/2 of pi-_u, so that observed items do not push down what is taught.
    K/2 and K/10 are rounded down, K/10 to no less than 1.
    Source: method section 5.

    With ``place_decay`` the terms of the first K/2 places of pi-_u count exp(-k / T), k from 0, times what lets all of
    them together count as much as they do otherwise. That is not in the paper.

    Args:
        observed_scores: student scores of pi+_u, best first, shape [B, P].
        unobserved_scores: student scores of pi-_u, best first, shape [B, K].
        rest: R_u, shape [B]; -inf for an empty rest.
        observed_valid: False at padded places, bool, shape [B, P]; all True if None.
        unobserved_valid: False at padded places, bool, shape [B, K]; all True if None.
        behind_observed: untaught (as above), or unobserved: all unobserved items stand behind pi+_u.
        place_decay: T, in ranks; None: the first K/2 and K/10, as above.

    Returns:
        Loss per user in nats, shape [B]. The caller reduces.

    >>> fine_loss(torch.zeros(1, 1), torch.zeros(1, 2), torch.zeros(1))   # log 3 + (log 3 + log 3) / 2
    tensor([2.1972])
    """
    if unobserved_valid is None:
        unobserved_valid = torch.ones_like(unobserved_scores, dtype=torch.bool)
    length = unobserved_scores.shape[1]
    half, tenth = length // 2, max(1, length // 10)
    unobserved = unobserved_scores.masked_fill(~unobserved_valid, log_of_zero(unobserved_scores.dtype))  # [B, K]

    def behind(n_listed: int) -> Tensor:
        return torch.cat((_finite(rest)[:, None], unobserved[:, n_listed:]), dim=1).logsumexp(dim=1)

    def first(n_listed: int, weights: Tensor | None = None) -> Tensor:
        return plackett_luce_nll(unobserved[:, :n_listed], behind(n_listed), unobserved_valid[:, :n_listed], weights)

    left_out = half if behind_observed == "untaught" else 0
    observed = plackett_luce_nll(observed_scores, behind(left_out), observed_valid)
    if place_decay is None:
        return observed + 0.5 * (first(half) + first(tenth))
    places = max(half, tenth)
    weights = torch.exp(torch.arange(places, device=rest.device, dtype=rest.dtype) / -place_decay)
    return observed + first(places, weights * (0.5 * (half + tenth) / weights.sum()))


def weighted_loss(
    listed: Tensor,
    rest: Tensor,
    valid: Tensor,
    n_observed: int,
    fine: Tensor,
    coarse_weight: float,
    fine_weight: float,
    behind_observed: str = default(Loss, "behind_observed"),
    place_decay: float | None = default(Loss, "place_decay"),
) -> Tensor:
    """Coarse loss of the users in the coarse stage and fine loss of the others, weighted and summed over users.

    Source: method section 5.

    Args:
        listed: student scores of pi+_u, then of pi-_u, shape [B, P + K].
        rest: R_u, shape [B]; -inf for an empty rest.
        valid: False at padded places, bool, shape [B, P + K].
        n_observed: P.
        fine: True for users in the fine stage, bool, shape [B].
        coarse_weight: weight of the coarse loss.
        fine_weight: weight of the fine loss.
        behind_observed: as in `fine_loss`.
        place_decay: likewise.

    Returns:
        Scalar.

    >>> everywhere = torch.ones(1, 2, dtype=torch.bool)
    >>> weighted_loss(torch.zeros(1, 2), torch.zeros(1), everywhere, 1, torch.tensor([False]), 1.0, 1.0)  # 2 log 2
    tensor(1.3863)
    """
    parts = (listed[:, :n_observed], listed[:, n_observed:], rest, valid[:, :n_observed], valid[:, n_observed:])
    total = listed.new_zeros(())
    n_fine = int(fine.sum())
    for loss, weight, rows, n_rows in (
        (coarse_loss, coarse_weight, ~fine, len(fine) - n_fine),
        (
            partial(fine_loss, behind_observed=behind_observed, place_decay=place_decay),
            fine_weight,
            fine,
            n_fine,
        ),
    ):
        if n_rows:
            chosen = parts if n_rows == len(fine) else tuple(part[rows] for part in parts)
            total = total + weight * loss(*chosen).sum()
    return total


def _against_rest(scores: Tensor, rest: Tensor, valid: Tensor | None) -> Tensor:
    """Sum of log(1 + e^{R - f}) over the valid places, shape [B]."""
    if valid is None:
        valid = torch.ones_like(scores, dtype=torch.bool)
    margin = scores.masked_fill(~valid, 0.0) - rest
    return -logsigmoid(margin).masked_fill(~valid, 0.0).sum(dim=1)


def _finite(rest: Tensor) -> Tensor:
    """The log mass with -inf replaced by the stand-in, which cuts its gradient."""
    return rest.masked_fill(rest == -torch.inf, log_of_zero(rest.dtype))


def masked_logsumexp(scores: Tensor, kept: Tensor) -> Tensor:
    """log sum exp over the kept places of each row, shape [B]; -inf, without gradient, where none is kept.

    >>> masked_logsumexp(torch.zeros(1, 3), torch.tensor([[True, True, False]]))   # log 2
    tensor([0.6931])
    """
    some = kept.any(dim=1)
    hidden = torch.where(kept, scores, scores.new_full((), log_of_zero(scores.dtype)))
    return hidden.logsumexp(dim=1).masked_fill(~some, -torch.inf)


def log_of_zero(dtype: torch.dtype) -> float:
    """A finite stand-in for a log mass of -inf: exp of it is 0 beside any score, and its gradient 0 instead of NaN."""
    return torch.finfo(dtype).min / 4
