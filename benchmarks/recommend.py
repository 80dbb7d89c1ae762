"""What recommending in batches takes: seconds and peak memory by the number of users.

    python benchmarks/recommend.py --users 10000 100000 --of 1000000

The model is RecBole's BPR with random vectors, of ``--of`` users; its first ``--users`` get lists, written as Parquet.
Items are seen, and preferred, by a popularity that falls as in real data. Each number of users runs in a process of its
own, whose largest resident set is what the system says of it: until the model is there, and from then on (Linux; of
both elsewhere).
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
from types import SimpleNamespace
from typing import Any

_SEED = 1


def recommender(users: int, items: int, factors: int, seen: int) -> Any:
    """A recommender of made-up vectors, ids and histories.

    Args:
        users: U.
        items: I.
        factors: d.
        seen: items of a user, on average; between half and twice that.
    """
    import torch
    from recbole.model.general_recommender import BPR

    from recbole_hetcomp.core import Ragged
    from recbole_hetcomp.recbole_bridge.config import memory_for_scores
    from recbole_hetcomp.recbole_bridge.quick_start import build_config
    from recbole_hetcomp.serving.recommender import Recommender
    from recbole_hetcomp.teachers.imported_ranking import candidate_scores

    draw = torch.Generator().manual_seed(_SEED)
    config = build_config("BPR", "ml-100k", settings={"embedding_size": factors})
    counted = {config["USER_ID_FIELD"]: users + 1, config["ITEM_ID_FIELD"]: items + 1}
    torch.manual_seed(_SEED)
    model = BPR(config, SimpleNamespace(num=counted.__getitem__)).eval()
    lengths = torch.randint(seen // 2, seen * 3 // 2 + 1, (users,), generator=draw)
    owner = torch.arange(1, users + 1).repeat_interleave(lengths)
    had = 1 + (torch.rand(len(owner), generator=draw) ** 3 * items).long()  # the first items are the most popular
    history = Ragged.from_pairs(owner, had, users + 1)
    counts = torch.bincount(history.values, minlength=items + 1)
    names = [["[PAD]", *(f"{kind}{number}" for number in range(1, n + 1))] for kind, n in (("u", users), ("i", items))]
    return Recommender(candidate_scores(model, items + 1), *names, history, counts, memory_for_scores(config))


def recommend(users: int, given: argparse.Namespace) -> dict[str, float]:
    """Write the lists of some users in this process; what it took."""
    import torch

    from recbole_hetcomp.serving.writing import write_recommendations

    made = recommender(max(users, given.of), given.items, given.factors, given.seen)
    asked = (f"u{number}" for number in range(1, users + 1))
    before = _peak()
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5", encoding="utf-8")  # the peak begins anew
    started, worked = time.perf_counter(), time.process_time()
    rows, _ = write_recommendations(given.one, made.batches(asked, given.k))
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    assert rows == users * given.k
    return {
        "users": users, "of": max(users, given.of), "items": given.items, "factors": given.factors, "k": given.k,
        "threads": torch.get_num_threads(), "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
        "ms_a_user": round(1000 * seconds / users, 3), "loading_peak_mib": before, "peak_mib": _peak(),
        "file_mib": given.one.stat().st_size >> 20,
    }  # fmt: skip


def _peak() -> int:
    """Largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000], help="who get lists")
    parser.add_argument("--of", type=int, default=1_000_000, help="users that the model knows")
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--factors", type=int, default=16, help="of the model")
    parser.add_argument("--k", type=int, default=50, help="items of a list")
    parser.add_argument("--seen", type=int, default=20, help="items that a user has, on average")
    parser.add_argument("--scratch", type=Path, help="folder with room for the lists")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(recommend(given.users[0], given)))
        return
    same = [f"--{name}={getattr(given, name)}" for name in ("of", "items", "factors", "k", "seen")]
    for users in given.users:
        with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
            command = [sys.executable, __file__, f"--users={users}", *same, f"--one={folder}/lists.parquet"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
