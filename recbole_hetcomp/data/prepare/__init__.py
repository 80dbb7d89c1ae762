"""Raw files → RecBole's atomic files, with the paper's split or none, and a card that says what is in them.

=========  ==================================================
file       what
=========  ==================================================
records    interactions while they are prepared, what was dropped and why
readers    citeulike-t's users.dat, ratings CSV, check-ins, tables with named columns
delimited  text whose every line is checked
filters    threshold, duplicates, minimum counts
splits     the paper's split
card       the data card
folder     an output folder that appears whole or not at all
pipeline   :func:`prepare`, all of it
=========  ==================================================

Needs NumPy and pandas only.
"""

from __future__ import annotations

from recbole_hetcomp.data.prepare.filters import Filters
from recbole_hetcomp.data.prepare.pipeline import Prepared, prepare
from recbole_hetcomp.data.prepare.readers import Layout, read
from recbole_hetcomp.data.prepare.records import Drop, Records
from recbole_hetcomp.data.prepare.splits import TEST, TRAIN, VALID, paper_split

__all__ = [
    "TEST",
    "TRAIN",
    "VALID",
    "Drop",
    "Filters",
    "Layout",
    "Prepared",
    "Records",
    "paper_split",
    "prepare",
    "read",
]
