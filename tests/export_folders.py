"""Export folders made by hand, as the contract has them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from recbole_hetcomp.files import sha256_of, write_json
from recbole_hetcomp.serving.exported import ENSEMBLE, ITEMS, MANIFEST, SCHEMA, SEEN_ITEMS, USERS, VECTORS


def write_export(
    folder: Path,
    user_ids: list[str],
    item_ids: list[str],
    users: Any,
    items: Any,
    seen: list[list[int]],
    counts: list[int],
    titles: list[str | None] | None = None,
    ensemble: Any = None,
    created: str | None = None,
) -> Path:
    """A whole export.

    Args:
        folder: is made.
        user_ids, item_ids: external ids.
        users, items: vectors.
        seen: rows of each user's items, ascending.
        counts: training interactions of each item.
        titles: names of the items.
        ensemble: lists of rows, -1 behind the last.
        created: time in ISO's form; now if None.
    """
    folder.mkdir(parents=True)
    save_file({"users": np.array(users, np.float32), "items": np.array(items, np.float32)}, folder / VECTORS)
    offsets = np.cumsum([0, *map(len, seen)], dtype=np.int64)
    flat = np.array([row for rows in seen for row in rows], dtype=np.int32)
    save_file({"offsets": offsets, "items": flat}, folder / SEEN_ITEMS)
    pq.write_table(pa.table({"user": pa.array(user_ids, pa.string())}), folder / USERS)
    columns = {"item": pa.array(item_ids, pa.string()), "interactions": pa.array(counts, pa.int64())}
    if titles is not None:
        columns["title"] = pa.array(titles, pa.string())
    pq.write_table(pa.table(columns), folder / ITEMS)
    if ensemble is not None:
        save_file({"lists": np.array(ensemble, np.int32)}, folder / ENSEMBLE)
    files = {file.name: {"sha256": sha256_of(file), "bytes": file.stat().st_size} for file in folder.iterdir()}
    made = created or datetime.now(timezone.utc).isoformat()
    about = {"users": len(user_ids), "items": len(item_ids)}
    write_json(
        folder / MANIFEST,
        {"schema": SCHEMA, "created": made, "model": {"name": "HetComp"}, "data": about, "files": files},
    )
    return folder


def small_export(folder: Path, **more: Any) -> Path:
    """Three users and four items; ann has y, bob has x and w, 7 has nothing.

    Scores: ann x 1, y 3, z 2, w 3; bob x 4, y 3, z 2, w 1; 7 all 0.
    """
    given: dict[str, Any] = {
        "user_ids": ["ann", "bob", "7"],
        "item_ids": ["x", "y", "z", "w"],
        "users": [[1, 0], [0, 1], [0, 0]],
        "items": [[1, 4], [3, 3], [2, 2], [3, 1]],
        "seen": [[1], [0, 3], []],
        "counts": [1, 5, 5, 2],
        "titles": ["Ex", "Why", "<b>Zed</b>", None],
        "ensemble": [[2, 0, -1], [1, 2, -1], [3, 1, 0]],
        **more,
    }
    return write_export(folder, **given)


def random_export(
    folder: Path, n_users: int = 60, n_items: int = 200, dimensions: int = 6, seed: int = 0, titled: bool = True
) -> Path:
    """An export of any size; every fifth title is long."""
    draw = np.random.default_rng(seed)
    seen = [np.sort(draw.choice(n_items, draw.integers(0, min(n_items, 30)), replace=False)) for _ in range(n_users)]
    users, items = (draw.standard_normal((n, dimensions)) for n in (n_users, n_items))
    titles = [f"The Title of {row}" + " with many words" * (5 * (row % 5 == 0)) for row in range(n_items)]
    scores = (users + 0.3 * draw.standard_normal(users.shape)) @ items.T
    for row, rows in enumerate(seen):
        scores[row, rows] = -np.inf
    return write_export(
        folder, [f"u{row}" for row in range(n_users)], [f"i{row}" for row in range(n_items)], users, items,
        [rows.tolist() for rows in seen], draw.integers(0, 500, n_items).tolist(), titles if titled else None,
        np.argsort(-scores, kind="stable")[:, :50],
    )  # fmt: skip
