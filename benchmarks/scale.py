"""Time, memory and disk of HetComp's own steps as users and items grow, on synthetic data.

    python benchmarks/scale.py --sizes 10000x20000 10000x200000 100000x200000 1000000x200000 --json scale.json

For each size (users x items), a process of its own writes made-up teachers' trajectories to a store, and another one
measures what a distillation does with them: a curriculum step for every user, the taught lists of every user, the
student's own top lists, and an epoch of distillation. The student is a table of factors, nothing is trained to be
good, and no RecBole is involved, so that only this package's own work is timed.

The student's own top lists cost users x items products whatever the method: they are timed on ``--scored-users`` users
and given for 1,000 users. Everything else is timed on all users.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import embedding

from recbole_hetcomp.core import (
    PAD,
    CurriculumState,
    Ragged,
    advance,
    draw_items,
    fused_listwise_loss,
    taught_observed,
    taught_unobserved,
    top_k,
)
from recbole_hetcomp.data.synthetic import SyntheticWorld, synthetic_interactions, synthetic_trajectory, synthetic_world
from recbole_hetcomp.trajectories import MappedTensors, TrajectoryStore

MIB = 2**20
CHUNK_USERS = 2**16  # whose taught lists are built in one call
SCORED_AT_ONCE = 64  # users whose scores of all items are held at once
WEIGHTS = (0.01, 0.005)  # of coarse and fine loss


@dataclass(frozen=True)
class Size:
    """One size of data, teachers and lists.

    Attributes:
        users: U.
        items: I.
        interactions: number of observed items of a user, on average.
        teachers: M.
        snapshots: E.
        length: K', and K.
        K_D: length of the lists that are compared.
        factors: d of the student.
        draws: S, items drawn for a batch's rest term.
        batch: users of a batch.
        scored_users: users whose own top lists are timed.
    """

    users: int
    items: int
    interactions: int
    teachers: int
    snapshots: int
    length: int
    K_D: int
    factors: int
    draws: int
    batch: int
    scored_users: int

    @property
    def name(self) -> str:
        """Name of the data in the store."""
        return f"synthetic-{self.users}x{self.items}x{self.interactions}"

    def teacher(self, m: int) -> tuple[str, str, dict[str, Any]]:
        """What identifies teacher m in the store."""
        return self.name, f"teacher-{m}", {"snapshots": self.snapshots, "length": self.length}

    def world(self) -> SyntheticWorld:
        """Clusters and popularity."""
        return synthetic_world(self.users, self.items, seed=1)


def memory() -> dict[str, float]:
    """Memory of this process now and its peak since `forget_peak`, MiB."""
    lines = (line.split() for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    fields = {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines if line and line[0].startswith(("Vm", "Rss"))}
    names = {"peak_rss_mib": "VmHWM", "rss_mib": "VmRSS", "anonymous_mib": "RssAnon", "mapped_mib": "RssFile"}
    return {name: round(fields[field], 1) for name, field in names.items()}


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


@contextmanager
def step(steps: dict[str, dict[str, float]], name: str) -> Iterator[dict[str, float]]:
    """Time a step and take its peak memory; the body may add numbers of its own."""
    forget_peak()
    numbers: dict[str, float] = {}
    started, busy = time.perf_counter(), time.process_time()
    yield numbers
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    steps[name] = {"seconds": round(seconds, 3), "cpu_seconds": round(busy, 3), **memory(), **numbers}
    print(f"  {name}: {steps[name]}", flush=True)


def write(size: Size, root: Path) -> dict[str, dict[str, float]]:
    """Make data and teachers that are not in the store yet; what each took."""
    steps: dict[str, dict[str, float]] = {}
    store, world, file = TrajectoryStore(root), size.world(), root / f"{size.name}.safetensors"
    if not file.exists():
        with step(steps, "interactions"):
            pairs = torch.from_numpy(synthetic_interactions(world, size.users * size.interactions))
            observed = Ragged.from_pairs(pairs[:, 0], pairs[:, 1], size.users)
            root.mkdir(parents=True, exist_ok=True)
            save_file({"offsets": observed.offsets, "values": observed.values.int()}, str(file))
            del pairs, observed
    observed = Ragged(**load_file(file))
    for m in range(size.teachers):
        entry = size.teacher(m)
        if store.path(*entry).exists():
            continue
        with step(steps, f"teacher {m}: lists"):
            trajectory = synthetic_trajectory(world, observed, m, size.snapshots, size.length)
        with step(steps, f"teacher {m}: store"):
            store.write(*entry, trajectory)
        del trajectory
    return steps


class Student:
    """Factors of users and items, and Adam over them."""

    def __init__(self, size: Size) -> None:
        generator = torch.Generator().manual_seed(2)
        self.users = torch.nn.Parameter(0.1 * torch.randn(size.users, size.factors, generator=generator))
        self.items = torch.nn.Parameter(0.1 * torch.randn(size.items, size.factors, generator=generator))
        self.optimizer = torch.optim.Adam([self.users, self.items], lr=1e-3)


def measure(size: Size, root: Path) -> dict[str, dict[str, float]]:
    """What each step of a distillation takes."""
    steps: dict[str, dict[str, float]] = {}
    store = TrajectoryStore(root)
    steps["imports"] = memory()
    with step(steps, "open the store, verified") as numbers:
        teachers = [store.open(store.path(*size.teacher(m))) for m in range(size.teachers)]
        observed = Ragged(**load_file(root / f"{size.name}.safetensors"))
        numbers["store_bytes"] = sum(teacher.file.stat().st_size for teacher in teachers if teacher.file)
    lists, ranks = MappedTensors(teachers, "unobserved"), MappedTensors(teachers, "observed_ranks")
    state = _curriculum(size, lists, steps)
    taught = taught_lists(size, observed, lists, ranks, state, steps)
    with torch.no_grad():
        student = Student(size)
        _own_lists(size, observed, student, steps)
    _epoch(size, observed, taught, student, state.finished, steps)
    return steps


def _curriculum(size: Size, lists: MappedTensors, steps: dict[str, dict[str, float]]) -> CurriculumState:
    """Two curriculum steps, the first of which only measures; the student's lists lie between two snapshots."""
    first, second = (lists[0][e, :, : size.K_D].clone() for e in (0, min(1, size.snapshots - 1)))
    state = CurriculumState.start(size.users, [size.snapshots] * size.teachers)
    with step(steps, "curriculum step 0, all users"):
        state, _ = advance(state, first, lists)
    with step(steps, "curriculum step 1, all users") as numbers:
        state, report = advance(state, second, lists)
        numbers["moved_share"] = round(float(report.advanced.float().mean()), 4)
    return state


def taught_lists(
    size: Size,
    observed: Ragged,
    lists: MappedTensors,
    ranks: MappedTensors,
    state: CurriculumState,
    steps: dict[str, dict[str, float]],
) -> tuple[Tensor, Tensor]:
    """The taught lists of every user, int32 [U, K/10] and [U, K]."""
    short = max(1, size.length // 10)
    below = torch.full((size.users, size.length), PAD, dtype=torch.int32)
    above = torch.full((size.users, short), PAD, dtype=torch.int32)
    with step(steps, "taught lists, all users"):
        for users in torch.arange(size.users).split(CHUNK_USERS):
            below[users] = taught_unobserved(lists, state.v[users], users, size.length)[0].int()
            above[users] = taught_observed(observed, ranks, state.v[users], users, short).int()
    return above, below


def _own_lists(size: Size, observed: Ragged, student: Student, steps: dict[str, dict[str, float]]) -> None:
    """The student's own top lists over the catalogue, of some users."""
    n_users = min(size.scored_users, size.users)
    with step(steps, "own top lists, some users") as numbers:
        started = time.perf_counter()
        for users in torch.arange(n_users).split(SCORED_AT_ONCE):
            scores = student.users[users] @ student.items.T  # [B, I]
            history = observed.padded(users).long()
            hidden = torch.zeros(len(users), size.items + 1, dtype=torch.bool)
            hidden.scatter_(1, history.masked_fill(history == PAD, size.items), True)
            top_k(scores, size.K_D, hidden[:, : size.items])
        numbers["users"] = n_users
        numbers["seconds_per_1000_users"] = round(1000 * (time.perf_counter() - started) / n_users, 3)


def _epoch(
    size: Size,
    observed: Ragged,
    taught: tuple[Tensor, Tensor],
    student: Student,
    fine: Tensor,
    steps: dict[str, dict[str, float]],
) -> None:
    """One epoch of distillation, each user once, the rest term from items drawn for each batch."""
    generator = torch.Generator().manual_seed(3)
    with step(steps, "distillation epoch, all users") as numbers:
        optimizer_seconds, total = 0.0, 0.0
        for users in torch.randperm(size.users, generator=generator).split(size.batch):
            student.optimizer.zero_grad()
            above, below = (lists[users].long() for lists in taught)
            history = observed.padded(users).long()
            rest_size = size.items - (history != PAD).sum(dim=1) - (below != PAD).sum(dim=1)
            loss = fused_listwise_loss(
                embedding(users, student.users),
                student.items,
                above,
                below,
                history,
                fine[users],
                *WEIGHTS,
                sample=(draw_items(size.items, size.draws, generator), rest_size),
            )
            loss.backward()
            started = time.perf_counter()
            student.optimizer.step()
            optimizer_seconds += time.perf_counter() - started
            total += float(loss.detach())
        numbers["optimizer_seconds"] = round(optimizer_seconds, 3)
        numbers["loss_per_user"] = round(total / size.users, 6)
    if not np.isfinite(total):
        raise RuntimeError(f"the epoch's loss is {total}")


def alone(task: Callable[[Size, Path], dict[str, dict[str, float]]], size: Size, root: Path) -> dict[str, Any]:
    """Do a task in a process of its own; its steps, seconds and peak memory."""
    started = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        steps = pool.submit(task, size, root).result()
    peak = max((numbers["peak_rss_mib"] for numbers in steps.values()), default=None)
    return {"seconds": round(time.perf_counter() - started, 3), "peak_rss_mib": peak, "steps": steps}


def environment() -> dict[str, Any]:
    """Versions, processor and command."""
    return {
        "command": [Path(sys.executable).name, *sys.argv],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def table(runs: list[dict[str, Any]]) -> str:
    """The runs as Markdown, a row a size."""
    return pd.DataFrame([_row(run) for run in runs]).to_markdown(index=False, floatfmt=".4g")


def _row(run: dict[str, Any]) -> dict[str, Any]:
    size, steps = run["size"], run["measure"]["steps"]
    return {
        "users": size["users"],
        "items": size["items"],
        "store, GB": steps["open the store, verified"]["store_bytes"] / 1e9,
        "bytes a user": steps["open the store, verified"]["store_bytes"] / size["users"],
        "curriculum step, s": steps["curriculum step 1, all users"]["seconds"],
        "taught lists, s": steps["taught lists, all users"]["seconds"],
        "own lists, s per 1,000 users": steps["own top lists, some users"]["seconds_per_1000_users"],
        "epoch, s": steps["distillation epoch, all users"]["seconds"],
        "of it Adam, s": steps["distillation epoch, all users"]["optimizer_seconds"],
        "peak RSS, MiB": run["measure"]["peak_rss_mib"],
        "writer's peak RSS, MiB": run["write"]["peak_rss_mib"],
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["10000x20000", "100000x200000"], help="users x items")
    parser.add_argument("--json", type=Path, help="where all numbers go")
    parser.add_argument("--store", type=Path, help="keep the teachers here, and use those that are here already")
    parser.add_argument("--interactions", type=int, default=20, help="observed items of a user, on average")
    parser.add_argument("--teachers", type=int, default=6)
    parser.add_argument("--snapshots", type=int, default=4)
    parser.add_argument("--length", type=int, default=100, help="of the teachers' lists and of the taught ones")
    parser.add_argument("--K-D", type=int, default=50, help="length of the lists that are compared")
    parser.add_argument("--factors", type=int, default=8, help="of the student")
    parser.add_argument("--draws", type=int, default=1024, help="items drawn for a batch's rest term")
    parser.add_argument("--batch", type=int, default=1024, help="users of a batch")
    parser.add_argument("--scored-users", type=int, default=2000, help="users whose own top lists are timed")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure every size, print the table and write the numbers."""
    options = vars(parse(arguments))
    sizes, file, store = options.pop("sizes"), options.pop("json"), options.pop("store")
    root = store or Path(tempfile.mkdtemp(prefix="scale-"))
    runs: list[dict[str, Any]] = []
    try:
        for text in sizes:
            users, items = (int(number) for number in text.split("x"))
            size = Size(users, items, **options)
            print(f"{users:,} users x {items:,} items", flush=True)
            run = {"size": asdict(size), "write": alone(write, size, root), "measure": alone(measure, size, root)}
            runs.append(run)
            if file:
                file.write_text(json.dumps({"environment": environment(), "runs": runs}, indent=2), encoding="utf-8")
    finally:
        if store is None:
            shutil.rmtree(root, ignore_errors=True)
    print(table(runs))
    return runs


if __name__ == "__main__":
    main()
