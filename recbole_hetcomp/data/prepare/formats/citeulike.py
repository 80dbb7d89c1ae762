"""``citeulike``: a line a user, the number of items, then the items. Users are numbered by line, from 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_hetcomp.data.prepare.layout import Layout, data_format
from recbole_hetcomp.data.prepare.records import Records
from recbole_hetcomp.data.text import opened


@data_format(
    "citeulike",
    source="citeulike-t's users.dat is in https://github.com/js05212/citeulike-t",
    options=("encoding",),
)
def read_citeulike(file: Path, layout: Layout) -> Records:
    """Read ``users.dat``."""
    users: list[int] = []
    items: list[str] = []
    with opened(file, layout.encoding) as stream:
        lines = stream.read().rstrip().split("\n")
    if lines == [""]:
        lines = []
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
    return Records(np.array(users, dtype=np.int64), np.asarray(numbers, dtype=np.int64), names, item_ids)
