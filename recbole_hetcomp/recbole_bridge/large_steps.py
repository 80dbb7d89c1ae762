"""Training steps over large data on processors, as RecBole's models take them, in less time.

Three operations take most of such a step in a way that torch need not do them:

- dropout of rows that are nearly all zero, as autoencoders have them, draws a number for every item of every user;
- the product of a graph's matrix and embeddings, and its gradient, goes through the matrix entry by entry;
- Adam goes through the parameters once for each of its formulas.

Here the models stay as they are, and the three are computed otherwise: from the same distribution, and to the same
numbers but for the last bits. So small data keeps torch's own. Measured: docs/performance.md.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from recbole.model.abstract_recommender import AutoEncoderMixin
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LARGE_ROWS = 2**19
"""Numbers in a batch of rows from which on zeros are left out of dropout."""

LARGE_GRAPH = 2**18
"""Entries of a matrix from which on it is multiplied by rows."""

LARGE_MODEL = 2**20
"""Parameters of a model from which on its optimizer's step is fused."""

_DENSE = 1 / 8  # share of numbers that are not zero above which dropout gains nothing


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
        ctx.matrix, ctx.transposed = matrix, transposed
        return matrix @ embeddings

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, cast(Tensor, _ProductByRows.apply(ctx.transposed, ctx.matrix, gradient.contiguous()))


class _Graph:
    """A matrix that was met: what it was then, and from its second product on itself and its transpose by rows."""

    def __init__(self, matrix: Tensor, when_gone: Callable[[Any], Any]) -> None:
        self.matrix = weakref.ref(matrix, when_gone)
        self.state = self._state(matrix)
        self.by_rows: tuple[Tensor, Tensor] | None = None

    @staticmethod
    def _state(matrix: Tensor) -> tuple[int, int]:
        return matrix._version, matrix._values().data_ptr()

    def is_of(self, matrix: Tensor) -> bool:
        """Whether this is that matrix, as it still is."""
        return self.matrix() is matrix and self.state == self._state(matrix)

    def times(self, matrix: Tensor, embeddings: Tensor) -> Tensor:
        if self.by_rows is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
                self.by_rows = matrix.coalesce().to_sparse_csr(), matrix.t().coalesce().to_sparse_csr()
        return cast(Tensor, _ProductByRows.apply(*self.by_rows, embeddings))


def _is_autocast() -> bool:
    """Whether automatic mixed precision is on, in which torch has no product by rows."""
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # torch before 2.4
        return torch.is_autocast_cpu_enabled()


def _is_large_graph(value: Any) -> bool:
    graph = isinstance(value, Tensor) and value.layout == torch.sparse_coo and value.device.type == "cpu"
    return graph and value.dim() == 2 and value._nnz() >= LARGE_GRAPH


class LargeSteps(TorchFunctionMode):
    """While it is entered, :func:`dropout_of_rows` and :meth:`product` take torch's place, whoever calls it.

    What it has laid out of graphs ends with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._graphs: dict[int, _Graph] = {}

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        kwargs = kwargs or {}
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if func is torch.sparse.mm and len(args) == 2 and not kwargs:  # its form without a reduction
            return self.product(*args)
        return func(*args, **kwargs)

    def product(self, matrix: Tensor, embeddings: Tensor) -> Tensor:
        """As ``torch.sparse.mm``, for a graph's matrix that stays the same over many steps.

        Args:
            matrix: [N, M]. Where it is not large, not of coordinates, not on processors, neither float32 nor float64,
                has a gradient, or is met for the first time, torch's own product is taken.
            embeddings: dense, [M, d].

        Raises:
            RuntimeError: the sizes do not fit.

        >>> LargeSteps().product(torch.eye(2).to_sparse(), torch.ones(2, 1))
        tensor([[1.],
                [1.]])
        """
        fits = embeddings.layout == torch.strided and matrix.dtype == embeddings.dtype
        fits = fits and embeddings.dim() == 2 and matrix.shape[1] == embeddings.shape[0]
        plain = matrix.dtype in (torch.float32, torch.float64) and not _is_autocast()
        if not (_is_large_graph(matrix) and fits and plain) or matrix.requires_grad:
            return torch.sparse.mm(matrix, embeddings)
        key = id(matrix)
        known = self._graphs.get(key)
        if known is None or not known.is_of(matrix):
            self._graphs[key] = _Graph(matrix, lambda gone: self._forget(key, gone))
            return torch.sparse.mm(matrix, embeddings)
        return known.times(matrix, embeddings)

    def _forget(self, key: int, gone: Any) -> None:
        if key in self._graphs and self._graphs[key].matrix is gone:
            del self._graphs[key]


_DROPOUT = inspect.signature(F.dropout)  # torch's own names and defaults


def _dropout(*args: Any, **kwargs: Any) -> Tensor:
    """As ``torch.nn.functional.dropout``, with its arguments."""
    given = _DROPOUT.bind(*args, **kwargs)
    given.apply_defaults()
    asked = given.arguments
    if asked["inplace"]:
        return F.dropout(*args, **kwargs)
    return dropout_of_rows(asked["input"], asked["p"], asked["training"])


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
    usual = all(parameter.device.type == "cpu" and parameter.is_floating_point() for parameter in parameters)
    usual = usual and not any(group.get("differentiable") for group in optimizer.param_groups)
    large = sum(parameter.numel() for parameter in parameters) >= LARGE_MODEL
    adam = isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW))
    if adam and usual and large and _processors_may_fuse():
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
