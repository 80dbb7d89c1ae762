"""Training steps over large data on processors, as RecBole's models take them, in less time.

Three operations take most of such a step in a way that torch need not do them:

- dropout of rows that are nearly all zero, as autoencoders have them, draws a number for every item of every user;
- the product of a graph's matrix and embeddings, and its gradient, goes through the matrix entry by entry;
- Adam goes through the parameters once for each of its formulas.

Here the models stay as they are, and the three are computed otherwise: from the same distribution, and to the same
numbers but for the last bits. So small data keeps torch's own. Measured: docs/performance.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from recbole.model.abstract_recommender import AutoEncoderMixin
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LARGE_ROWS = 2**19
"""Numbers in a batch of rows from which on zeros are left out of dropout."""

LARGE_GRAPH = 2**18
"""Entries of a matrix from which on it is multiplied by rows."""

LARGE_MODEL = 2**20
"""Parameters of a model from which on its optimizer's step is fused."""

_DENSE = 1 / 8  # share of numbers that are not zero above which dropout gains nothing
_BY_ROWS = "_recbole_hetcomp_by_rows"  # attribute of a matrix: itself and its transpose, compressed by rows


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
    if not training or rows.numel() < LARGE_ROWS or rows.requires_grad:
        return F.dropout(rows, p, training)
    numbers = rows.reshape(-1)
    place = numbers.nonzero().squeeze(1)  # [n]
    if len(place) > _DENSE * len(numbers):
        return F.dropout(rows, p, training)
    kept = torch.zeros_like(numbers)
    kept[place] = F.dropout(numbers[place], p, training)
    return kept.view(rows.shape)


class _ProductByRows(torch.autograd.Function):
    """Matrix times embeddings, both of whose directions go by rows."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, embeddings: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ embeddings

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ gradient.contiguous()


def sparse_product(matrix: Tensor, embeddings: Tensor) -> Tensor:
    """As ``torch.sparse.mm``, for a graph's matrix that stays the same over many steps.

    Args:
        matrix: [N, M]. Where it is not large, not of coordinates, not on processors or has a gradient, torch's own
            product is taken.
        embeddings: dense, [M, d].

    Raises:
        RuntimeError: the sizes do not fit.

    >>> sparse_product(torch.eye(2).to_sparse(), torch.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    if not _is_large_graph(matrix) or matrix.requires_grad or embeddings.layout != torch.strided:
        return torch.sparse.mm(matrix, embeddings)
    if matrix.dtype != embeddings.dtype or matrix.shape[1] != embeddings.shape[0]:
        return torch.sparse.mm(matrix, embeddings)  # says what is wrong
    if not hasattr(matrix, _BY_ROWS):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
            setattr(matrix, _BY_ROWS, (matrix.coalesce().to_sparse_csr(), matrix.t().coalesce().to_sparse_csr()))
    return cast(Tensor, _ProductByRows.apply(*getattr(matrix, _BY_ROWS), embeddings))


def _is_large_graph(value: Any) -> bool:
    graph = isinstance(value, Tensor) and value.layout == torch.sparse_coo and value.device.type == "cpu"
    return graph and value.dim() == 2 and value._nnz() >= LARGE_GRAPH


class LargeSteps(TorchFunctionMode):
    """While it is entered, :func:`dropout_of_rows` and :func:`sparse_product` take torch's place, whoever calls it."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        return _INSTEAD.get(func, func)(*args, **(kwargs or {}))


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """With the arguments of torch's own, by their names."""
    return F.dropout(input, p, training, inplace) if inplace else dropout_of_rows(input, p, training)


def _sparse_mm(*args: Any, **kwargs: Any) -> Tensor:
    """The two of torch's forms without a reduction are ours."""
    return sparse_product(*args) if len(args) == 2 and not kwargs else torch.sparse.mm(*args, **kwargs)


_INSTEAD: dict[Any, Callable[..., Tensor]] = {F.dropout: _dropout, torch.sparse.mm: _sparse_mm}


def large_steps_of(model: nn.Module) -> AbstractContextManager[Any]:
    """What is entered while a model trains: :class:`LargeSteps` for autoencoders and for models with a large graph."""
    parts = list(model.modules())
    gains = any(isinstance(part, AutoEncoderMixin) for part in parts) or any(
        _is_large_graph(value) for part in parts for value in (*vars(part).values(), *part.buffers(recurse=False))
    )
    return LargeSteps() if gains else nullcontext()


def fused_where_large(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Have Adam go through a large model on processors once a step.

    Args:
        optimizer: that has not made a step; changed where it is Adam or AdamW.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    on_processors = all(parameter.device.type == "cpu" for parameter in parameters)
    large = sum(parameter.numel() for parameter in parameters) >= LARGE_MODEL
    adam = isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW))
    if adam and on_processors and large and _processors_may_fuse():
        for group in optimizer.param_groups:
            group["fused"] = True
    return optimizer


def _processors_may_fuse() -> bool:
    """Whether this torch has the fused step on processors, as those since 2.4 have."""
    try:
        torch.optim.Adam([torch.zeros(1)], fused=True)
    except RuntimeError:
        return False
    return True
