"""Dropout of rows that are nearly all zero, as autoencoders have them: what is drawn for a zero changes nothing.

``torch.nn.functional.dropout`` draws a number for every item of every user, which is a third of an autoencoder's step
over a large catalogue. Here only what is not zero is drawn, from the same distribution.
Measured: docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from recbole.model.abstract_recommender import AutoEncoderMixin
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LARGE = 2**19
"""Numbers in a batch of rows from which on zeros are left out; below, torch's own draws take no time worth the name."""

_DENSE = 1 / 8  # share of numbers that are not zero above which nothing is to be gained


def dropout_of_rows(rows: Tensor, p: float, training: bool) -> Tensor:
    """As ``torch.nn.functional.dropout``, for rows of data that are mostly zero.

    Args:
        rows: any shape. Where a gradient goes through them, torch's own dropout is taken.
        p: probability with which a number is dropped.
        training: whether anything is dropped.

    Raises:
        ValueError: p is not from 0 to 1.

    >>> dropout_of_rows(torch.tensor([[1.0, 0.0]]), 0.5, training=False)
    tensor([[1., 0.]])
    """
    if not training or rows.numel() < LARGE or rows.requires_grad:
        return F.dropout(rows, p, training)
    numbers = rows.reshape(-1)
    place = numbers.nonzero().squeeze(1)  # [n]
    if len(place) > _DENSE * len(numbers):
        return F.dropout(rows, p, training)
    kept = torch.zeros_like(numbers)
    kept[place] = F.dropout(numbers[place], p, training)
    return kept.view(rows.shape)


class SparseDropout(TorchFunctionMode):
    """While it is entered, ``torch.nn.functional.dropout`` is :func:`dropout_of_rows`, whoever calls it.

    So RecBole's own autoencoders train as they are, only faster.
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        call = _dropout if func is F.dropout else func
        return call(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """With the arguments of torch's own, by their names."""
    return F.dropout(input, p, training, inplace) if inplace else dropout_of_rows(input, p, training)


def dropout_for(model: nn.Module) -> AbstractContextManager[Any]:
    """What is entered while a model trains: :class:`SparseDropout` where one of RecBole's autoencoders is in it."""
    autoencoder = any(isinstance(part, AutoEncoderMixin) for part in model.modules())
    return SparseDropout() if autoencoder else nullcontext()
