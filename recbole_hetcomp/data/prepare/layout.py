"""What a raw file is: its format, one of those that are registered, and how files of that format differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from recbole_hetcomp.data.prepare.records import Records
from recbole_hetcomp.data.text import check_encoding

IGNORED = "_"
FIELDS = ("user", "item", "rating", "timestamp")
USUAL_NAME = ""
"""In place of a column's name: the one that is usual, if the table has it."""
Reader = Callable[[Path, "Layout"], Records]


@dataclass(frozen=True)
class DataFormat:
    """A kind of raw file.

    Attributes:
        name: what it is called in :class:`Layout` and after ``--format``.
        read: reads a file that exists, as a layout says; a line that is not as it should be is a ``ValueError`` that
            names it. Ids and an empty result are checked after it.
        source: where such data can be had, as an end of "Download it by hand: …".
        options: the attributes of :class:`Layout` that say something of this format; the others are refused.
        parts: whether a folder of such files, as Spark writes it, is read as one.
    """

    name: str
    read: Reader
    source: str
    options: tuple[str, ...] = ()
    parts: bool = False


_FORMATS: dict[str, DataFormat] = {}


def data_format(
    name: str, source: str, options: tuple[str, ...] = (), parts: bool = False
) -> Callable[[Reader], Reader]:
    """Decorator of a function that reads a format: makes the format known by a name, in this process.

    Args:
        name: see :class:`DataFormat`, as for the others.
        source: …
        options: …
        parts: …

    Raises:
        ValueError: the name is taken, or an option is none of :class:`Layout`'s.
    """
    unknown = sorted(set(options) - set(READING_OPTIONS))
    if unknown:
        raise ValueError(f"options of format {name!r} name {unknown[0]!r}; allowed: {', '.join(READING_OPTIONS)}")

    def register(read: Reader) -> Reader:
        known = _FORMATS.setdefault(name, DataFormat(name, read, source, options, parts)).read
        if known is not read:
            raise ValueError(f"format name {name!r} is taken: {known.__module__}.{known.__qualname__} reads it")
        return read

    return register


def format_names() -> list[str]:
    """Names of all formats: the package's, then others' in the order of their registration."""
    return list(_FORMATS)


def format_named(name: str) -> DataFormat:
    """The format of a name.

    Raises:
        ValueError: there is none; names those that there are.
    """
    if name not in _FORMATS:
        raise ValueError(f"format is {name!r}; allowed: {', '.join(_FORMATS)}")
    return _FORMATS[name]


@dataclass(frozen=True)
class Layout:
    """How the input is to be read.

    Attributes:
        format: name of its format, one of :func:`format_names`; each is explained where it is read, in ``formats``.
        columns: for a format without header, what each column is: ``user``, ``item``, ``rating`` (a check-in's
            frequency as well), ``timestamp`` or ``_`` for one that is ignored. None is the format's own order.
        user_column: for a table, the column of users, None for the usual name that it has …
        item_column: … of items, likewise …
        rating_column: … of ratings, None for none, :data:`USUAL_NAME` for a usual name …
        timestamp_column: … and of times in seconds, likewise.
        keep_columns: for a table, other columns to keep, a name or ``name:token`` or ``name:float``.
        separator: for a CSV table, None for a comma, a tab in a file named ``.tsv`` or ``.inter``, or whichever of
            comma, semicolon, tab and bar the header has.
        encoding: of text, None for UTF-8, or for what the mark at its start says.

    Raises:
        ValueError: there is no such format, or an option is not allowed or does not apply to it.
    """

    format: str = "table"
    columns: tuple[str, ...] | None = None
    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    timestamp_column: str | None = None
    keep_columns: tuple[str, ...] = ()
    separator: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        apply = format_named(self.format).options
        for name in READING_OPTIONS:
            given = getattr(self, name) != getattr(Layout, name)
            if given and name not in apply:
                raise ValueError(f"{name} does not apply to format {self.format!r}")
        if self.separator is not None and len(self.separator) != 1:
            raise ValueError(f"separator is {self.separator!r}; allowed: one character")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.columns is not None:
            _check_columns(self.columns)


READING_OPTIONS = tuple(field.name for field in fields(Layout) if field.name != "format")


def _check_columns(columns: tuple[str, ...]) -> None:
    named = [name for name in columns if name != IGNORED]
    unknown = sorted(set(named) - set(FIELDS))
    if unknown or len(set(named)) < len(named) or not {"user", "item"} <= set(named):
        raise ValueError(
            f"columns is {','.join(columns)!r}; allowed: user and item once, rating and timestamp once at most, "
            f"{IGNORED} for a column that is ignored"
        )
