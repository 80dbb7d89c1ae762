"""Atomic files that people write themselves: what RecBole would trip over, or misread, is named with its line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.utils import FeatureSource, FeatureType, ModelType

from recbole_hetcomp.data.text import encoding_of, opened, undecodable
from recbole_hetcomp.files import sha256_of
from recbole_hetcomp.kept import entry_kept

_UNMARKED = ("utf-8", "utf8", "utf_8")
_TYPES = ", ".join(kind.value for kind in FeatureType)


def read_atomic_file(dataset: Dataset, file: Path, source: Any, load: Callable[[], Any]) -> Any:
    """What RecBole makes of a file.

    Args:
        dataset: the data set that reads.
        file: an atomic file.
        source: what it is to RecBole.
        load: RecBole's own reading of it.

    Returns:
        The data frame that ``load`` returns, or None.

    Raises:
        ValueError: the file is not as its data card says, is empty, its header is not RecBole's, a line has more fields
            than the header or opens a quote, a word stands where a number belongs, it is no text, or an id is what
            RecBole takes for none; names file and line.
    """
    prepared = _is_as_prepared(file, dataset.dataset_name)
    with _readable(dataset, file, source, prepared):
        frame = load()
    for field in (dataset.uid_field, dataset.iid_field):
        if frame is None or field not in frame or not frame[field].isna().any():
            continue
        line = int(frame[field].isna().to_numpy().argmax()) + 2
        raise ValueError(
            f"{file}, line {line}: {field} is empty, or a word such as NA, nan, null or None, which RecBole reads as "
            "no id; give it another name"
        )
    return frame


def _is_as_prepared(file: Path, name: str) -> bool:
    """Whether a data card vouches for a file; False where there is none. One that is not as prepared is refused."""
    card = file.with_name(f"{name}.card.json")
    if not card.is_file():
        return False
    try:
        wanted = json.loads(card.read_text(encoding="utf-8")).get("files", {}).get(file.name)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{card} is damaged: prepare the data set again ({error})") from error
    if wanted is not None and sha256_of(file) != wanted:
        raise ValueError(
            f"{file} is not as {card.name} says that it was prepared: prepare it again, or delete the card if you have "
            "changed the file yourself"
        )
    return wanted is not None


@contextmanager
def _readable(dataset: Dataset, file: Path, source: Any, prepared: bool) -> Iterator[None]:
    """While RecBole reads a file: its encoding is the one that the mark at its start says, and errors have a place."""
    settings = dataset.config.final_config_dict
    given = settings.get("encoding") or "utf-8"
    encoding = encoding_of(file) if given.lower() in _UNMARKED else given
    separator = dataset.config["field_separator"]
    header = _check_lines(dataset, file, source, encoding, separator, prepared)
    try:
        with entry_kept(settings, "encoding"):  # there is none at all in some
            settings["encoding"] = encoding
            yield
    except UnicodeDecodeError as error:
        raise ValueError(undecodable(file, encoding)) from error
    except ValueError as error:
        word = _no_number(file, header, separator, encoding)
        if word is None:
            raise ValueError(f"{file}: {error}") from error
        raise ValueError(word) from error


def _check_lines(dataset: Dataset, file: Path, source: Any, encoding: str, separator: str, prepared: bool) -> list[str]:
    """The header; where the file is as it was prepared, its other lines are known to be sound."""
    with opened(file, encoding) as lines:
        header = lines.readline().rstrip("\n").split(separator)
        _check_header(dataset, file, source, header, separator)
        filled = 0
        for number, line in enumerate(lines, start=2):
            filled += line != "\n"
            if prepared and filled:
                break
            found = _fields(line, separator)
            if found is None:
                raise ValueError(f"{file}, line {number}: a field opens a quote that this line does not close")
            if found > len(header):
                raise ValueError(f"{file}, line {number}: {found} fields, and the header names {len(header)}")
    if source == FeatureSource.INTERACTION and not filled:
        raise ValueError(f"{file} has a header and no interaction")
    return header


def _fields(line: str, separator: str) -> int | None:
    """Number of fields; None if the last one is in quotes that are not closed."""
    if '"' in line and len(separator) == 1:
        try:
            return len(next(csv.reader([line.rstrip("\n")], delimiter=separator, strict=True)))
        except csv.Error as error:
            if "unexpected end" in str(error):
                return None
            return len(next(csv.reader([line.rstrip("\n")], delimiter=separator)))
    return line.count(separator) + 1


def _check_header(dataset: Dataset, file: Path, source: Any, header: list[str], separator: str) -> None:
    expected = (
        f"expected a name and a type for each column, such as {dataset.uid_field}:token, separated by {separator!r} "
        f"(field_separator); types: {_TYPES}"
    )
    if header == [""]:
        raise ValueError(f"{file}, line 1: it is empty; {expected}")
    names = []
    for column in header:
        name, _, kind = column.partition(":")
        if not name or kind not in _TYPES.split(", "):
            raise ValueError(f"{file}, line 1: column {column!r}; {expected}")
        names.append(name)
    if len(set(names)) < len(names):
        raise ValueError(f"{file}, line 1: a column is named twice: {', '.join(names)}")
    if source != FeatureSource.INTERACTION or dataset.config["MODEL_TYPE"] in (
        ModelType.CONTEXT,
        ModelType.DECISIONTREE,
    ):
        return
    for setting in ("USER_ID_FIELD", "ITEM_ID_FIELD"):
        wanted = dataset.config[setting]
        if wanted is not None and wanted not in names:
            raise ValueError(
                f"{file}, line 1: no column {wanted!r}; it has {', '.join(names)}; say which it is by {setting}"
            )


def _no_number(file: Path, header: list[str], separator: str, encoding: str) -> str | None:
    """The first word in a column of numbers, and its place; None if there is none."""
    columns = [column for column in header if column.endswith(":float")]
    frame = pd.read_csv(
        file, delimiter=separator, usecols=columns, dtype=str, encoding=encoding, skip_blank_lines=False
    )
    for column in columns:
        wrong = np.flatnonzero(pd.to_numeric(frame[column], errors="coerce").isna() & frame[column].notna())
        if len(wrong):
            word = frame[column].iloc[wrong[0]]
            return f"{file}, line {wrong[0] + 2}: {word!r} in column {column}; needed: a number"
    return None
