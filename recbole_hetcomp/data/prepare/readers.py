"""Raw files of four formats → :class:`Records`. A line that is not as it should be is an error that names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_hetcomp.data.prepare.delimited import first_line, read_text
from recbole_hetcomp.data.prepare.records import Floats, Ints, Records

IGNORED = "_"
FIELDS = ("user", "item", "rating", "timestamp")
SOURCES = {
    "citeulike": "citeulike-t's users.dat is in https://github.com/js05212/citeulike-t",
    "ratings-csv": (
        "Amazon's ratings-only files (ratings_Digital_Music.csv and others, of 2014) are linked on "
        "http://jmcauley.ucsd.edu/data/amazon/"
    ),
    "checkins": (
        "the Foursquare check-ins of SAE-NAD (Foursquare_checkins.txt) come from "
        "http://spatialkeyword.sce.ntu.edu.sg/eval-vldb17/"
    ),
    "table": "any CSV or Parquet file with named columns will do",
}
"""Where the data of each format can be had."""
READ_AS_MISSING = frozenset({
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Ids that RecBole, which reads atomic files with pandas' defaults, takes for missing values."""

_DEFAULT_COLUMNS = {"ratings-csv": ("user", "item", "rating", "timestamp")}
_READING_OPTIONS = ("columns", "user_column", "item_column", "rating_column", "timestamp_column", "separator")
_APPLY = {
    "citeulike": (),
    "ratings-csv": ("columns",),
    "checkins": ("columns",),
    "table": ("user_column", "item_column", "rating_column", "timestamp_column", "separator"),
}
_PARQUET = (".parquet", ".pq")
_TAB_SEPARATED = (".tsv", ".inter")


@dataclass(frozen=True)
class Layout:
    """How the input is to be read.

    Attributes:
        format: ``citeulike`` (a line a user: number of items, then the items), ``ratings-csv`` (no header; user, item,
            rating, timestamp), ``checkins`` (no header, separated by spaces or tabs; user, place and perhaps a third
            column, which is ignored) or ``table`` (CSV or Parquet with named columns).
        columns: for the two formats without header, what each column is: ``user``, ``item``, ``rating`` (a check-in's
            frequency as well), ``timestamp`` or ``_`` for one that is ignored. None is the order above.
        user_column: for a table, the column of users …
        item_column: … of items …
        rating_column: … of ratings, None for none …
        timestamp_column: … and of times in seconds, None for none.
        separator: for a CSV table, None for a comma, or a tab in a file named ``.tsv`` or ``.inter``.
    """

    format: str = "table"
    columns: tuple[str, ...] | None = None
    user_column: str = "user_id"
    item_column: str = "item_id"
    rating_column: str | None = None
    timestamp_column: str | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        if self.format not in SOURCES:
            raise ValueError(f"format is {self.format!r}; allowed: {', '.join(SOURCES)}")
        for name in _READING_OPTIONS:
            given = getattr(self, name) != getattr(Layout, name)
            if given and name not in _APPLY[self.format]:
                raise ValueError(f"{name} does not apply to format {self.format!r}")
        if self.separator is not None and len(self.separator) != 1:
            raise ValueError(f"separator is {self.separator!r}; allowed: one character")
        if self.columns is not None:
            _check_columns(self.columns)


def _check_columns(columns: tuple[str, ...]) -> None:
    named = [name for name in columns if name != IGNORED]
    unknown = sorted(set(named) - set(FIELDS))
    if unknown or len(set(named)) < len(named) or not {"user", "item"} <= set(named):
        raise ValueError(
            f"columns is {','.join(columns)!r}; allowed: user and item once, rating and timestamp once at most, "
            f"{IGNORED} for a column that is ignored"
        )


def read(file: Path | str, layout: Layout) -> Records:
    """Read a raw file.

    Args:
        file: the file; text is UTF-8, and may be compressed by gzip except for citeulike.
        layout: its format.

    Raises:
        FileNotFoundError: there is none; the message says where the data can be had.
        ValueError: a line or a column is not as the layout says.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist. Download it by hand: {SOURCES[layout.format]} "
            "(RecBole's own download links answer 'Access Denied')"
        )
    try:
        return _READERS[layout.format](file, layout)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error}") from error


def _citeulike(file: Path, layout: Layout) -> Records:
    users: list[int] = []
    items: list[str] = []
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or not all(word.isdecimal() for word in words):
            raise ValueError(f"line {number} of {file} is {line[:60]!r}; needed: a count and that many item numbers")
        if int(words[0]) != len(words) - 1:
            raise ValueError(f"line {number} of {file} announces {words[0]} items and has {len(words) - 1}")
        users += [number - 1] * (len(words) - 1)
        items += words[1:]
    names = np.array([str(number) for number in range(len(lines))], dtype=object)
    numbers, item_ids = pd.factorize(np.array(items, dtype=object))
    return _checked(file, Records(np.array(users, dtype=np.int64), _int64(numbers), names, item_ids))


def _ratings_csv(file: Path, layout: Layout) -> Records:
    return _headerless(file, layout.columns or _DEFAULT_COLUMNS["ratings-csv"], ",")


def _checkins(file: Path, layout: Layout) -> Records:
    third = (IGNORED,) if len(first_line(file)) > 2 else ()
    return _headerless(file, layout.columns or ("user", "item", *third), None)


def _headerless(file: Path, columns: tuple[str, ...], separator: str | None) -> Records:
    names = [name if name != IGNORED else f"{IGNORED}{place}" for place, name in enumerate(columns, start=1)]
    frame = read_text(file, names, names, separator)
    return _records(file, frame, {name: name for name in FIELDS if name in names}, "line", 1)


def _table(file: Path, layout: Layout) -> Records:
    wanted = {
        "user": layout.user_column,
        "item": layout.item_column,
        "rating": layout.rating_column,
        "timestamp": layout.timestamp_column,
    }
    columns = {field: name for field, name in wanted.items() if name is not None}
    if len(set(columns.values())) < len(columns):
        raise ValueError(f"one column is named twice: {', '.join(columns.values())}")
    if file.suffix in _PARQUET:
        return _parquet(file, columns)
    separator = layout.separator or ("\t" if _name(file).endswith(_TAB_SEPARATED) else ",")
    present = first_line(file, separator)
    _check_present(file, columns, present)
    wanted_columns = set(columns.values())
    names = [name if name in wanted_columns else f"column {place}" for place, name in enumerate(present, start=1)]
    return _records(file, read_text(file, names, list(columns.values()), separator, headers=1), columns, "line", 2)


def _name(file: Path) -> str:
    """Its name without ``.gz``."""
    return file.stem if file.suffix == ".gz" else file.name


def _parquet(file: Path, columns: dict[str, str]) -> Records:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        _check_present(file, columns, read_schema(file).names)
        frame = pd.read_parquet(file, columns=list(columns.values()))
    except ArrowInvalid as error:
        raise ValueError(f"{file} is not a Parquet file: {error}") from error
    return _records(file, frame, columns, "row", 1)


def _check_present(file: Path, columns: dict[str, str], present: list[str]) -> None:
    for name in columns.values():
        if present.count(name) != 1:
            number = "no" if name not in present else "more than one"
            raise ValueError(f"{file} has {number} column {name!r}; it has {', '.join(map(repr, present)) or 'none'}")


def _records(file: Path, frame: pd.DataFrame, columns: dict[str, str], unit: str, first: int) -> Records:
    """Columns → records; ``first`` is the number of the first ``unit`` (line or row) with data."""
    for name in columns.values():
        missing = frame[name].isna().to_numpy()
        if missing.any():
            place = int(np.flatnonzero(missing)[0]) + first
            raise ValueError(f"{unit} {place} of {file} has nothing in column {name!r}")
    users, user_ids = _ids(frame[columns["user"]], file)
    items, item_ids = _ids(frame[columns["item"]], file)
    numbers = {
        field: _numbers(frame[columns[field]], file, unit, first)
        for field in ("rating", "timestamp")
        if field in columns
    }
    return _checked(file, Records(users, items, user_ids, item_ids, numbers.get("rating"), numbers.get("timestamp")))


def _ids(column: pd.Series, file: Path) -> tuple[Ints, NDArray[np.object_]]:
    numbers, names = pd.factorize(column)
    values = np.asarray(names, dtype=object)
    odd = next((value for value in values if not isinstance(value, (str, int, np.integer))), None)
    if odd is not None:
        raise ValueError(f"column {column.name!r} of {file} holds {odd!r}; allowed as ids: text and whole numbers")
    return _int64(numbers), np.array([str(value) for value in values], dtype=object)


def _numbers(column: pd.Series, file: Path, unit: str, first: int) -> Floats:
    if pd.api.types.is_datetime64_any_dtype(column):
        epoch = pd.Timestamp(0, tz=column.dt.tz)
        return ((column - epoch) / pd.Timedelta(seconds=1)).to_numpy(dtype=np.float64)
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        place = int(wrong[0])
        raise ValueError(
            f"{unit} {place + first} of {file} has {column.iloc[place]!r} in column {column.name!r}; needed: a number"
        )
    return values


def _checked(file: Path, records: Records) -> Records:
    if not len(records):
        raise ValueError(f"{file} holds no interaction")
    for kind, names in (("user", records.user_ids), ("item", records.item_ids)):
        unreadable = READ_AS_MISSING.intersection(names)
        unreadable |= {name for name in names if re.search(r'[\t\r\n"]', name)}
        if unreadable:
            raise ValueError(
                f"{file} has the {kind} id {min(unreadable)!r}; rename it there: not allowed are tabs, line ends, "
                "quotes, and what RecBole reads as a missing value"
            )
    return records


def _int64(numbers: Any) -> Ints:
    return np.asarray(numbers, dtype=np.int64)


_READERS: dict[str, Callable[[Path, Layout], Records]] = {
    "citeulike": _citeulike,
    "ratings-csv": _ratings_csv,
    "checkins": _checkins,
    "table": _table,
}
