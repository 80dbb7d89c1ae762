"""Inputs of tests: random ones, each from a seed of its own, and rows of items as a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recbole_hetcomp.core import PAD


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return (torch.randn(*shape, generator=seeded(seed), dtype=torch.float64) * scale).to(dtype)


def padded(rows: Sequence[Sequence[int]], width: int) -> torch.Tensor:
    """Rows of any length up to ``width``, int64 [rows, width]."""
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
