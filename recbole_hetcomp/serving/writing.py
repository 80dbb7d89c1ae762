"""Recommendations → a file, a block of users at a time, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recbole_hetcomp.data.rankings.reading import table_format
from recbole_hetcomp.data.rankings.writing import trec_batch, write_batches
from recbole_hetcomp.serving.recommender import Recommendations

SCHEMA = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("fallback", pa.bool_(), nullable=False),
    ]
)


def rows_of(part: Recommendations) -> pa.RecordBatch:
    """The rows of some lists."""
    return pa.RecordBatch.from_pydict(part.columns(), schema=SCHEMA)


def write_recommendations(target: Path, parts: Iterable[Recommendations], format: str | None = None) -> tuple[int, int]:
    """Write lists as a table: user, item, rank, score and whether the user was unknown; see :func:`write_rows`."""
    return write_rows(target, map(rows_of, parts), format)


def write_rows(target: Path, batches: Iterable[pa.RecordBatch], format: str | None = None) -> tuple[int, int]:
    """Write rows of lists, the whole file or none.

    A TREC run has no column for unknown users.

    Args:
        target: the file.
        batches: of :data:`SCHEMA`; the file does not depend on how they are cut.
        format: ``parquet``, ``csv`` or ``trec``; None: by the file's ending.

    Returns:
        Rows written, and users who were unknown.

    Raises:
        ValueError: the format is not known, there is nothing to write, or an id cannot stand in the format.
        FileNotFoundError: the target's folder does not exist.
    """
    format = format or table_format(target)
    rows = unknown = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows, unknown
        for batch in batches:
            first = pc.equal(batch["rank"], 1)
            rows, unknown = rows + batch.num_rows, unknown + (pc.sum(pc.and_(first, batch["fallback"])).as_py() or 0)
            yield trec_batch(batch, batch["score"]) if format == "trec" else batch

    write_batches(target, counted(), format)
    return rows, unknown
