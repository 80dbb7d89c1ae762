"""Lists of internal ids → the table of rankings, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recbole_hetcomp.data.rankings.grouping import Ids
from recbole_hetcomp.data.rankings.reading import table_format
from recbole_hetcomp.data.rankings.schema import SCHEMA
from recbole_hetcomp.files import write_whole

ROW_GROUP = 1 << 18
"""Rows of a Parquet file's row group."""

Ints = NDArray[np.int64]
Block = tuple[int, Ints, Ints, NDArray[np.bool_]]
"""A snapshot's label, and of each entry the user (ascending), the item (best first), whether it is a training item."""


def write_rankings(target: Path, users: Ids, items: Ids, blocks: Iterable[Block], format: str | None = None) -> int:
    """Write lists as a table.

    Args:
        target: the file.
        users: the data set's user ids.
        items: its item ids.
        blocks: the lists.
        format: ``parquet``, ``csv`` or ``trec``; None: by the file's ending.

    Returns:
        Rows written.

    Raises:
        ValueError: the format is not known, or an id cannot stand in it.
    """
    format = format or table_format(target)
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for block in blocks:
            batch = _batch(users, items, *block)
            rows += batch.num_rows
            yield batch if format != "trec" else _trec(batch)

    write_batches(target, counted(), format)
    return rows


def write_batches(target: Path, batches: Iterator[pa.RecordBatch], format: str) -> None:
    """Write batches of one schema, the whole file or none.

    Args:
        target: the file.
        batches: in the columns of the format: those of a TREC run for ``trec``.
        format: ``parquet``, ``csv`` or ``trec``.

    Raises:
        FileNotFoundError: the target's folder does not exist.
        ValueError: there is nothing to write.
    """
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"{target.absolute().parent} does not exist")
    write_whole(target, lambda file: _write(file, batches, format))


def _batch(users: Ids, items: Ids, label: int, user: Ints, item: Ints, seen: NDArray[np.bool_]) -> pa.RecordBatch:
    first = np.r_[True, user[1:] != user[:-1]] if len(user) else np.zeros(0, dtype=bool)
    place = np.arange(len(user))
    rank = place - np.maximum.accumulate(np.where(first, place, 0)) + 1
    columns = [
        users.external(user), items.external(item), pa.array(rank, pa.int32()),
        pa.array(np.full(len(user), label), pa.int32()), pa.array(seen),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def trec_batch(batch: pa.RecordBatch, score: pa.Array) -> pa.RecordBatch:
    """Rows of user, item and rank in the six columns of a TREC run.

    Raises:
        ValueError: an id cannot stand in one; names the first.
    """
    for name in ("user", "item"):
        odd = batch[name].filter(pc.match_substring_regex(batch[name], r"\s"))
        if len(odd):
            raise ValueError(f"the {name} id {odd[0].as_py()!r} cannot stand in a TREC run: it holds white space")
    n = batch.num_rows
    return pa.RecordBatch.from_arrays(
        [batch["user"], pa.array(["Q0"] * n), batch["item"], batch["rank"], score, pa.array(["hetcomp"] * n)],
        names=["user", "Q0", "item", "rank", "score", "tag"],
    )


def _trec(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A TREC run's lines: it ranks by score, and knows neither snapshots nor training items."""
    batch = batch.filter(pc.invert(batch["seen"]))
    return trec_batch(batch, pc.negate(batch["rank"]))


def _write(file: Path, batches: Iterator[pa.RecordBatch], format: str) -> None:
    writer: Any = None
    options = pyarrow.csv.WriteOptions(
        include_header=format != "trec",
        delimiter=" " if format == "trec" else "\t" if ".tsv" in file.suffixes else ",",
        quoting_style="none" if format == "trec" else "needed",
    )
    try:
        for rows in _gathered(batches):
            if writer is None and format == "parquet":
                writer = pq.ParquetWriter(file, rows.schema)
            elif writer is None:
                writer = pyarrow.csv.CSVWriter(file, rows.schema, write_options=options)
            writer.write_table(rows)
        if writer is None:
            raise ValueError("there is nothing to write: no user has a list")
    finally:
        if writer is not None:
            writer.close()


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows, those of a row group at a time, so that a file does not depend on how its rows came."""
    held: _Held | None = None
    for batch in batches:
        held = held or _Held(batch.schema)
        held.add(batch)
        while held.rows >= ROW_GROUP:
            rows = held.taken()
            yield rows.slice(0, ROW_GROUP).combine_chunks()
            for rest in rows.slice(ROW_GROUP).to_batches():
                held.add(rest)
    if held is not None and (held.rows or not held.given):
        yield held.taken().combine_chunks()


class _Held:
    """Rows in one buffer: many small arrays, kept while large ones come and go, would scatter the heap."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema, self.given = schema, False
        self._begin()

    def _begin(self) -> None:
        self.rows, self._buffer = 0, pa.BufferOutputStream()
        self._stream = pa.ipc.new_stream(self._buffer, self.schema)

    def add(self, batch: pa.RecordBatch) -> None:
        self._stream.write_batch(batch)
        self.rows += len(batch)

    def taken(self) -> pa.Table:
        """All rows; none are left."""
        self._stream.close()
        rows = pa.ipc.open_stream(self._buffer.getvalue()).read_all()
        self.given = True
        self._begin()
        return rows
