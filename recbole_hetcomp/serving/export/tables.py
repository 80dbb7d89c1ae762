"""Vectors as Parquet with external ids: what data warehouses and vector stores read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


def write_users(file: Path, ids: NDArray[np.object_], vectors: NDArray[np.float32]) -> None:
    """A row a user: ``user``, ``vector``.

    Args:
        file: the target.
        ids: external ids, object [U].
        vectors: float32 [U, d].
    """
    pq.write_table(pa.table({"user": pa.array(ids, pa.string()), "vector": _lists(vectors)}), file)


def write_items(
    file: Path,
    ids: NDArray[np.object_],
    vectors: NDArray[np.float32],
    counts: NDArray[np.int64],
    titles: NDArray[np.object_] | None,
) -> None:
    """A row an item: ``item``, ``vector``, ``interactions`` of the training split, and ``title`` where there is one.

    Args:
        file: the target.
        ids: external ids, object [I].
        vectors: float32 [I, d].
        counts: int64 [I].
        titles: object [I], None for an item without; or None.
    """
    columns = {"item": pa.array(ids, pa.string()), "vector": _lists(vectors), "interactions": pa.array(counts)}
    if titles is not None:
        columns["title"] = pa.array(titles, pa.string())
    pq.write_table(pa.table(columns), file)


def read_vectors(file: Path) -> NDArray[np.float32]:
    """The vectors of one of these files, float32 [n, d]."""
    column = pq.read_table(file, columns=["vector"])["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def _lists(vectors: NDArray[np.float32]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
