"""``table``: CSV with a header, or Parquet; columns are picked by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_hetcomp.data.prepare.delimited import first_line, read_text
from recbole_hetcomp.data.prepare.layout import FIELDS, USUAL_NAME, Layout, data_format
from recbole_hetcomp.data.prepare.reading import check_present, records_from_frame
from recbole_hetcomp.data.prepare.records import Records
from recbole_hetcomp.extras import require

USUAL_NAMES = {
    "user": ("user_id", "userid", "user", "uid", "reviewerid", "visitorid", "customerid"),
    "item": ("item_id", "itemid", "item", "iid", "movieid", "asin", "productid", "bookid", "businessid", "artistid"),
    "rating": ("rating", "score", "stars", "overall"),
    "timestamp": ("timestamp", "time", "unixreviewtime", "datetime", "date"),
}
"""Names that a column is known by, whatever their case, without ``_``, ``-`` and spaces; the first that is there."""
_TYPES = ("token", "float")
_PARQUET = (".parquet", ".pq")
_TAB_SEPARATED = (".tsv", ".inter")
_SEPARATORS = ",;\t|"


@data_format(
    "table",
    source="any CSV or Parquet file with named columns will do",
    options=(
        "user_column",
        "item_column",
        "rating_column",
        "timestamp_column",
        "keep_columns",
        "separator",
        "encoding",
    ),
    parts=True,
)
def read_table(file: Path, layout: Layout) -> Records:
    """Read a table."""
    kept = kept_types(layout.keep_columns)
    if file.suffix in _PARQUET:
        present = _parquet_names(file)
        columns = columns_of(file, layout, present)
        check_present(file, {name: name for name in kept}, present)
        frame = _parquet(file, list(dict.fromkeys([*columns.values(), *kept])))
        records = records_from_frame(file, frame, columns)
        return replace(records, others=_others(file, frame, kept, "row", first=1))
    separator = layout.separator or _separator_of(file, layout.encoding)
    present = first_line(file, separator, layout.encoding)
    columns = columns_of(file, layout, present)
    check_present(file, {name: name for name in kept}, present)
    wanted = list(columns.values())
    optional = [name for name in kept if name not in wanted]
    names = [name if name in {*wanted, *kept} else f"column {place}" for place, name in enumerate(present, start=1)]
    frame = read_text(file, names, wanted, separator, headers=1, encoding=layout.encoding, optional=optional)
    records = records_from_frame(file, frame, columns, "line", first=2)
    return replace(records, others=_others(file, frame, kept, "line", first=2))


def columns_of(file: Path, layout: Layout, present: Sequence[str]) -> dict[str, str]:
    """``user``, ``item`` and, where they are read, ``rating`` and ``timestamp`` → the column's name.

    Args:
        file: what is read, for messages.
        layout: which columns are named.
        present: the columns that there are.

    Raises:
        ValueError: a column is not there or has no usual name; says by which option it can be named.
    """
    found: dict[str, str] = {}
    for field in FIELDS:
        name = getattr(layout, f"{field}_column")
        if name is None and field in ("rating", "timestamp"):
            continue
        if not name:
            name = _usual(field, present)
        if name is None and getattr(layout, f"{field}_column") == USUAL_NAME:
            continue
        if name is None or name not in present:
            wrong = f"no column {name!r}" if name else f"no column of {field}s with a usual name"
            raise ValueError(
                f"{file} has {wrong}; it has {', '.join(map(repr, present)) or 'none'}; say which it is by "
                f"--{field}_column"
            )
        found[field] = name
    if len(set(found.values())) < len(found):
        raise ValueError(f"one column is named twice: {', '.join(found.values())}")
    check_present(file, found, present)
    return found


def _usual(field: str, present: Sequence[str]) -> str | None:
    plain = [_plain(name) for name in present]
    for usual in map(_plain, USUAL_NAMES[field]):
        if usual in plain:
            return present[plain.index(usual)]
    return None


def _plain(name: str) -> str:
    """A name without what differs from table to table: case, signs between words, the type in an atomic file."""
    name = name.split(":")[0].lower()
    return "".join(sign for sign in name if sign not in "_- ")


def kept_types(columns: Sequence[str]) -> dict[str, str]:
    """Names of columns to keep → ``token``, ``float`` or, where it shall be found out, nothing.

    Raises:
        ValueError: one is named twice, or as a column that each data set has.

    >>> kept_types(("genre", "price:float"))
    {'genre': '', 'price': 'float'}
    """
    found: dict[str, str] = {}
    for column in columns:
        name, _, kind = column.rpartition(":")
        if not name or kind not in _TYPES:
            name, kind = column, ""
        if name in found or not name or _recbole_name(name) in ("user_id", "item_id", "timestamp"):
            raise ValueError(
                f"keep_columns is {','.join(columns)!r}; allowed: each column once, and none that becomes user_id, "
                "item_id or timestamp"
            )
        found[name] = kind
    return found


def _recbole_name(name: str) -> str:
    """What RecBole reads a name as: without white space and colons, which separate there."""
    return "_".join(name.replace(":", " ").split())


def _others(file: Path, frame: pd.DataFrame, kept: dict[str, str], unit: str, first: int) -> dict[str, Any]:
    """Columns to keep, by their names in RecBole's files. An empty field stays empty."""
    found: dict[str, Any] = {}
    for name, kind in kept.items():
        numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.flatnonzero(~np.isfinite(numbers) & frame[name].notna().to_numpy())
        distinct = np.unique(numbers[~np.isnan(numbers)])
        exact = not len(wrong) and len(np.unique(distinct.astype(np.float32))) == len(distinct)
        if kind == "float" and not exact:
            place = int(wrong[0]) if len(wrong) else 0
            raise ValueError(
                f"{unit} {place + first} of {file} has {frame[name].iloc[place]!r} in column {name!r}, which is to be "
                "kept as float; needed: numbers that RecBole's 32 bits tell apart, or :token"
            )
        kind = kind or ("float" if exact else "token")
        values = numbers if kind == "float" else frame[name].astype(object).where(frame[name].notna(), "").astype(str)
        if kind == "token":
            odd = np.flatnonzero(values.str.contains('[\t\r\n"]').to_numpy())
            if len(odd):
                raise ValueError(
                    f"{unit} {odd[0] + first} of {file} has {values.iloc[odd[0]]!r} in column {name!r}; not allowed "
                    "are tabs, line ends and quotes"
                )
            values = values.to_numpy(dtype=object)
        found[f"{_recbole_name(name)}:{kind}"] = values
    return found


def _separator_of(file: Path, encoding: str | None) -> str:
    """The file's ending says it, unless the first line is one field by that."""
    name = file.stem if file.suffix == ".gz" else file.name
    usual = "\t" if name.endswith(_TAB_SEPARATED) else ","
    if len(first_line(file, usual, encoding)) > 1:
        return usual
    return max(_SEPARATORS, key=lambda sign: (len(first_line(file, sign, encoding)), sign == usual))


def _parquet_names(file: Path) -> list[str]:
    require(str(file), "pyarrow")
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        return list(read_schema(file).names)
    except ArrowInvalid as error:
        raise ValueError(f"{file} is not a Parquet file: {error}") from error


def _parquet(file: Path, columns: list[str]) -> pd.DataFrame:
    """Columns, one that a frame had as its index too."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as content:
            return content.read(columns=columns).to_pandas(ignore_metadata=True)
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is a damaged Parquet file: {error}") from error
