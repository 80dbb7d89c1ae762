"""Seconds of a teacher's training epoch as torch has it, and as the package has it (``recbole_bridge/large_steps.py``).

    python benchmarks/speed/steps.py --size citeulike --json steps.json

Made-up data of a real data set's size. Each side trains the same teacher anew, in turn; epochs alone are timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
import torch
from inputs import SIZES

import recbole_hetcomp
from recbole_hetcomp.data.synthetic import synthetic_interactions, synthetic_world, write_atomic
from recbole_hetcomp.recbole_bridge import large_steps
from recbole_hetcomp.recbole_bridge.training_rules import FollowsRules

CHOICES = {"dropout": "LARGE_ROWS", "graph": "LARGE_GRAPH", "step": "LARGE_MODEL"}
SIDES = {"torch": (), **{name: (name,) for name in CHOICES}, "package": tuple(CHOICES)}
"""What a side computes in the package's way."""
NAME = "made-up"


@contextmanager
def timed_epochs(side: str) -> Iterator[list[float]]:
    """Seconds of each training epoch while a side's choices hold."""
    seconds: list[float] = []
    inner = FollowsRules._train_epoch

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        loss = inner(*args, **kwargs)
        seconds.append(time.perf_counter() - started)
        return loss

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(FollowsRules, "_train_epoch", timed))
        for choice in set(CHOICES) - set(SIDES[side]):
            patches.enter_context(mock.patch.object(large_steps, CHOICES[choice], 2**63))
        yield seconds


def epoch_seconds(folder: Path, teacher: str, side: str, epochs: int) -> float:
    """Median seconds of a teacher's training epochs."""
    few = {"epochs": epochs, "eval_step": epochs}
    with tempfile.TemporaryDirectory() as store, timed_epochs(side) as seconds:
        recbole_hetcomp.run(
            "TeacherEnsemble",
            NAME,
            config_dict={
                "data_path": str(folder), "teachers": [teacher], "teacher_config": {teacher: few}, "store_dir": store,
                "show_progress": False, "use_gpu": False, "checkpoint_dir": store,
            },
        )  # fmt: skip
    return statistics.median(seconds)


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """A row a teacher: each side's median, and how many times faster the package is."""
    size, rows = SIZES[arguments.size], []
    with tempfile.TemporaryDirectory() as folder:
        world = synthetic_world(size.users, size.items, seed=1)
        write_atomic(Path(folder), NAME, synthetic_interactions(world, size.interactions))
        for teacher in arguments.teachers:
            found: dict[str, list[float]] = {side: [] for side in SIDES}
            for _ in range(arguments.repeats):
                for side in SIDES:
                    found[side].append(epoch_seconds(Path(folder), teacher, side, arguments.epochs))
            median = {side: statistics.median(values) for side, values in found.items()}
            rows.append({"teacher": teacher, **median, "torch / package": median["torch"] / median["package"]})
    return pd.DataFrame(rows).round(3)


def main() -> None:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(
        "python benchmarks/speed/steps.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="citeulike")
    parser.add_argument("--teachers", nargs="+", default=["MultiVAE", "ItemVAE", "LightGCN", "CML"])
    parser.add_argument("--epochs", type=int, default=2, help="of each training")
    parser.add_argument("--repeats", type=int, default=1, help="trainings of a side, of which the median counts")
    parser.add_argument("--threads", type=int, help="of torch, at most")
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    found = measure(arguments)
    print(found.to_markdown(index=False))
    if arguments.json:
        arguments.json.write_text(json.dumps(found.to_dict("records"), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
