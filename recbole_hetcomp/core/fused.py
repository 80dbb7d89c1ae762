"""The listwise losses of a dot-product student, value and gradients together, without a [batch, items] tensor.

The plain path scores a batch against the catalogue, keeps that matrix (and the mass over it) until the backward pass
and goes through memory a dozen times. Here a block of users is scored, turned into mass, into the losses' gradients
and into gradients of the factors while it is in cache, as fused linear cross-entropy does for language models: the
weights of the losses are known beforehand, so the forward pass can finish the gradients, and the backward pass only
scales them. What is kept between the two is of the factors' size.

Source: method sections 5 and 6; the losses themselves are those of :mod:`recbole_hetcomp.core.losses`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding

from recbole_hetcomp.core.fused_rest import rest_of
from recbole_hetcomp.core.losses import weighted_loss
from recbole_hetcomp.core.rankings import PAD, user_blocks
from recbole_hetcomp.declared import default
from recbole_hetcomp.lesson_settings import Loss


def fused_listwise_loss(
    user_factors: Tensor,
    item_factors: Tensor,
    observed: Tensor,
    unobserved: Tensor,
    excluded: Tensor,
    fine: Tensor,
    coarse_weight: float = 1.0,
    fine_weight: float = 1.0,
    first_item: int = 0,
    budget: int | None = None,
    sample: tuple[Tensor, Tensor] | None = None,
    behind_observed: str = default(Loss, "behind_observed"),
    place_decay: float | None = default(Loss, "place_decay"),
) -> Tensor:
    r"""Weighted coarse and fine losses of a batch for scores f(u, i) = p_u . q_i.

    .. math:: \sum_{u\ coarse} w_c L_{overall}(u) + \sum_{u\ fine} w_f L_{fine}(u)

    Value and gradients are those of `coarse_loss` and `fine_loss` with R_u from `rest_logsumexp`, or from
    `shared_rest_logsumexp` where ``sample`` is given. Double backward is not supported.
    Source: method sections 5 and 6.

    Args:
        user_factors: p of the batch's users, floating point, shape [B, d].
        item_factors: q of all items, shape [I, d].
        observed: pi+_u, item ids, ``PAD`` behind the last, integer, shape [B, P].
        unobserved: pi-_u, likewise, shape [B, K].
        excluded: further items outside rest_u (the history), ``PAD`` allowed anywhere, shape [B, H].
        fine: True for users in the fine stage, bool, shape [B].
        coarse_weight: weight of the coarse loss.
        fine_weight: weight of the fine loss.
        first_item: smaller item ids are in no rest (1 where item 0 is padding).
        budget: scores held at once; bounds memory, changes no result beyond rounding. None: by device.
        sample: items drawn for the whole batch, without repeats, int64 [S], and the number of items in each user's
            rest [B]: R_u is estimated from the drawn ones. None: exact.
        behind_observed: as in `fine_loss`.
        place_decay: likewise.

    Returns:
        Scalar, of the factors' type.

    >>> nothing = torch.empty(1, 0, dtype=torch.int64)
    >>> fused_listwise_loss(torch.zeros(1, 2), torch.zeros(4, 2), nothing, torch.tensor([[2]]), nothing,
    ...                     torch.tensor([False]))                                               # log 4
    tensor(1.3863)
    """
    result: Tensor = _FusedListwiseLoss.apply(
        user_factors,
        item_factors,
        torch.cat((observed.long(), unobserved.long()), dim=1),
        observed.shape[1],
        excluded,
        fine,
        (coarse_weight, fine_weight, behind_observed, place_decay),
        first_item,
        budget,
        sample,
    )
    return result


class _FusedListwiseLoss(torch.autograd.Function):
    """Finishes the gradients in the forward pass; the backward pass scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        user_factors: Tensor,
        item_factors: Tensor,
        taught: Tensor,
        split: int,
        excluded: Tensor,
        fine: Tensor,
        weights: tuple[float, float, str, float | None],
        first_item: int,
        budget: int | None,
        sample: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        kind = torch.promote_types(user_factors.dtype, torch.float32)  # half precision: too few digits for a mass
        users, items = user_factors.to(kind), item_factors.to(kind)
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        outside = torch.cat((taught, excluded.long()), dim=1)
        rest = rest_of(items, outside, first_item, budget, sample)
        total = users.new_zeros(())
        user_grad = torch.zeros_like(users)  # [B, d]
        for block in user_blocks(len(users), 1, rest.rows):
            factors, lists = users[block], taught[block]
            listed = (embedding(lists.clamp(min=0), items) * factors[:, None]).sum(2)  # [B, P + K]
            mass = rest.mass(factors, block)
            value, listed_grad, rest_grad = _loss_and_gradients(
                listed, rest.log(mass, block), lists != PAD, split, fine[block], weights, wanted
            )
            total += value
            if wanted:
                rest.add_gradients(mass, block, lists, listed_grad, rest_grad, user_grad[block])
        if wanted:
            item_grad = rest.item_gradients().to(item_factors.dtype).contiguous()
            ctx.save_for_backward(user_grad.to(user_factors.dtype), item_grad)
        return total.to(user_factors.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        user_grad, item_grad = ctx.saved_tensors
        return (user_grad * grad, item_grad * grad, *(None,) * 8)


def _loss_and_gradients(
    listed: Tensor,
    rest: Tensor,
    valid: Tensor,
    split: int,
    fine: Tensor,
    weights: tuple[float, float, str, float | None],
    wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The block's loss, and its gradients by the listed items' scores [B, P + K] and by R_u [B]."""
    with torch.set_grad_enabled(wanted):
        listed, rest = listed.detach().requires_grad_(wanted), rest.detach().requires_grad_(wanted)
        value = weighted_loss(listed, rest, valid, split, fine, *weights)
        if not wanted:
            return value, listed, rest
        listed_grad, rest_grad = torch.autograd.grad(value, (listed, rest))
    return value.detach(), listed_grad, rest_grad
