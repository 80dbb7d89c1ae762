"""FAISS indexes of the items, by inner product: exact, inverted lists, and a graph of neighbours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

EXACT = "exact"
PROBED, NEIGHBOURS, DEPTH = 4, 32, 128
TRAINED_ON = 256
"""Items for each inverted list that its centres are trained on, FAISS's own limit."""


def file_name(kind: str) -> str:
    """The index's file in an export."""
    return "items.faiss" if kind == EXACT else f"items-{kind}.faiss"


def write_index(file: Path, kind: str, items: NDArray[np.float32], seed: int = 0) -> None:
    """Build an index and write it.

    Args:
        file: the target.
        kind: ``exact``; ``ivf``: 4 sqrt(I) inverted lists, one in :data:`PROBED` of which is searched; ``hnsw``: a
            graph of :data:`NEIGHBOURS` neighbours, searched :data:`DEPTH` deep (Malkov and Yashunin, 2020).
        items: float32 [I, d].
        seed: of the inverted lists' centres.

    Raises:
        ValueError: there is no such kind.
    """
    dimension = items.shape[1]
    if kind == EXACT:
        index: Any = faiss.IndexFlatIP(dimension)
    elif kind == "ivf":
        lists = max(1, min(4 * math.isqrt(len(items)), len(items) // 8))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = seed
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = TRAINED_ON
        index.train(items)
        index.nprobe = -(-lists // PROBED)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = index.hnsw.efSearch = DEPTH
    else:
        raise ValueError(f"index {kind!r} is not allowed: exact, ivf or hnsw")
    index.add(items)
    faiss.write_index(index, str(file))


class IndexRanker:
    """A written index in its runtime, with user vectors beside it.

    An index knows nothing of items seen: it is asked for as many more as a user has seen, and these are left out.

    Args:
        file: the index.
        users: float32 [U, d].
    """

    def __init__(self, file: Path, users: NDArray[np.float32]) -> None:
        self._index: Any = faiss.read_index(str(file))
        self._users = users

    def __call__(self, users: NDArray[np.int64], seen: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Rows of the best items, int64 [B, k], -1 behind the last; the arguments are those of the ONNX graph."""
        _, found = self._index.search(self._users[users], min(k + seen.shape[1], self._index.ntotal))
        dropped = found < 0
        for column in seen.T:  # as many comparisons as the most that anybody of the block has seen
            dropped |= found == column[:, None]
        order = np.argsort(dropped, axis=1, kind="stable")[:, :k]
        kept = np.where(np.take_along_axis(dropped, order, 1), -1, np.take_along_axis(found, order, 1))
        return np.pad(kept, ((0, 0), (0, k - kept.shape[1])), constant_values=-1)
