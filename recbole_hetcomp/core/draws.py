"""What the baselines' files share: checks of settings, importances of ranks, draws without replacement."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError unless a setting is at least ``least``."""
    if value < least:
        raise ValueError(f"{name}={value} is not allowed: at least {least}")


def above_zero(name: str, value: float) -> None:
    """Raise ValueError unless a setting is greater than 0."""
    if not value > 0:
        raise ValueError(f"{name}={value} is not allowed: it must be greater than 0")


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


def log_of_zero(dtype: torch.dtype) -> float:
    """A finite stand-in for a log mass of -inf: exp of it is 0 beside any score, and its gradient 0 instead of NaN."""
    return torch.finfo(dtype).min / 4


def masked_logsumexp(scores: Tensor, kept: Tensor) -> Tensor:
    """log sum exp over the kept places of each row, shape [B]; -inf, without gradient, where none is kept.

    >>> masked_logsumexp(torch.zeros(1, 3), torch.tensor([[True, True, False]]))   # log 2
    tensor([0.6931])
    """
    some = kept.any(dim=1)
    hidden = torch.where(kept, scores, scores.new_full((), log_of_zero(scores.dtype)))
    return hidden.logsumexp(dim=1).masked_fill(~some, -torch.inf)
