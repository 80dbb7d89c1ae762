"""What importing a table of rankings takes: seconds and peak memory by its number of rows.

    python benchmarks/import_rankings.py --rows 1000000 10000000 100000000

The table is made up, 100 items a user, in an order that no two neighbouring rows of a user share. Each import runs in
a process of its own, whose largest resident set is what the system says of it.
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

LENGTH = 100  # items of a list
ITEMS = 100_000
HISTORY = 20  # training items of a user
_BATCH = 1 << 20


def make_table(file: Path, rows: int) -> None:
    """Write a made-up table, its rows scattered by an affine map."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    step = next(n for n in range(int(rows * 0.618) | 1, rows * 2, 2) if np.gcd(n, rows) == 1)
    writer = None
    for start in range(0, rows, _BATCH):
        number = (np.arange(start, min(start + _BATCH, rows), dtype=np.int64) * step) % rows
        user, rank = number // LENGTH, number % LENGTH
        item = (user * 7919 + rank * 977) % ITEMS
        users, items = (pa.array(ids).cast(pa.string()) for ids in (user, item))
        batch = pa.record_batch(
            [_prefixed("u", users), _prefixed("i", items), pa.array(rank.astype(np.int32))], ["user", "item", "rank"]
        )
        if writer is None:
            csv = file.suffix == ".csv"
            writer = pyarrow.csv.CSVWriter(file, batch.schema) if csv else pq.ParquetWriter(file, batch.schema)
        writer.write_batch(batch)
    assert writer is not None
    writer.close()


def _prefixed(prefix: str, column):
    """Ids that are no numbers."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(prefix, column, "")


def import_it(file: Path, rows: int, store: Path) -> dict[str, float]:
    """Import the table in this process; what it took, and the peak of memory before it began."""
    import torch

    from recbole_hetcomp.core import Ragged
    from recbole_hetcomp.data.interactions import Interactions
    from recbole_hetcomp.data.rankings.grouping import Ids
    from recbole_hetcomp.data.rankings.reading import RankingTable
    from recbole_hetcomp.settings import HetCompSettings
    from recbole_hetcomp.teachers.importing import ImportPlan, TargetData, import_table

    users = rows // LENGTH
    owner = torch.arange(1, users + 1).repeat_interleave(HISTORY)
    taken = 1 + (owner * 31 + torch.arange(HISTORY).repeat(users) * 997) % ITEMS
    observed = Ragged.from_pairs(owner, taken, users + 1)
    data = Interactions(users + 1, ITEMS + 1, observed, observed, observed.lengths() > 0, "made-up", "made-up")
    target = TargetData(
        {"dataset": "made-up"}, HetCompSettings(store_dir=str(store)), None, None, data,
        Ids(["[PAD]", *(f"u{user}" for user in range(users))]), Ids(["[PAD]", *(f"i{item}" for item in range(ITEMS))]),
    )  # fmt: skip
    before, started, worked = _peak(), time.perf_counter(), time.process_time()
    entry, _ = import_table(target, ImportPlan("table"), RankingTable(file))
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    assert (entry.about["rows"], entry.about["users"]) == (rows, users)
    return {
        "rows": rows, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
        "peak_mib": _peak(), "before_mib": before,
    }  # fmt: skip


def _peak() -> int:
    """Largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--scratch", type=Path, help="folder with room for the table and its copies")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(import_it(given.one, given.rows[0], given.one.parent / "store")))
        return
    for rows in given.rows:
        with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
            file = Path(folder) / f"table.{given.format}"
            make_table(file, rows)
            size = file.stat().st_size >> 20
            command = [sys.executable, __file__, "--rows", str(rows), "--one", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            print(json.dumps({**json.loads(done.stdout.splitlines()[-1]), "table_mib": size}), flush=True)


if __name__ == "__main__":
    main()
