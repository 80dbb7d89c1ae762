"""One small pipeline from a CSV to its report, run once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml


@dataclass(frozen=True)
class Ran:
    """A pipeline that was run.

    Attributes:
        folder: where its file is.
        keys: what the file says.
    """

    folder: Path
    keys: dict[str, Any]

    @property
    def file(self) -> Path:
        return self.folder / "pipeline.yaml"

    def write(self, **more: Any) -> None:
        """Write the file, with other values for some keys."""
        self.file.write_text(yaml.safe_dump({**self.keys, **more}), encoding="utf-8")


def ratings_csv(file: Path) -> None:
    """ml-100k's interactions as the CSV that somebody may have."""
    import recbole

    atomic = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    frame = pd.read_csv(atomic, sep="\t")
    frame.columns = ["userId", "movieId", "rating", "timestamp"]
    frame.to_csv(file, index=False)


@pytest.fixture(scope="session")
def small_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Ran]:
    """``small_pipeline()``: a new folder with a CSV and a pipeline of seconds, not run."""

    def make() -> Ran:
        folder = tmp_path_factory.mktemp("pipeline")
        ratings_csv(folder / "ratings.csv")
        keys = {
            "output": "out",
            "dataset": "movies",
            "prepare": {"format": "table", "input": "ratings.csv", "threshold": 4, "k_core": True, "min_item": 5},
            "settings": {"seed": 1, "no_kd_config": {"epochs": 2}},
            "teachers": ["EASE", "ItemKNN"],
            "student": {"embedding_size": 8, "epochs": 4, "eval_step": 2},
            "profile": {"users": 20, "repeats": 1},
        }
        made = Ran(folder, keys)
        made.write()
        return made

    return make


@pytest.fixture(scope="session")
def ran(small_pipeline: Callable[[], Ran]) -> Ran:
    """The small pipeline, run to its end."""
    from recbole_hetcomp.cli import main

    made = small_pipeline()
    assert main(["pipeline", "run", str(made.file)]) == 0
    return made
