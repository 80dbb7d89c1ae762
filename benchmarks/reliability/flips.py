"""One flipped byte in each kind of file that is read back: found and named, or without effect on what is read.

    python benchmarks/reliability/flips.py --flips 1000 --json FILE

Files: what an interrupted run goes on from, the best model, a store entry's manifest and tensors, a benchmark cell's
result, per-user table and lists, a benchmark's packed cells, a sweep's plan, a prepared data set's interactions. A flip
is silent if reading gives another content without an error; there may be none.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, one of them, and how it is read back; None stands for "not there, do it anew"."""

    name: str
    file: Path
    read: Callable[[], Any]


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def make_kinds(folder: Path) -> list[Kind]:
    """One file of each kind, of a run, a benchmark's cell, a sweep and a data set that are made here."""
    from safetensors.torch import save_file

    from recbole_hetcomp.comparison.archive import pack_cells, restore_cells
    from recbole_hetcomp.comparison.folder import LISTS, PER_USER, RESULT, CellFolder
    from recbole_hetcomp.files import read_json, sha256_of, write_json
    from recbole_hetcomp.recbole_bridge.checkpoint import read_checkpoint, save_atomically
    from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore

    draw = torch.Generator().manual_seed(0)
    state = {"run": "HetComp-1", "epoch": 3, "state_dict": {"weight": torch.randn(60, 8, generator=draw)}}
    best, resume = folder / "best.pth", folder / "resume.pt"
    save_atomically(state, best)
    save_atomically({**state, "history": [{"epoch": 0, "loss": 0.5}], "best_saved": 3}, resume)

    store = TrajectoryStore(folder / "store")
    lists = torch.randint(0, 100, (2, 30, 10), generator=draw, dtype=torch.int16)
    ranks = torch.randint(0, 50, (2, 200), generator=draw, dtype=torch.int16)
    entry = store.write("data", "BPR", {"a": 1}, Trajectory(lists, ranks, (0, 1), (0.1, 0.2), served=lists[0]))

    def read_entry() -> Any:
        found = store.read("data", "BPR", {"a": 1})
        return None if found is None else [found.tensors(), found.epochs, found.scores, found.info]

    cell = make_cell()
    cells = folder / "bench"
    place = CellFolder(cells, cell)
    place.path.mkdir(parents=True)
    import pandas as pd

    pd.DataFrame({"user": range(30), "recall@10": torch.rand(30, generator=draw).tolist()}).to_parquet(
        place.path / PER_USER
    )
    save_file({"lists": lists[0].contiguous()}, place.path / LISTS)
    sums = {name: sha256_of(place.path / name) for name in (PER_USER, LISTS)}
    write_json(place.path / RESULT, {"key": cell.key, "row": {"recall@10": 0.25}, "files": sums})
    packed = folder / "cells.parquet"
    pack_cells(cells, packed)

    def read_cell() -> Any:
        return place.result()

    def read_packed() -> Any:
        with tempfile.TemporaryDirectory() as target:
            restore_cells(packed, Path(target))
            return {
                str(file.relative_to(target)): file.read_bytes()
                for file in sorted(Path(target).rglob("*"))
                if file.is_file()
            }

    plan = folder / "sweep.json"
    write_json(plan, {"seed": 1, "metric": "Recall@50", "epochs": 100})
    return [
        Kind("resume.pt", resume, lambda: read_checkpoint(resume)),
        Kind("best model", best, lambda: read_checkpoint(best)),
        Kind("store: manifest", entry / "manifest.json", read_entry),
        Kind("store: lists", entry / "trajectory.safetensors", read_entry),
        Kind("benchmark: result", place.path / RESULT, read_cell),
        Kind("benchmark: per-user metrics", place.path / PER_USER, read_cell),
        Kind("benchmark: lists", place.path / LISTS, read_cell),
        Kind("benchmark: packed cells", packed, read_packed),
        Kind("sweep: plan", plan, lambda: read_json(plan)),
        prepared_kind(folder),
    ]


def make_cell() -> Any:
    """A cell of a benchmark."""
    from recbole_hetcomp.comparison.grid import Grid
    from recbole_hetcomp.comparison.plan_file import read_plan

    return next(iter(Grid(read_plan("smoke", []), data="x").ensembles()))


def prepared_kind(folder: Path) -> Kind:
    """The interactions of a prepared data set, read as RecBole reads them."""
    from recbole.config import Config
    from recbole.data import create_dataset

    from recbole_hetcomp.data.prepare import Filters, Layout, prepare
    from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden

    raw = folder / "raw.csv"
    lines = [f"u{user},i{(user * 7 + n) % 40},{1_400_000_000 + n}" for user in range(20) for n in range(12)]
    raw.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n", encoding="utf-8")
    layout = Layout("table", timestamp_column="timestamp")
    made = prepare(raw, folder / "data", "mine", layout, Filters(), split="none", seed=0)

    def read() -> Any:
        with command_line_hidden():
            dataset = create_dataset(Config("BPR", "mine", config_file_list=[str(made.folder / "mine.yaml")]))
        return dataset.inter_feat.to_dict("list") if hasattr(dataset.inter_feat, "to_dict") else dataset.inter_feat

    return Kind("prepared data", made.folder / "mine.inter", read)


def flip(kind: Kind, draw: random.Random, before: Any) -> str:
    """Flip one byte, read, and put it back: found, anew, without effect, or silent."""
    content = kind.file.read_bytes()
    altered = bytearray(content)
    altered[draw.randrange(len(altered))] ^= 1 << draw.randrange(8)
    kind.file.write_bytes(altered)
    try:
        found = kind.read()
    except Exception as error:
        return "found" if kind.file.name in str(error) or kind.file.parent.name in str(error) else f"unnamed: {error!r}"
    finally:
        kind.file.write_bytes(content)
    if found is None:
        return "anew"
    return "without effect" if same(before, found) else "silent"


def flip_all(flips: int, seed: int) -> dict[str, Counter[str]]:
    """Flips of every kind of file, as many of each; how each ended."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        kinds = make_kinds(Path(scratch))
        found = {}
        for kind in kinds:
            before = kind.read()
            found[kind.name] = Counter(flip(kind, draw, before) for _ in range(-(-flips // len(kinds))))
        return found


def main() -> int:
    """Flip, print, and write the counts; status 1 if a flip was silent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.monotonic()
    found = flip_all(options.flips, options.seed)
    for name, counts in found.items():
        print(name, dict(counts))
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"flips": options.flips, "seed": options.seed, "kinds": found}, indent=1))
    bad = {end for counts in found.values() for end in counts} - {"found", "anew", "without effect"}
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
