"""Users who are asked for, in Parquet: read as they are needed, from any place in the table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from recbole_hetcomp.data.rankings.reading import files_in, id_texts, open_parquet

COLUMN = "user"
_AT_ONCE = 1 << 16  # ids that are Python's


class UserTable:
    """External ids of users, in column ``user`` of a Parquet file, or of all Parquet files of a folder.

    It has a length and slices like a list, and holds none of the ids.

    Args:
        place: the file or folder.

    Raises:
        FileNotFoundError: there is none, or no Parquet file in it.
        ValueError: a file is damaged, or has no such column.
    """

    def __init__(self, place: Path) -> None:
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist")
        files = [place] if place.is_file() else [file for file in files_in(place) if is_parquet(file)]
        if not files:
            raise FileNotFoundError(f"{place} holds no file that ends in .parquet")
        lengths: dict[tuple[Path, int], int] = {}
        for file in files:
            with open_parquet(file.absolute()) as opened:
                names = opened.schema_arrow.names
                if names.count(COLUMN) != 1:
                    raise ValueError(f"{file} needs one column {COLUMN!r}; it has {', '.join(map(repr, names))}")
                id_texts(file, COLUMN, pa.nulls(0, opened.schema_arrow.field(COLUMN).type))
                for group in range(opened.num_row_groups):
                    lengths[file.absolute(), group] = opened.metadata.row_group(group).num_rows
        self._groups = [place for place, rows in lengths.items() if rows]
        self._starts = [0, *accumulate(lengths[place] for place in self._groups)]

    def __len__(self) -> int:
        """Rows."""
        return self._starts[-1]

    def __iter__(self) -> Iterator[str]:
        """All ids, in the order of the files."""
        for file, group in self._groups:
            ids = self._read(file, group)
            for start in range(0, len(ids), _AT_ONCE):
                yield from ids.slice(start, _AT_ONCE).to_pylist()

    def __getitem__(self, rows: slice) -> list[str]:
        """Some ids.

        Raises:
            ValueError: a file is damaged, or a row has no id.
        """
        start, stop, _ = rows.indices(len(self))
        found: list[str] = []
        for number, (file, group) in enumerate(self._groups):
            first, last = max(start, self._starts[number]), min(stop, self._starts[number + 1])
            if first < last:
                found += self._read(file, group).slice(first - self._starts[number], last - first).to_pylist()
        return found

    def _read(self, file: Path, group: int) -> pa.Array:
        try:
            with open_parquet(file) as opened:
                column = opened.read_row_group(group, columns=[COLUMN])[COLUMN].combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
        if isinstance(column, pa.ChunkedArray):  # as older versions of pyarrow
            column = column.chunk(0)
        ids = id_texts(file, COLUMN, column)
        if ids.null_count:
            raise ValueError(f"{file} has {ids.null_count} rows without a user")
        return ids


def is_parquet(file: Path) -> bool:
    """Whether a file's name says so."""
    return file.suffix in (".parquet", ".pq")
