"""A first file of a pipeline: every key with what it means, and values with which it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from recbole_hetcomp.pipeline.file import PipelineFile

_FIRST: Mapping[str, Any] = {
    "output": "out",
    "settings": {"seed": 2020},
    "student": {"embedding_size": 16},
    "export": {},
}
_EXAMPLES: Mapping[str, Any] = {
    "prepare": {"format": "table", "input": "ratings.csv", "split": "paper", "min_user": 5},
    "config_files": ["more.yaml"],
    "extensions": ["mine.py"],
    "teachers": ["IALS", "LightGCN", "EASE"],
    "imported": {"theirs": {"table": "rankings.parquet"}},
    "parallel_teachers": True,
    "tune": {"num_samples": 16, "epochs": 100},
    "profile": {},
    "store": "store",
    "skip": ["profile"],
}
"""What stands behind a comment sign: how a key is written that the first run does not need."""


def template(file: Path, data: Path | None = None, name: str | None = None) -> str:
    """The text of a file that runs as it is.

    Args:
        file: where it will be; paths in it count from there.
        data: a table of interactions; None: ml-100k, which ships in RecBole.
        name: of the data set; None: the table's.

    Raises:
        ValueError: the name is not allowed.

    >>> print(template(Path("pipeline.yaml")).splitlines()[3])
    # Folder of all that the steps write.
    """
    values: dict[str, Any] = {
        "output": "out",
        "settings": {"seed": 2020},
        "student": {"embedding_size": 16},
        "export": {},
    }
    if data is None:
        values["dataset"] = "ml-100k"
    else:
        place = Path(os.path.relpath(data.absolute(), file.absolute().parent)).as_posix()
        values["dataset"] = name or _name_of(data)
        values["prepare"] = {"format": "table", "input": place, "split": "paper"}
        from recbole_hetcomp.data.prepare.pipeline import check_names

        check_names(values["dataset"], "paper")
    parts = [f"# The whole way in one file: hetcomp pipeline run {file.name}\n# docs/pipeline.md\n"]
    for key, declared in PipelineFile.declarations().items():
        value = values.get(key, _EXAMPLES.get(key, PipelineFile.defaults()[key]))
        sign = "" if key in values else "# "
        parts.append(f"# {declared.meaning}\n{sign}{key}: {_in_a_line(value)}\n")
    return "\n".join(parts)


def _in_a_line(value: Any) -> str:
    """
    >>> _in_a_line({"split": "paper", "min_user": 5}), _in_a_line("out")
    ('{split: paper, min_user: 5}', 'out')
    """
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _name_of(data: Path) -> str:
    """A data set's name from a file's.

    >>> _name_of(Path("my ratings.csv.gz")), _name_of(Path("ml-100k.csv"))
    ('my-ratings', 'ml-100k-table')
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", data.name.split(".")[0]).strip("-._") or "mine"
    return "ml-100k-table" if name == "ml-100k" else name
