"""What ``hetcomp recommend`` takes: seconds and peak memory by the number of users.

    python benchmarks/recommend.py --users 10000 100000 --of 1000000

The model is an export of random vectors, of ``--of`` users; its first ``--users`` get lists, written as Parquet. Items
are seen by a popularity that falls as in real data. Each number of users is a command of its own, loading included,
whose largest resident set is what the system says of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SEED = 1


def make_export(folder: Path, users: int, items: int, factors: int, seen: int) -> None:
    """Write made-up vectors, ids and histories as an export.

    Args:
        folder: where.
        users: U.
        items: I.
        factors: d.
        seen: items of a user, on average; between half and one and a half times that.
    """
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    from recbole_hetcomp.core import Ragged
    from recbole_hetcomp.files import sha256_of, write_json
    from recbole_hetcomp.serving import exported
    from recbole_hetcomp.serving.export import tables

    folder.mkdir()
    draw = torch.Generator().manual_seed(_SEED)
    lengths = torch.randint(seen // 2, seen * 3 // 2 + 1, (users,), generator=draw)
    owner = torch.arange(users).repeat_interleave(lengths)
    had = (torch.rand(len(owner), generator=draw) ** 3 * items).long()  # the first items are the most popular
    history = Ragged.from_pairs(owner, had, users)
    counts = torch.bincount(history.values, minlength=items).numpy()
    vectors = {
        name: torch.randn(rows, factors, generator=draw).numpy() for name, rows in (("users", users), ("items", items))
    }
    ids = [
        np.array([f"{kind}{number}" for number in range(n)], dtype=object) for kind, n in (("u", users), ("i", items))
    ]
    save_file(vectors, folder / exported.VECTORS)
    seen_items = {"offsets": history.offsets.numpy(), "items": history.values.numpy().astype(np.int32)}
    save_file(seen_items, folder / exported.SEEN_ITEMS)
    tables.write_users(folder / exported.USERS, ids[0], vectors["users"])
    tables.write_items(folder / exported.ITEMS, ids[1], vectors["items"], counts, None)
    files = {file.name: {"bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in folder.iterdir()}
    data = {"users": users, "items": items, "seen": "all"}
    write_json(folder / exported.MANIFEST, {"schema": exported.SCHEMA, "data": data, "files": files})


def recommend(folder: Path, users: int, k: int) -> dict[str, float]:
    """Run the command for some users in this process; what it took."""
    import pyarrow.parquet as pq
    import torch

    from recbole_hetcomp import cli

    asked, lists = folder / "users.txt", folder / "lists.parquet"
    asked.write_text("".join(f"u{number}\n" for number in range(users)), encoding="utf-8")
    words = [f"--checkpoint={folder / 'export'}", f"--users={asked}", f"--k={k}", f"--to={lists}"]
    started, worked = time.perf_counter(), time.process_time()
    assert cli.main(["recommend", *words]) == 0
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    assert pq.ParquetFile(lists).metadata.num_rows == users * k
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
    return {
        "users": users, "k": k, "threads": torch.get_num_threads(), "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1), "peak_mib": peak, "file_mib": lists.stat().st_size >> 20,
    }  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000], help="who get lists")
    parser.add_argument("--of", type=int, default=1_000_000, help="users that the model knows")
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--factors", type=int, default=16, help="of the model")
    parser.add_argument("--k", type=int, default=50, help="items of a list")
    parser.add_argument("--seen", type=int, default=20, help="items that a user has, on average")
    parser.add_argument("--scratch", type=Path, help="folder with room for the model and the lists")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(recommend(given.one, given.users[0], given.k)))
        return
    with tempfile.TemporaryDirectory(dir=given.scratch) as name:
        folder = Path(name)
        make_export(folder / "export", max(given.of, *given.users), given.items, given.factors, given.seen)
        for users in given.users:
            command = [sys.executable, __file__, f"--users={users}", f"--k={given.k}", f"--one={folder}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
