"""Parquet, CSV and TREC runs of rankings, read a batch of rows at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recbole_hetcomp.data.rankings.schema import ORDERS, READ, check_version

BATCH_ROWS = 1 << 21  # an index of all ids is built for each batch
BATCH_BYTES = 64 << 20  # what a batch of long ids may take
_READ_ROWS, _READ_BYTES = 1 << 18, 8 << 20  # read at a time: pyarrow reads some dozens ahead
_ENDINGS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".trec": "trec", ".run": "trec",
}  # fmt: skip
FORMATS = ("parquet", "csv", "trec")
_TREC = ["user", "Q0", "item", "rank", "score", "tag"]
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(frozen=True)
class Rows:
    """A batch of rows.

    Attributes:
        users: external ids, a pyarrow array of strings [n]; null where there is none.
        items: likewise.
        key: what sorts a list, ascending, float64 [n]: ranks, or scores times -1; NaN where there is none.
        snapshot: int64 [n]; 0 where the table has no such column, -1 where a row has none.
    """

    users: pa.Array
    items: pa.Array
    key: NDArray[np.float64]
    snapshot: NDArray[np.int64]


@dataclass
class RankingTable:
    """A table of rankings in a file, or in all files of a folder.

    Args:
        place: the file or folder.
        format: ``parquet``, ``csv`` or ``trec``; None: by the file's ending.
        columns: user, item, rank, score, snapshot → the column's name, where it is another one.
        by: ``rank`` or ``score``, which of the two sorts the lists; None: the rank where there is one, and the score
            in a TREC run, as in trec_eval.

    Attributes:
        notes: what the reader should know of how the files were read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the format, a column or the order is not known.
    """

    place: Path
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    by: str | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find the files and their format."""
        if self.by is not None and self.by not in ORDERS:
            raise ValueError(f"by={self.by!r} is not allowed: one of {', '.join(ORDERS)}")
        unknown = sorted(set(self.columns) - set(READ))
        if unknown:
            raise ValueError(f"columns names {unknown[0]!r}; allowed: {', '.join(READ)}")
        if not self.place.exists():
            raise FileNotFoundError(f"{self.place} does not exist")
        self.files = self._files()
        if self.format is None:
            self.format = table_format(self.files[0])
        if self.format not in FORMATS:
            raise ValueError(f"format={self.format!r} is not allowed: one of {', '.join(FORMATS)}")
        self.sorted_by: str | None = None

    def _files(self) -> list[Path]:
        if self.place.is_file():
            return [self.place]
        found = [file for file in files_in(self.place) if self.format or _known(file)]
        if not found:
            raise FileNotFoundError(f"{self.place} holds no file that ends in {', '.join(_ENDINGS)}")
        kinds = sorted({table_format(file) for file in found}) if self.format is None else []
        if len(kinds) > 1:
            raise ValueError(f"{self.place} holds files of several formats: {', '.join(kinds)}; say which with format")
        return found

    def batches(self) -> Iterator[Rows]:
        """All rows, some millions at a time.

        Raises:
            ValueError: a file is truncated or damaged, lacks a column, or holds another kind of value.
        """
        for file in self.files:
            yield from self.batches_of(file)

    def batches_of(self, file: Path, part: int | None = None) -> Iterator[Rows]:
        """The rows of one file.

        Args:
            file: one of the table's files.
            part: which of its :meth:`parts`; None: all of them.

        Raises:
            ValueError: as :meth:`batches`.
        """
        try:
            yield from self._batches_of(file, part)
        except (pa.ArrowException, UnicodeDecodeError, OSError, EOFError) as error:
            raise ValueError(f"{file} cannot be read as {self.format}: {' '.join(str(error).split())}") from error

    def parts(self, file: Path) -> int:
        """Parts of a file that can be read apart: the row groups of a Parquet file; a text is one.

        Raises:
            ValueError: it is damaged, or lacks a column.
        """
        if self.format != "parquet":
            self._columns_of_text(file)
            return 1
        with open_parquet(file) as opened:
            self._named(file, opened.schema_arrow.names)
            return opened.num_row_groups

    def _batches_of(self, file: Path, part: int | None) -> Iterator[Rows]:
        if self.format == "parquet":
            with open_parquet(file) as opened:
                named = self._named(file, opened.schema_arrow.names)
                groups = list(range(opened.num_row_groups)) if part is None else [part]
                for batch in _joined(opened.iter_batches(_READ_ROWS, row_groups=groups, columns=list(named.values()))):
                    yield self._rows(file, batch, named)
            return
        with self._text(file) as reader:
            named = self._named(file, reader.schema.names)
            for batch in _joined(reader):
                yield self._rows(file, batch, named)

    def _columns_of_text(self, file: Path) -> tuple[str, dict[str, str]]:
        """The separator, and the columns that are read."""
        first = self._first_line(file)
        if self.format == "trec":
            separator, names = ("\t" if "\t" in first else " "), _TREC
            if len(first.split(separator)) != len(_TREC):
                raise ValueError(
                    f"{file} has {len(first.split(separator))} fields in line 1; needed of a TREC run: "
                    f"{len(_TREC)}, {' '.join(_TREC)}, between single blanks or tabs"
                )
        else:
            separator, names = ("\t" if "\t" in first else ","), first.split("\t" if "\t" in first else ",")
        return separator, self._named(file, [name.strip().strip('"') for name in names])

    def _text(self, file: Path) -> Any:
        separator, named = self._columns_of_text(file)
        types: dict[str, pa.DataType] = {named["user"]: pa.string(), named["item"]: pa.string()}
        types.update({named[name]: pa.float64() for name in ORDERS if name in named})
        types.update({named["snapshot"]: pa.int64()} if "snapshot" in named else {})
        return pyarrow.csv.open_csv(
            pa.input_stream(str(file), compression="detect", buffer_size=1 << 20),
            read_options=pyarrow.csv.ReadOptions(
                block_size=_READ_BYTES, column_names=_TREC if self.format == "trec" else None
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, quote_char=False if self.format == "trec" else '"'
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                include_columns=list(named.values()),
                strings_can_be_null=False,
                null_values=["", "nan", "NaN", "NA", "null", "NULL", "None"],
            ),
        )

    def _first_line(self, file: Path) -> str:
        with pa.input_stream(str(file), compression="detect") as stream:
            start = stream.read(1 << 16)
        if start.startswith(_WIDE_MARKS):
            raise ValueError(f"{file} begins with the byte-order mark of UTF-16 or UTF-32; write it as UTF-8")
        if start.startswith(codecs.BOM_UTF8):
            start = start[len(codecs.BOM_UTF8) :]
            if self.format == "trec":
                raise ValueError(
                    f"{file} begins with a byte-order mark, which would be part of the first id; remove it"
                )
            self.notes.append(f"{file} begins with a byte-order mark: left out")
        if not start.strip():
            raise ValueError(f"{file} is empty")
        return start.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")

    def _named(self, file: Path, present: list[str]) -> dict[str, str]:
        """The columns that are read → their names in the file."""
        named = {name: self.columns.get(name, name) for name in READ}
        if "snapshot" not in self.columns and "snapshot" not in present:
            named["snapshot"] = "epoch"
        shown = ", ".join(map(repr, present))
        for name in READ:
            wanted = name in ("user", "item") or name in self.columns or name == self.by
            number = present.count(named[name])
            if number > 1 or (wanted and not number):
                raise ValueError(
                    f"{file} has {'more than one' if number else 'no'} column {named[name]!r} for {name!r}; it has "
                    f"{shown}. Another name is given as columns={name}=NAME"
                )
            if not number:
                del named[name]
        if not set(ORDERS) & set(named):
            raise ValueError(f"{file} has no column 'rank' and no column 'score'; it has {shown}")
        self.sorted_by = self.by or next(
            name for name in (("score", "rank") if self.format == "trec" else ORDERS) if name in named
        )
        return named

    def _rows(self, file: Path, batch: pa.RecordBatch, named: Mapping[str, str]) -> Rows:
        order = self.sorted_by
        assert order is not None
        key = _numbers(file, named[order], batch.column(named[order]))
        snapshot = np.zeros(len(key), dtype=np.int64)
        if "snapshot" in named:
            snapshot = _whole(file, named["snapshot"], batch.column(named["snapshot"]))
        return Rows(
            id_texts(file, named["user"], batch.column(named["user"])),
            id_texts(file, named["item"], batch.column(named["item"])),
            -key if order == "score" else key,
            snapshot,
        )


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Small batches → batches of :data:`BATCH_ROWS`, or of :data:`BATCH_BYTES` where that is less."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield _one(held)
            held, rows, size = [], 0, 0
    if held:
        yield _one(held)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    columns = [pa.concat_arrays(list(pieces)) for pieces in zip(*(batch.columns for batch in batches))]
    return pa.RecordBatch.from_arrays(columns, schema=batches[0].schema)


def open_parquet(file: Path) -> pq.ParquetFile:
    """A Parquet file.

    Raises:
        ValueError: it is none, or is damaged.
    """
    try:
        opened = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} is truncated, or no Parquet file at all: {reason}") from error
    check_version(file, opened.schema_arrow.metadata)
    return opened


def files_in(folder: Path) -> list[Path]:
    """The files of a folder, sorted, without those that Spark and systems put beside the parts of a table."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith((".", "_")))


def _known(file: Path) -> str | None:
    return next((_ENDINGS[end] for end in reversed(file.suffixes) if end in _ENDINGS), None)


def table_format(file: Path) -> str:
    """A table's format by its ending.

    Raises:
        ValueError: it is not known.
    """
    found = _known(file)
    if found is None:
        raise ValueError(f"{file}: its format is not known from its ending; say format: {', '.join(FORMATS)}")
    return found


def id_texts(file: Path, name: str, column: pa.Array) -> pa.Array:
    """A column of ids as text, so that 1 and "1" are one id.

    Raises:
        ValueError: it holds neither text nor whole numbers.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_floating(kind):
        raise ValueError(
            f"{file} has numbers with a decimal point ({kind}) in column {name!r}; ids are text or whole numbers: "
            "1.0 is not the id '1'"
        )
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        raise ValueError(f"{file} has values of type {kind} in column {name!r}; ids are text or whole numbers")
    return column.cast(pa.string())


def _numbers(file: Path, name: str, column: pa.Array) -> NDArray[np.float64]:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ValueError(f"{file} has values of type {kind} in column {name!r}; needed: numbers")
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _whole(file: Path, name: str, column: pa.Array) -> NDArray[np.int64]:
    try:
        return pc.fill_null(column.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file} has a value in column {name!r} that is no whole number: {error}") from error
