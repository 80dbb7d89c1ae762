"""Delimited text whose every line is checked: too long, too short, and by which number."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

_MORE = "<more>"  # takes the field that a line has too many
_UNIT = "\x1f"  # ASCII's separator of fields, in place of a longer one


def first_line(file: Path, separator: str | None = None) -> list[str]:
    """The fields of a file's first line, none if it is empty; ``separator`` None is any white space."""
    with _opened(file) as stream:
        line = stream.readline().decode("utf-8-sig").rstrip("\r\n")
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator), [])


def read_text(file: Path, names: list[str], wanted: list[str], separator: str | None, headers: int = 0) -> pd.DataFrame:
    """Read columns as text.

    Args:
        file: UTF-8 text, perhaps compressed by gzip.
        names: the file's columns.
        wanted: those that are needed; a field of them may not be empty.
        separator: between fields, one character or more; None is any white space.
        headers: number of lines at the start that are not data.

    Returns:
        The wanted columns.

    Raises:
        ValueError: a line has too many fields, or none in a column that is wanted.
    """
    content: Path | io.StringIO = file
    if separator is not None and len(separator) > 1:
        with _opened(file) as stream:
            content = io.StringIO(stream.read().decode("utf-8-sig").replace(separator, _UNIT))
        separator = _UNIT
    too_long = f"of {file} has more than {len(names)} fields: {', '.join(names)}"
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(
                content,
                sep=r"\s+" if separator is None else separator,
                header=None,
                skiprows=headers,
                names=[*names, _MORE],
                index_col=False,
                dtype=str,
                encoding="utf-8-sig",
                skip_blank_lines=False,
                keep_default_na=False,
                na_values=[""],
            )
        except pd.errors.ParserWarning as error:  # pandas says so for the first line only
            raise ValueError(f"line {headers + 1} {too_long}") from error
        except pd.errors.ParserError as error:
            raise ValueError(_complaint(file, str(error), too_long)) from error
        except pd.errors.EmptyDataError:
            return pd.DataFrame(columns=wanted, dtype=str)
    more = np.flatnonzero(frame[_MORE].notna())
    if len(more):
        raise ValueError(f"line {more[0] + headers + 1} {too_long}")
    missing = np.flatnonzero(frame[wanted].isna().any(axis=1))
    if len(missing):
        gap = next(name for name in wanted if pd.isna(frame[name].iloc[missing[0]]))
        raise ValueError(f"line {missing[0] + headers + 1} of {file} has nothing in column {gap!r}")
    return frame[wanted]


def _opened(file: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")


def _complaint(file: Path, message: str, too_long: str) -> str:
    """pandas' complaint in the words of the others."""
    longer = re.search(r"in line (\d+), saw", message)
    if longer is not None:
        return f"line {longer[1]} {too_long}"
    unclosed = re.search(r"EOF inside string starting at row (\d+)", message)
    if unclosed is not None:
        return f"line {int(unclosed[1]) + 1} of {file} opens a quote that is never closed"
    return f"{file} is malformed: {message}"
