"""Raw files → RecBole's atomic files, with the paper's split or none, and a card that says what is in them.

=========  ==================================================
file       what
=========  ==================================================
records    interactions while they are prepared, what was dropped and why
layout     what a raw file is: its format, and the registry of formats
formats    one file a format
reading    :func:`read`, and what formats share
delimited  text whose every line is checked
filters    threshold, duplicates, minimum counts
splits     the paper's split, and those by time
card       the data card
folder     an output folder that appears whole or not at all
pipeline   :func:`prepare`, all of it
=========  ==================================================

A format of one's own is a function under :func:`data_format`, in a module that is imported before the data is prepared.

Needs NumPy and pandas only.
"""

from __future__ import annotations

import recbole_hetcomp.data.prepare.formats  # noqa: F401 (registers them)
from recbole_hetcomp.data.prepare.delimited import read_text
from recbole_hetcomp.data.prepare.filters import Filters
from recbole_hetcomp.data.prepare.layout import DataFormat, Layout, data_format, format_names
from recbole_hetcomp.data.prepare.pipeline import Prepared, prepare
from recbole_hetcomp.data.prepare.reading import read, read_headerless, records_from_frame
from recbole_hetcomp.data.prepare.records import Drop, Records
from recbole_hetcomp.data.prepare.splits import TEST, TRAIN, VALID, paper_split

__all__ = [
    "TEST",
    "TRAIN",
    "VALID",
    "DataFormat",
    "Drop",
    "Filters",
    "Layout",
    "Prepared",
    "Records",
    "data_format",
    "format_names",
    "paper_split",
    "prepare",
    "read",
    "read_headerless",
    "read_text",
    "records_from_frame",
]
