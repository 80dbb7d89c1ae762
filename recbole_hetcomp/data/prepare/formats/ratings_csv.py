"""``ratings-csv``: no header; user, item, rating and timestamp, unless ``columns`` says otherwise."""

from __future__ import annotations

from pathlib import Path

from recbole_hetcomp.data.prepare.layout import FIELDS, Layout, data_format
from recbole_hetcomp.data.prepare.reading import read_headerless
from recbole_hetcomp.data.prepare.records import Records


@data_format(
    "ratings-csv",
    source="Amazon's ratings-only files (ratings_Digital_Music.csv and others, of 2014) are linked on "
    "http://jmcauley.ucsd.edu/data/amazon/",
    options=("columns", "encoding"),
    parts=True,
)
def read_ratings_csv(file: Path, layout: Layout) -> Records:
    """Read ratings."""
    return read_headerless(file, layout.columns or FIELDS, ",", layout.encoding)
