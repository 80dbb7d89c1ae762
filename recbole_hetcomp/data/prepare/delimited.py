"""Delimited text whose every line is checked: too long, too short, and by which number."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from recbole_hetcomp.data.text import opened

_MORE = "<more>"  # takes the field that a line has too many
_UNIT = "\x1f"  # ASCII's separator of fields, in place of a longer one


def first_line(file: Path, separator: str | None = None, encoding: str | None = None) -> list[str]:
    """The fields of a file's first line, none if it is empty; ``separator`` None is any white space."""
    with opened(file, encoding) as stream:
        line = stream.readline().rstrip("\n")
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator), [])


def read_text(
    file: Path,
    names: list[str],
    wanted: list[str],
    separator: str | None,
    headers: int = 0,
    encoding: str | None = None,
    optional: Sequence[str] = (),
) -> pd.DataFrame:
    """Read columns as text. Empty lines at the end, with separators or without, are no data.

    Args:
        file: text as :func:`~recbole_hetcomp.data.text.opened` reads it, perhaps compressed by gzip.
        names: the file's columns.
        wanted: those that are needed; a field of them may not be empty.
        separator: between fields, one character or more; None is any white space.
        headers: number of lines at the start that are not data.
        encoding: of the text; None is UTF-8, or what the mark at its start says.
        optional: further columns that are read, whose fields may be empty.

    Returns:
        The wanted columns, then the optional ones.

    Raises:
        ValueError: a line has too many fields, or none in a column that is wanted.
    """
    too_long = f"of {file} has more than {len(names)} fields: {', '.join(names)}"
    with opened(file, encoding) as stream:
        try:
            frame = _frame(stream, [*names, _MORE], separator, headers)
        except pd.errors.ParserWarning as error:  # pandas says so for the first line only
            raise ValueError(f"line {headers + 1} {too_long}") from error
        except pd.errors.ParserError as error:
            raise ValueError(_complaint(file, str(error), too_long)) from error
        except pd.errors.EmptyDataError:
            return pd.DataFrame(columns=[*wanted, *optional], dtype=str)
    frame = frame.iloc[: _without_empty_end(frame)]
    more = np.flatnonzero(frame[_MORE].notna())
    if len(more):
        raise ValueError(f"line {more[0] + headers + 1} {too_long}")
    missing = np.flatnonzero(frame[wanted].isna().any(axis=1))
    if len(missing):
        gap = next(name for name in wanted if pd.isna(frame[name].iloc[missing[0]]))
        raise ValueError(f"line {missing[0] + headers + 1} of {file} has nothing in column {gap!r}")
    return frame[[*wanted, *optional]]


def _frame(stream: IO[str], names: list[str], separator: str | None, headers: int) -> pd.DataFrame:
    if separator is not None and len(separator) > 1:
        stream, separator = io.StringIO(stream.read().replace(separator, _UNIT)), _UNIT
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            stream,
            sep=r"\s+" if separator is None else separator,
            header=None,
            skiprows=headers,
            names=names,
            index_col=False,
            dtype=str,
            skip_blank_lines=False,
            keep_default_na=False,
            na_values=[""],
        )


def _without_empty_end(frame: pd.DataFrame) -> int:
    """Number of rows up to the last one that holds anything but white space."""
    end = len(frame)
    while end and all(pd.isna(value) or not value.strip() for value in frame.iloc[end - 1]):
        end -= 1
    return end


def _complaint(file: Path, message: str, too_long: str) -> str:
    """pandas' complaint in the words of the others."""
    longer = re.search(r"in line (\d+), saw", message)
    if longer is not None:
        return f"line {longer[1]} {too_long}"
    unclosed = re.search(r"EOF inside string starting at row (\d+)", message)
    if unclosed is not None:
        return f"line {int(unclosed[1]) + 1} of {file} opens a quote that is never closed"
    return f"{file} is malformed: {message}"
