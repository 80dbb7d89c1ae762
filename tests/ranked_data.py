"""A data set of a dozen users with times, features and a knowledge graph, in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAME = "mine"
ITEMS = 30
USERS = 12
SETTINGS = {"K": 5, "K_D": 5, "K_prime": 10, "topk": [5], "valid_metric": "Recall@5"}
"""Of a run on it."""


def write(folder: Path, timed: bool = True) -> Path:
    """Write it below a folder: rows in no order, items that only features name, users without features."""
    place = folder / NAME
    place.mkdir(parents=True)
    draws = np.random.default_rng(5)
    rows = []
    for user in range(USERS):
        for position, item in enumerate(draws.permutation(ITEMS)[:15]):
            rows.append((f"u{user}", f"i{item}", 1000 + 10 * position))
    rows = [rows[place] for place in draws.permutation(len(rows))]
    head = "user_id:token\titem_id:token" + ("\ttimestamp:float" if timed else "")
    lines = ["\t".join(map(str, row if timed else row[:2])) for row in rows]
    (place / "mine.inter").write_text("\n".join([head, *lines]) + "\n")
    items = [f"a{n}\tred big\t0.{n}" for n in range(3)] + [f"i{n}\tred\t0.{n}" for n in range(ITEMS)]
    (place / "mine.item").write_text("item_id:token\ttags:token_seq\tprice:float\n" + "\n".join(items) + "\n")
    (place / "mine.user").write_text(
        "user_id:token\tage:token\n" + "".join(f"u{n}\t{20 + n % 3}\n" for n in range(0, USERS, 2))
    )
    graph = [f"e{n}\tmade_by\te{ITEMS + n % 4}" for n in range(ITEMS)]
    (place / "mine.kg").write_text("head_id:token\trelation_id:token\ttail_id:token\n" + "\n".join(graph) + "\n")
    links = [f"i{n}\te{n}" for n in range(ITEMS)]
    (place / "mine.link").write_text("item_id:token\tentity_id:token\n" + "\n".join(links) + "\n")
    return folder
