"""A table of rankings that the workers of a Ray cluster read, by Ray Data; its rows are those of one reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from recbole_hetcomp import ray_api
from recbole_hetcomp.data.rankings.reading import RankingTable, Rows

_SCHEMA = pa.schema(
    [
        ("users", pa.string()),
        ("items", pa.string()),
        ("key", pa.float64()),
        ("snapshot", pa.int64()),
        ("error", pa.string()),
    ]
)


@dataclass
class SpreadTable(RankingTable):
    """A :class:`RankingTable` whose files the workers of the connected Ray cluster read, row group by row group.

    Every worker must find the files under the same path. Rows come in the files' order, so what is made of them is what
    one reader makes.

    Raises:
        FileNotFoundError, ValueError: as :class:`RankingTable`.
    """

    def __post_init__(self) -> None:
        """Find the files, and Ray Data.

        Raises:
            NotImplementedError: Ray Data does not work here.
        """
        super().__post_init__()
        ray_api.data()

    def batches(self) -> Iterator[Rows]:
        """All rows, some millions at a time.

        Raises:
            ValueError: as :meth:`RankingTable.batches`, also of what a worker meets.
        """
        parts = [
            {"file": place, "part": part} for place, file in enumerate(self.files) for part in range(self.parts(file))
        ]
        reader = _Reader(RankingTable(self.place, self.format, dict(self.columns), self.by))
        yield from map(_rows_of, in_order(parts, reader))


def in_order(parts: Sequence[Mapping[str, Any]], work: Any, **how: Any) -> Iterator[pa.Table]:
    """What the workers of the connected Ray cluster make of parts, in the parts' order.

    Args:
        parts: descriptions, of the same names each.
        work: a function of some parts as arrays by name, or a class of such, that gives tables of one schema. One of
            its columns is ``error``: a row that has one stands for what went wrong (:func:`wrong`).
        how: more for Ray's ``map_batches``.

    Raises:
        ValueError: what went wrong, in the worker's words.
    """
    by_ray = ray_api.data()
    if not parts:
        return
    by_ray.DataContext.get_current().execution_options.preserve_order = True
    made = by_ray.from_items(list(parts)).map_batches(work, batch_size=1, **how)
    for table in made.iter_batches(batch_size=None, batch_format="pyarrow"):
        errors = table["error"].drop_null()
        if len(errors):
            raise ValueError(errors[0].as_py())
        yield table


def wrong(error: str, schema: pa.Schema) -> pa.Table:
    """A row that says what went wrong: Ray would wrap an error in the worker's traceback."""
    return pa.Table.from_pylist([{"error": error}], schema=schema)


class _Reader:
    """What a worker does: parts of a table → their rows, or what is wrong with them."""

    def __init__(self, table: RankingTable) -> None:
        self.table = table
        self.__name__ = "read_rankings"  # in Ray's progress

    def __call__(self, chosen: Mapping[str, Any]) -> Iterator[pa.Table]:
        for place, part in zip(chosen["file"], chosen["part"]):
            try:
                for rows in self.table.batches_of(self.table.files[int(place)], int(part)):
                    yield _table_of(rows)
            except ValueError as error:
                yield wrong(str(error), _SCHEMA)


def _table_of(rows: Rows) -> pa.Table:
    errors = pa.nulls(len(rows.key), pa.string())
    return pa.table([rows.users, rows.items, pa.array(rows.key), pa.array(rows.snapshot), errors], schema=_SCHEMA)


def _rows_of(table: pa.Table) -> Rows:
    columns = [table[name].combine_chunks() for name in _SCHEMA.names[:4]]
    users, items, key, snapshot = (one.chunk(0) if isinstance(one, pa.ChunkedArray) else one for one in columns)
    numbers = key.to_numpy(zero_copy_only=False), snapshot.to_numpy(zero_copy_only=False).astype(np.int64)
    return Rows(users, items, *numbers)
