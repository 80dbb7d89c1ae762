"""One teacher's training as a few ranked lists a user (method section 1).

Item lists take two bytes an item where the ids allow it, four otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STORED_TYPES = {"I16": torch.int16, "I32": torch.int32}  # as safetensors names them


class CorruptTrajectoryError(RuntimeError):
    """A store entry is there but cannot be trusted; the message names the file and what is wrong with it."""


def rank_dtype(longest_row: int) -> torch.dtype:
    """The smallest type that holds ranks among ``longest_row`` observed items.

    >>> rank_dtype(32767), rank_dtype(32768)
    (torch.int16, torch.int32)
    """
    return torch.int16 if longest_row <= torch.iinfo(torch.int16).max else torch.int32


def item_dtype(n_items: int) -> torch.dtype:
    """The smallest type that holds the item ids 0 … ``n_items`` - 1 and ``PAD``.

    >>> item_dtype(32768), item_dtype(32769)
    (torch.int16, torch.int32)
    """
    return torch.int16 if n_items - 1 <= torch.iinfo(torch.int16).max else torch.int32


@dataclass(frozen=True)
class Trajectory:
    """The snapshots of one teacher.

    Attributes:
        unobserved: pi, each user's unobserved items, best first, int16 or int32, shape [E, U, K'].
        observed_ranks: rho, ranks aligned with N+_u's values, int16 or int32, shape [E, nnz].
        epochs: epoch of each snapshot.
        scores: validation score of each snapshot.
        served: the final snapshot's lists with validation items taken out too, for evaluation, int16 or int32,
            shape [U, T].
        settings: the teacher's settings, plain JSON data.
        info: what else is known (parameter count, seconds, validation metrics), plain JSON data.
        file: the file that the tensors are mapped from, or None for tensors in memory.

    Raises:
        ValueError: if shapes or types do not fit each other.
    """

    unobserved: Tensor
    observed_ranks: Tensor
    epochs: tuple[int, ...]
    scores: tuple[float, ...]
    served: Tensor | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def __post_init__(self) -> None:
        """Check shapes and types."""
        kinds = (self.unobserved.dtype, self.observed_ranks.dtype)
        if not set(kinds) <= set(STORED_TYPES.values()):
            raise ValueError(f"unobserved and observed_ranks are {kinds}; allowed: int16 or int32 each")
        if self.unobserved.dim() != 3 or self.observed_ranks.dim() != 2:
            raise ValueError(
                f"unobserved and observed_ranks have shapes {tuple(self.unobserved.shape)} and "
                f"{tuple(self.observed_ranks.shape)}; allowed: [E, U, K'] and [E, nnz]"
            )
        n_snapshots = {len(self.unobserved), len(self.observed_ranks), len(self.epochs), len(self.scores)}
        if len(n_snapshots) != 1 or 0 in n_snapshots:
            raise ValueError(
                f"unobserved, observed_ranks, epochs and scores hold {sorted(n_snapshots)} snapshots; "
                "allowed: one number, 1 or more"
            )
        if self.served is not None and (
            self.served.dtype not in STORED_TYPES.values()
            or self.served.dim() != 2
            or len(self.served) != self.unobserved.shape[1]
        ):
            raise ValueError(
                f"served is {self.served.dtype} of shape {tuple(self.served.shape)}; "
                f"allowed: int16 or int32, [{self.unobserved.shape[1]}, T]"
            )

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, contiguous and on the CPU, as they are stored."""
        named = {"unobserved": self.unobserved, "observed_ranks": self.observed_ranks}
        if self.served is not None:
            named["served"] = self.served
        stored = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
        places = [tensor.untyped_storage().data_ptr() for tensor in stored.values()]
        if len(set(places)) < len(places):  # the file's writer refuses tensors that share memory
            stored = {name: tensor.clone() for name, tensor in stored.items()}
        return stored
