"""Seconds of teachers and of a student on an idle and on a busy machine: the package's choice of threads, torch's own,
and one thread.

    python benchmarks/speed/threads.py --size ml-100k --busy 0 4 --json threads.json

Each side is the command ``hetcomp run`` on made-up data of a real data set's size, in turn; they differ in the
environment. Seconds are those of the run's table, a teacher's with its validations. Busy processes compute without end.
``of its share``: how many times slower the package gets than its share of the processors explains, which is
(busy + 1) / processors for a process that uses one. What else the machine does counts too; its load is in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd
from inputs import SIZES

from recbole_hetcomp.data.synthetic import synthetic_interactions, synthetic_world, write_atomic
from recbole_hetcomp.threads import NUMBER, WAITING, processors

ROOT = Path(__file__).resolve().parents[2]
SIDES = {
    "package": {},
    "torch": {NUMBER: str(processors().allowed), "GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"},  # their defaults
    "one": {NUMBER: "1"},
}
"""What a side has in its environment."""
NAME = "made-up"


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Other processes that compute, while the context lasts."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def one_run(data: Path, side: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of each model of one run, and of the processors over the whole of it."""
    size = SIZES[arguments.size]
    environment = {name: value for name, value in os.environ.items() if name not in (NUMBER, *WAITING)}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **SIDES[side]}
    with tempfile.TemporaryDirectory() as folder:
        few = {"epochs": arguments.teacher_epochs, "eval_step": arguments.teacher_epochs}
        settings = {
            "data_path": data,
            "teachers": json.dumps(arguments.teachers),
            "teacher_config": json.dumps({name: few for name in arguments.teachers}),
            "epochs": arguments.epochs,
            "eval_step": arguments.epochs,
            "embedding_size": size.dimension,
            "compare_no_kd": False,
            "show_progress": False,
            "use_gpu": False,
            "result_dir": f"{folder}/results",
        }
        command = [sys.executable, "-m", "recbole_hetcomp.cli", "run", "--model=HetComp", f"--dataset={NAME}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*command, *(f"--{name}={value}" for name, value in settings.items())],
            cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows = json.loads((Path(folder) / "results" / "results.json").read_text(encoding="utf-8"))["rows"]
    found = {row["name"]: row["seconds"] for row in rows if row["role"] != "ensemble"}
    return {**found, "CPU seconds of all": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime}


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of busy processes, every repeat, every side in turn; a row a part."""
    size, rows = SIZES[arguments.size], []
    with tempfile.TemporaryDirectory() as folder:
        world = synthetic_world(size.users, size.items, seed=1)
        write_atomic(Path(folder), NAME, synthetic_interactions(world, size.interactions))
        for number in arguments.busy:
            runs: dict[str, list[dict[str, float]]] = {side: [] for side in arguments.sides}
            loads = []
            with busy(number):
                for _ in range(arguments.repeats):
                    for side in arguments.sides:
                        runs[side].append(one_run(Path(folder), side, arguments))
                        loads.append(os.getloadavg()[0])
            for part in runs[arguments.sides[0]][0]:
                median = {side: statistics.median(run[part] for run in runs[side]) for side in arguments.sides}
                rows.append({"busy": number, "load": round(statistics.mean(loads), 1), "part": part, **median})
    return rows


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows with their ratios."""
    found = pd.DataFrame(rows)
    for other in ("torch", "one"):
        if other in found:
            found[f"{other} / package"] = found[other] / found["package"]
    idle = found[found["busy"] == 0].set_index("part")["package"]
    share = ((found["busy"] + 1) / processors().allowed).clip(lower=1)
    found["of its share"] = found["package"] / found["part"].map(idle) / share
    return found.round(2)


def main() -> None:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(
        "python benchmarks/speed/threads.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="ml-100k")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 4], help="numbers of other processes that compute")
    parser.add_argument("--epochs", type=int, default=20, help="of the student")
    parser.add_argument("--teachers", nargs="+", default=["BPR", "LightGCN", "MultiVAE"])
    parser.add_argument("--teacher_epochs", type=int, default=2)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="package must be among them")
    parser.add_argument("--repeats", type=int, default=1, help="runs of a side, of which the median counts")
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    if "package" not in arguments.sides:
        parser.error(f"--sides {' '.join(arguments.sides)}: package must be among them")
    found = table(measure(arguments))
    print(found.to_markdown(index=False))
    if arguments.json:
        arguments.json.write_text(json.dumps(found.to_dict("records"), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
