"""A raw file → :class:`Records`: the one entry, and what formats share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recbole_hetcomp.data.prepare.delimited import read_text
from recbole_hetcomp.data.prepare.layout import FIELDS, IGNORED, Layout, format_named
from recbole_hetcomp.data.prepare.records import Floats, Ints, Records

_NEEDED = ("user", "item")
READ_AS_MISSING = frozenset({
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Ids that RecBole, which reads atomic files with pandas' defaults, takes for missing values."""


def read(file: Path | str, layout: Layout) -> Records:
    """Read a raw file.

    Args:
        file: the file, or a folder of parts as Spark writes it, which are read in the order of their names; text may
            be compressed by gzip.
        layout: its format.

    Raises:
        FileNotFoundError: there is none; the message says where the data can be had.
        ValueError: a line or a column is not as the layout says.
    """
    file, format = Path(file), format_named(layout.format)
    if not file.exists():
        raise FileNotFoundError(
            f"{file} does not exist. Download it by hand: {format.source} "
            "(RecBole's own download links answer 'Access Denied')"
        )
    if file.is_dir() and not format.parts:
        raise ValueError(f"{file} is a folder; format {layout.format!r} reads one file")
    try:
        records = joined([format.read(part, layout) for part in parts_of(file)])
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error}") from error
    _check(file, records)
    return records


def parts_of(file: Path) -> list[Path]:
    """The file itself, or of a folder the files in it, by name; none that is hidden, is empty or starts with ``_``.

    Raises:
        ValueError: the folder has none.
    """
    if not file.is_dir():
        return [file]
    inside = (part for part in sorted(file.rglob("*")) if part.is_file() and part.stat().st_size)
    found = [part for part in inside if not any(word[0] in "._" for word in part.relative_to(file).parts)]
    if not found:
        raise ValueError(f"{file} is a folder without a file that holds data")
    return found


def joined(parts: Sequence[Records]) -> Records:
    """One after the other, as if they had been one file.

    >>> one, two = (Records(*[np.array([0, 1])] * 2, *[np.array([*names], object)] * 2) for names in ("ab", "bc"))
    >>> joined([one, two]).users.tolist(), "".join(joined([one, two]).user_ids)
    ([0, 1, 1, 2], 'abc')
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    users, user_ids = pd.factorize(np.concatenate([part.user_ids[part.users] for part in parts]))
    items, item_ids = pd.factorize(np.concatenate([part.item_ids[part.items] for part in parts]))
    return Records(
        np.asarray(users, dtype=np.int64),
        np.asarray(items, dtype=np.int64),
        user_ids,
        item_ids,
        None if first.ratings is None else np.concatenate([part.ratings for part in parts]),
        None if first.timestamps is None else np.concatenate([part.timestamps for part in parts]),
        {name: np.concatenate([part.others[name] for part in parts]) for name in first.others},
    )


def read_headerless(
    file: Path, columns: tuple[str, ...], separator: str | None, encoding: str | None = None
) -> Records:
    """Read delimited text without a header, compressed by gzip or not.

    Args:
        file: the file.
        columns: what each column is, as in :class:`Layout`; no field may be empty.
        separator: between fields, one character or more; None is any white space.
        encoding: of the text; None is UTF-8, or what the mark at its start says.

    Raises:
        ValueError: a line has too many fields or too few, or a word where a number belongs; names the line.
    """
    names = [name if name != IGNORED else f"{IGNORED}{place}" for place, name in enumerate(columns, start=1)]
    return records_from_frame(file, read_text(file, names, names, separator, encoding=encoding), unit="line")


def records_from_frame(
    file: Path, frame: pd.DataFrame, columns: Mapping[str, str] | None = None, unit: str = "row", first: int = 1
) -> Records:
    """Columns of a frame → records, in the order of its rows.

    Ids are text or whole numbers; ratings are numbers; so are times, in seconds, or pandas' own kind of time, or dates
    as ISO 8601 writes them (``2024-01-31``, ``2024-01-31T10:00:00+02:00``; in UTC where no zone is named).

    Args:
        file: what was read, for messages.
        frame: a row an interaction.
        columns: ``user``, ``item`` and, where there are any, ``rating`` and ``timestamp`` → the column's name; None is
            the columns that are called so.
        unit: what the file calls a row, for messages …
        first: … and the number of its first one.

    Raises:
        ValueError: a column is not there, or twice; a value is missing or of another kind, with its row and column.
    """
    columns = {name: name for name in FIELDS if name in frame or name in _NEEDED} if columns is None else columns
    check_present(file, columns, list(frame.columns))
    for name in columns.values():
        missing = frame[name].isna().to_numpy()
        if missing.any():
            place = int(np.flatnonzero(missing)[0]) + first
            raise ValueError(f"{unit} {place} of {file} has nothing in column {name!r}")
    users, user_ids = _ids(frame[columns["user"]], file)
    items, item_ids = _ids(frame[columns["item"]], file)
    numbers = {
        field: _numbers(frame[columns[field]], file, unit, first, dates=field == "timestamp")
        for field in ("rating", "timestamp")
        if field in columns
    }
    return Records(users, items, user_ids, item_ids, numbers.get("rating"), numbers.get("timestamp"))


def check_present(file: Path, columns: Mapping[str, str], present: Sequence[str]) -> None:
    """Refuse a file that has no column of a name that is needed, or more than one.

    Args:
        file: what is read, for messages.
        columns: what is needed → the column's name.
        present: names of the columns that there are.

    Raises:
        ValueError: names the column and those that there are.
    """
    for name in columns.values():
        if present.count(name) != 1:
            number = "no" if name not in present else "more than one"
            raise ValueError(f"{file} has {number} column {name!r}; it has {', '.join(map(repr, present)) or 'none'}")


def _ids(column: pd.Series, file: Path) -> tuple[Ints, NDArray[np.object_]]:
    numbers, names = pd.factorize(column)
    values = np.asarray(names, dtype=object)
    odd = next((value for value in values if not isinstance(value, (str, int, np.integer))), None)
    if odd is not None:
        raise ValueError(f"column {column.name!r} of {file} holds {odd!r}; allowed as ids: text and whole numbers")
    return np.asarray(numbers, dtype=np.int64), np.array([str(value) for value in values], dtype=object)


def _seconds(times: pd.Series) -> Floats:
    epoch = pd.Timestamp(0, tz=times.dt.tz)
    return ((times - epoch) / pd.Timedelta(seconds=1)).to_numpy(dtype=np.float64)


def _numbers(column: pd.Series, file: Path, unit: str, first: int, dates: bool) -> Floats:
    if pd.api.types.is_datetime64_any_dtype(column):
        return _seconds(column)
    written_as_dates = dates and len(column) > 0 and _is_date(column.iloc[0])
    values = _date_seconds(column) if written_as_dates else _plain_numbers(column)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        place = int(wrong[0])
        needed = "a number of seconds, or a date such as 2024-01-31 or 2024-01-31T10:00:00Z" if dates else "a number"
        raise ValueError(
            f"{unit} {place + first} of {file} has {column.iloc[place]!r} in column {column.name!r}; needed: {needed}"
        )
    return values


def _date_seconds(column: pd.Series) -> Floats:
    """Seconds of dates, those without a zone by themselves: pandas 2 takes them for of the zone of the one before."""
    values = np.full(len(column), np.nan)
    zoned = column.astype(str).str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True).to_numpy(dtype=bool)
    for rows in (zoned, ~zoned):
        if rows.any():
            values[rows] = _seconds(pd.to_datetime(column[rows], format="ISO8601", utc=True, errors="coerce"))
    return values


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and re.match(r"\d{4}-\d\d", value) is not None


def _plain_numbers(column: pd.Series) -> Floats:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return np.asarray(values, dtype=np.float64)


def _check(file: Path, records: Records) -> None:
    if not len(records):
        raise ValueError(f"{file} holds no interaction")
    for kind, names in (("user", records.user_ids), ("item", records.item_ids)):
        unreadable: set[Any] = set(READ_AS_MISSING.intersection(names))
        unreadable |= {name for name in names if re.search(r'[\t\r\n"]', name)}
        if unreadable:
            raise ValueError(
                f"{file} has the {kind} id {min(unreadable)!r}; rename it there: not allowed are tabs, line ends, "
                "quotes, and what RecBole reads as a missing value"
            )
