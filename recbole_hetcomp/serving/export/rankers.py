"""The files of an export in their own runtimes, as rankers that are compared with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from recbole_hetcomp.core import top_k
from recbole_hetcomp.serving.export.compressed import decompress
from recbole_hetcomp.serving.export.parity import Ranker
from recbole_hetcomp.serving.export.tables import read_vectors
from recbole_hetcomp.serving.exported import ITEMS, USERS


def of_vectors(users: NDArray[np.float32], items: NDArray[np.float32]) -> Ranker:
    """Two tables of vectors, multiplied.

    Args:
        users: float32 [U, d].
        items: float32 [I, d].
    """
    left, right = torch.from_numpy(users), torch.from_numpy(items).t()

    def rank(rows: NDArray[np.int64], seen: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        scores = torch.nn.functional.pad(left[rows] @ right, (0, 1))  # -1 of ``seen`` is the last column
        return top_k(scores.scatter_(1, torch.from_numpy(seen) % scores.shape[1], -torch.inf)[:, :-1], k).numpy()

    return rank


def of_safetensors(file: Path) -> Ranker:
    """A file of vectors, compressed or not."""
    return of_vectors(*decompress(load_file(file)))


def of_parquet(folder: Path) -> Ranker:
    """The two tables."""
    return of_vectors(read_vectors(folder / USERS), read_vectors(folder / ITEMS))
