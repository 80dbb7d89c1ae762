"""Names of items, from the data set's own item features."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recbole_hetcomp.data.text import opened

_NAMES = ("title", "name")
_TEXTS = ("token", "token_seq")


def titles_of(config: Any, item_field: str, item_ids: NDArray[np.object_], wanted: str | None = None) -> Any:
    """What the items are called.

    Args:
        config: the run's Config; says where the data set is.
        item_field: the field of item ids.
        item_ids: external ids, object [I].
        wanted: the feature; None: the first text whose name has ``title`` or ``name`` in it.

    Returns:
        object [I], None for an item without; or None where the data set has no such feature.

    Raises:
        ValueError: there is no feature of the wanted name.
    """
    file = Path(config["data_path"]) / f"{config['dataset']}.item"
    columns = _columns(file, config["field_separator"]) if file.is_file() else {}
    field = wanted if wanted is not None else _choice(columns, item_field)
    if field is None:
        return None
    if field not in columns or item_field not in columns:
        raise ValueError(f"title={field!r} is not allowed: {file} has {', '.join(columns) or 'no columns'}")
    known = _read(file, config["field_separator"], columns[item_field][0], columns[field][0])
    return np.array([known.get(str(name)) for name in item_ids], dtype=object)


def _columns(file: Path, separator: str) -> dict[str, tuple[int, str]]:
    """Name of each column → its place and type."""
    with opened(file) as lines:
        header = lines.readline().rstrip("\n").split(separator)
    named = [column.partition(":") for column in header]
    return {name: (place, kind) for place, (name, _, kind) in enumerate(named)}


def _choice(columns: dict[str, tuple[int, str]], item_field: str) -> str | None:
    texts = [name for name, (_, kind) in columns.items() if kind in _TEXTS and name != item_field]
    return next((name for name in texts if any(word in name.lower() for word in _NAMES)), None)


def _read(file: Path, separator: str, item: int, title: int) -> dict[str, str]:
    with opened(file) as lines:
        next(lines)
        rows = (_fields(line.rstrip("\n"), separator) for line in lines)
        return {row[item]: row[title] for row in rows if len(row) > max(item, title) and row[title]}


def _fields(line: str, separator: str) -> list[str]:
    """The fields of a line, out of their quotation marks; a mark that nothing closes is part of a title.

    >>> _fields('1 "Weird Al 1999', " "), _fields('1 "Say ""Yes"" now" 1999', " "), _fields('1 "Heroes" 1977', " ")
    (['1', '"Weird', 'Al', '1999'], ['1', 'Say "Yes" now', '1999'], ['1', 'Heroes', '1977'])
    """
    plain = line.split(separator)
    if '"' not in line:
        return plain
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return plain
