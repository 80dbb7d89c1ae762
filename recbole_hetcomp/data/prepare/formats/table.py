"""``table``: CSV with a header, or Parquet; columns are picked by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recbole_hetcomp.data.prepare.delimited import first_line, read_text
from recbole_hetcomp.data.prepare.layout import Layout, data_format
from recbole_hetcomp.data.prepare.reading import check_present, records_from_frame
from recbole_hetcomp.data.prepare.records import Records

_PARQUET = (".parquet", ".pq")
_TAB_SEPARATED = (".tsv", ".inter")


@data_format(
    "table",
    source="any CSV or Parquet file with named columns will do",
    options=("user_column", "item_column", "rating_column", "timestamp_column", "separator"),
)
def read_table(file: Path, layout: Layout) -> Records:
    """Read a table."""
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
        return records_from_frame(file, _parquet(file, columns), columns)
    separator = layout.separator or ("\t" if _name(file).endswith(_TAB_SEPARATED) else ",")
    return records_from_frame(file, _text(file, columns, separator), columns, "line", first=2)


def _name(file: Path) -> str:
    """Its name without ``.gz``."""
    return file.stem if file.suffix == ".gz" else file.name


def _parquet(file: Path, columns: dict[str, str]) -> pd.DataFrame:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        check_present(file, columns, read_schema(file).names)
        return pd.read_parquet(file, columns=list(columns.values()))
    except ArrowInvalid as error:
        raise ValueError(f"{file} is not a Parquet file: {error}") from error


def _text(file: Path, columns: dict[str, str], separator: str) -> pd.DataFrame:
    present = first_line(file, separator)
    check_present(file, columns, present)
    wanted = set(columns.values())
    names = [name if name in wanted else f"column {place}" for place, name in enumerate(present, start=1)]
    return read_text(file, names, list(columns.values()), separator, headers=1)
