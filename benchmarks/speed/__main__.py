"""Speed and memory of the package against the direct, dense formulation of the same formulas (``direct.py``).

    python benchmarks/speed --size citeulike --json speed.json

Inputs are random, of a real data set's size: factors shared by all models give the scores, teachers add noise of their
own that shrinks from snapshot to snapshot, interactions are drawn from the same scores with skewed activity and
popularity. Both sides get the same inputs and the same threads, are timed in turn after a warm-up, and their answers
are compared in the same run. A ratio is the direct side's median time divided by the package's. Where the direct side
would take minutes, both sides work on the same random share of the users or batches, and seconds are scaled to all.

With glibc much of the direct losses' time goes into page faults of their large temporaries; ``--keep-memory`` saves it.
Run it on an idle machine: a thread that has to wait for another process's core makes small steps slow.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import consensus
import curriculum
import evaluation
import losses
import numpy as np
import pandas as pd
import recbole
import torch
from harness import Part, keep_freed_memory
from inputs import SIZES, draw_inputs, likeness
from store import store_bytes


def measure(name: str, repeats: int, seed: int) -> dict[str, Any]:
    """Run every part at one size; what is written to the JSON file."""
    generator = torch.Generator().manual_seed(seed)
    inputs = draw_inputs(SIZES[name], generator)
    parts: dict[str, Part] = {}
    for module in (evaluation, losses, consensus, curriculum):
        parts.update(module.parts(inputs, repeats, generator))
    dense, stored = store_bytes(inputs, generator)
    ratios = {key: part.ratio for key, part in parts.items()}
    for loss in ("loss_exact", "loss_sampled"):
        ratios[loss] = (ratios[f"{loss}_coarse"] + ratios[f"{loss}_fine"]) / 2
    ratios["store_bytes"] = dense / stored
    headline = ("curriculum_step", "consensus", "evaluation", "loss_exact", "loss_sampled", "store_bytes")
    return {
        "size": {"name": name, **asdict(SIZES[name]), "training_interactions": len(inputs.train.values)},
        "ratios": {key: round(ratios[key], 3) for key in headline},
        "further_ratios": {key: round(value, 3) for key, value in ratios.items() if key not in headline},
        "seconds": {
            key: {side: statistics.median(getattr(part, side)) for side in ("direct", "package")}
            for key, part in parts.items()
        },
        "all_seconds": {key: {"direct": part.direct, "package": part.package} for key, part in parts.items()},
        "bytes": {"direct": dense, "package": stored},
        "agreement": {key: part.agreement for key, part in parts.items()},
        "notes": {key: part.note for key, part in parts.items()},
        "likeness_of_inputs": likeness(inputs),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "recbole": recbole.__version__,
        },
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rows = [
        {
            "part": key,
            "direct": f"{seconds['direct']:.3f} s",
            "package": f"{seconds['package']:.3f} s",
            "ratio": f"{({**result['ratios'], **result['further_ratios']})[key]:.1f}",
            "agrees": result["agreement"][key]["agrees"],
            "note": result["notes"][key],
        }
        for key, seconds in result["seconds"].items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False)


def main() -> None:
    """Measure, print the table, write the JSON file; fails where the two sides disagree."""
    parser = argparse.ArgumentParser(
        "python benchmarks/speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="citeulike")
    parser.add_argument("--json", type=Path, help="file for the result")
    parser.add_argument("--repeats", type=int, default=1, help="timings of each part, of which the median counts")
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count() or 1,
        help="threads of torch, on both sides (default: %(default)s, all cores); numpy's loops have one anyway",
    )
    parser.add_argument("--keep-memory", action="store_true", help="spare large temporaries their page faults (glibc)")
    parser.add_argument("--seed", type=int, default=2023)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.keep_memory:
        keep_freed_memory()
    result = measure(arguments.size, arguments.repeats, arguments.seed)
    result["keep_memory"] = arguments.keep_memory
    result["command"] = " ".join(["python", *sys.argv])
    print(table(result))
    print(
        json.dumps({key: result[key] for key in ("ratios", "likeness_of_inputs", "threads", "peak_rss_mib")}, indent=2)
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    disagreeing = [key for key, agreement in result["agreement"].items() if not agreement["agrees"]]
    if disagreeing:
        raise SystemExit(f"the two sides disagree: {', '.join(disagreeing)}; see 'agreement' in the JSON file")


if __name__ == "__main__":
    main()
