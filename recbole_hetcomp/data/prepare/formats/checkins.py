"""``checkins``: no header, separated by spaces or tabs; user, place and perhaps a third column, which is ignored."""

from __future__ import annotations

from pathlib import Path

from recbole_hetcomp.data.prepare.delimited import first_line
from recbole_hetcomp.data.prepare.layout import IGNORED, Layout, data_format
from recbole_hetcomp.data.prepare.reading import read_headerless
from recbole_hetcomp.data.prepare.records import Records


@data_format(
    "checkins",
    source="the Foursquare check-ins of SAE-NAD (Foursquare_checkins.txt) come from "
    "http://spatialkeyword.sce.ntu.edu.sg/eval-vldb17/",
    options=("columns", "encoding"),
    parts=True,
)
def read_checkins(file: Path, layout: Layout) -> Records:
    """Read check-ins; a frequency or a time in the third column counts if ``columns`` says so."""
    third = (IGNORED,) if len(first_line(file, None, layout.encoding)) > 2 else ()
    return read_headerless(file, layout.columns or ("user", "item", *third), None, layout.encoding)
