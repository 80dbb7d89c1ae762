"""``movielens``: ``ratings.dat`` as MovieLens 1M and 10M ship it, no header, ``user::item::rating::timestamp``."""

from __future__ import annotations

from pathlib import Path

from recbole_hetcomp.data.prepare.layout import FIELDS, Layout, data_format
from recbole_hetcomp.data.prepare.reading import read_headerless
from recbole_hetcomp.data.prepare.records import Records


@data_format(
    "movielens",
    source="MovieLens 1M's ratings.dat is in ml-1m.zip on https://grouplens.org/datasets/movielens/1m/",
    options=("encoding",),
    parts=True,
)
def read_movielens(file: Path, layout: Layout) -> Records:
    """Read ``ratings.dat``."""
    return read_headerless(file, FIELDS, "::", layout.encoding)
