"""A benchmark's cells in one file, with which it goes on elsewhere: ``hetcomp benchmark --pack``, ``--restore``.

The file is Parquet, compressed by zstd, with a row for each file of a cell that is done: its ``path`` below ``cells``,
the ``checksum`` of both and the ``content``. Logs and what else names the machine's folders stay out; the same results
make the same file.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow
from pyarrow import parquet

from recbole_hetcomp.comparison.folder import CELLS, LISTS, PER_USER, RESULT
from recbole_hetcomp.files import write_whole

_KEPT = (RESULT, PER_USER, LISTS)
_PATH = re.compile(rf"([0-9a-f]{{16}})/({'|'.join(map(re.escape, _KEPT))})")
_COLUMNS = {"path": pyarrow.string(), "checksum": pyarrow.string(), "content": pyarrow.large_binary()}
_SCHEMA = pyarrow.schema(
    [pyarrow.field(name, kind, nullable=False) for name, kind in _COLUMNS.items()],
    metadata={"hetcomp": "cells of a benchmark, version 1"},
)
_TOGETHER = 2**26  # bytes of files that are compressed together, and held in memory
_LEVEL = 19  # of zstd


def pack_cells(folder: Path, file: Path) -> int:
    """Write the results of all cells that are done into one file, whole or not at all.

    Args:
        folder: the benchmark's folder.
        file: the file.

    Returns:
        Number of cells.

    Raises:
        FileNotFoundError: no cell in the folder is done.
        ValueError: a result is damaged or of another cell; names it.
    """
    cells = folder / CELLS
    done = sorted(result.parent.name for result in cells.glob(f"*/{RESULT}"))
    if not done:
        raise FileNotFoundError(f"no cell in {folder} is done: nothing to pack")
    likes = [f"{key}/{name}" for name in _KEPT for key in done]  # like beside like: so they compress well
    paths = [path for path in likes if (cells / path).is_file()]

    def write(target: Path) -> None:
        with parquet.ParquetWriter(
            target, _SCHEMA, compression="zstd", compression_level=_LEVEL, use_dictionary=False,
            write_statistics=False, data_page_size=2 * _TOGETHER,
        ) as writer:  # fmt: skip
            for rows in _packed(cells, paths):
                writer.write_table(pyarrow.Table.from_pylist(rows, _SCHEMA))

    write_whole(file, write)
    return len(done)


def _packed(cells: Path, paths: list[str]) -> Iterator[list[dict[str, str | bytes]]]:
    """Files as rows, so many at a time as are held in memory."""
    rows: list[dict[str, str | bytes]] = []
    size = 0
    for path in paths:
        content = (cells / path).read_bytes()
        try:
            _check(path, content)
        except ValueError as error:
            raise ValueError(f"{cells} cannot be packed: {error}") from error
        rows.append({"path": path, "checksum": _checksum(path, content), "content": content})
        size += len(content)
        if size >= _TOGETHER:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def restore_cells(file: Path, folder: Path) -> int:
    """Write the cells that a file holds into a benchmark's folder, byte for byte, all of them or none.

    Args:
        file: what :func:`pack_cells` has written.
        folder: the benchmark's folder, without cells or with these; made if it is not there.

    Returns:
        Number of cells.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or holds something else; names it and says what is wrong.
        FileExistsError: the folder has cells, and they lack a file or hold another; names it.
    """
    paths = [path for path, _ in _restored(file)]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".") as temporary:
        fresh, cells = Path(temporary) / CELLS, folder / CELLS
        for path, content in _restored(file):
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_bytes(content)
        if cells.exists():
            _, differing, absent = filecmp.cmpfiles(fresh, cells, paths, shallow=False)
            for path in (*differing, *absent):
                raise FileExistsError(f"{cells / path} is not that of {file}: restore into a folder without cells")
        else:
            os.replace(fresh, cells)
    return sum(path.endswith(RESULT) for path in paths)


def _restored(file: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file that was packed."""
    try:
        with parquet.ParquetFile(file) as table:
            schema = table.schema_arrow
            if schema.metadata != _SCHEMA.metadata or not schema.equals(_SCHEMA):
                raise ValueError("it holds no cells of a benchmark")
            for group in range(table.num_row_groups):
                for row in table.read_row_group(group).to_pylist():
                    if row["checksum"] != _checksum(row["path"], row["content"]):
                        raise ValueError(f"the checksum of {row['path']} is wrong")
                    _check(row["path"], row["content"])
                    yield row["path"], row["content"]
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be restored: {error}") from error


def _checksum(path: str, content: bytes) -> str:
    return hashlib.sha256(path.encode() + b"\0" + content).hexdigest()


def _check(path: str, content: bytes) -> None:
    """Refuse what is no file of a cell, and a result that is not whole or of another cell."""
    named = _PATH.fullmatch(path)
    if named is None:
        raise ValueError(f"{path} is no file of a cell")
    key, name = named.groups()
    if name == RESULT and _key_of(content) != key:
        raise ValueError(f"{path} is damaged or of another cell")


def _key_of(result: bytes) -> str | None:
    try:
        found = json.loads(result)
    except ValueError:
        return None
    return found.get("key") if isinstance(found, dict) else None
