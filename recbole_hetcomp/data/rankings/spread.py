"""A table of rankings that the workers of a Ray cluster read, by Ray Data; its rows are those of one reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
            RuntimeError: Ray Data does not work here.
        """
        super().__post_init__()
        ray_api.data()

    def batches(self) -> Iterator[Rows]:
        """All rows, some millions at a time.

        Raises:
            ValueError: as :meth:`RankingTable.batches`, also of what a worker meets.
        """
        read_by_ray = ray_api.data()
        parts = [
            {"file": place, "part": part} for place, file in enumerate(self.files) for part in range(self.parts(file))
        ]
        if not parts:
            return
        read_by_ray.DataContext.get_current().execution_options.preserve_order = True
        reader = _Reader(RankingTable(self.place, self.format, dict(self.columns), self.by))
        read = read_by_ray.from_items(parts).repartition(len(parts)).map_batches(reader, batch_size=1)
        for batch in read.iter_batches(batch_size=None, batch_format="pyarrow"):
            if len(batch) and batch["error"][0].is_valid:
                raise ValueError(batch["error"][0].as_py())
            yield _rows_of(batch)


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
            except ValueError as error:  # Ray would wrap it in the worker's traceback
                yield pa.Table.from_pylist([{"error": str(error)}], schema=_SCHEMA)


def _table_of(rows: Rows) -> pa.Table:
    errors = pa.nulls(len(rows.key), pa.string())
    return pa.table([rows.users, rows.items, pa.array(rows.key), pa.array(rows.snapshot), errors], schema=_SCHEMA)


def _rows_of(table: pa.Table) -> Rows:
    columns = [table[name].combine_chunks() for name in _SCHEMA.names[:4]]
    users, items, key, snapshot = (one.chunk(0) if isinstance(one, pa.ChunkedArray) else one for one in columns)
    numbers = key.to_numpy(zero_copy_only=False), snapshot.to_numpy(zero_copy_only=False).astype(np.int64)
    return Rows(users, items, *numbers)
