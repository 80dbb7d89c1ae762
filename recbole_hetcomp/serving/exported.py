"""An export folder, read back and verified: what serves a student without RecBole, torch or the data set.

The folder is an interface (docs/export.md); its version is :data:`SCHEMA`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recbole_hetcomp.extras import require
from recbole_hetcomp.files import DamagedFileError, read_json, sha256_of

SCHEMA = 1
MANIFEST = "manifest.json"
VECTORS, SEEN_ITEMS, ENSEMBLE = "vectors.safetensors", "seen.safetensors", "ensemble.safetensors"
USERS, ITEMS = "users.parquet", "items.parquet"
ONNX, CARD = "recommend.onnx", "README.md"


@dataclass(frozen=True)
class Exported:
    """A student as it was exported. U users and I items, row by row, without RecBole's padding.

    Attributes:
        folder: where it is.
        manifest: what it says of itself.
        user_ids: external ids, object [U].
        item_ids: external ids, object [I].
        users: vectors, float32 [U, d].
        items: vectors, float32 [I, d]; a score is ``users @ items.T``.
        seen_offsets: rows of ``seen_items``, int64 [U + 1].
        seen_items: rows of the items that each user has, ascending, int32 [nnz].
        counts: training interactions of each item, int64 [I].
        titles: names of the items, object [I], or None.
        ensemble: rows of the items that the ensemble recommends, best first, -1 behind the last, int32 [U, L], or None.
    """

    folder: Path
    manifest: dict[str, Any]
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    users: NDArray[np.float32]
    items: NDArray[np.float32]
    seen_offsets: NDArray[np.int64]
    seen_items: NDArray[np.int32]
    counts: NDArray[np.int64]
    titles: NDArray[np.object_] | None
    ensemble: NDArray[np.int32] | None


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an export says of itself, every file of it there and as it was written.

    Raises:
        FileNotFoundError: there is no such folder.
        DamagedFileError: it is no export, of another version of the schema, or a file is missing or altered.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist")
    if not (folder / MANIFEST).is_file():
        raise DamagedFileError(f"{folder} is no export, or only a part of one: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise DamagedFileError(f"{folder} has schema {manifest.get('schema')!r}; this version reads {SCHEMA}")
    files = manifest.get("files")
    needed = {VECTORS, SEEN_ITEMS, USERS, ITEMS}
    if not isinstance(files, dict) or not needed <= set(files):
        raise DamagedFileError(f"{folder / MANIFEST} does not name {', '.join(sorted(needed - set(files or ())))}")
    for name, told in files.items():
        file = folder / name
        if not file.is_file():
            raise DamagedFileError(f"{file} is missing: the export is not whole")
        if file.stat().st_size != told["bytes"] or sha256_of(file) != told["sha256"]:
            raise DamagedFileError(f"{file} is not as it was exported: its checksum differs from the manifest's")
    return manifest


def read(folder: str | Path) -> Exported:
    """Read an export.

    Raises:
        FileNotFoundError: there is no such folder.
        DamagedFileError: as :func:`read_manifest`, or its parts do not fit each other.
        MissingPackageError: pyarrow is not installed.
    """
    require("An export", "pyarrow")
    from safetensors.numpy import load_file

    folder = Path(folder)
    manifest = read_manifest(folder)
    vectors, seen = load_file(folder / VECTORS), load_file(folder / SEEN_ITEMS)
    users, items = _columns(folder / USERS, ["user"]), _columns(folder / ITEMS, ["item", "interactions", "title"])
    listed = load_file(folder / ENSEMBLE)["lists"] if ENSEMBLE in manifest["files"] else None
    found = Exported(
        folder, manifest, users["user"], items["item"], vectors["users"], vectors["items"], seen["offsets"],
        seen["items"], items["interactions"].astype(np.int64), items.get("title"), listed,
    )  # fmt: skip
    _check_shapes(found)
    return found


def _columns(file: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    import pyarrow.parquet as pq

    present = [name for name in names if name in pq.read_schema(file).names]
    table = pq.read_table(file, columns=present)
    return {name: np.array(table[name].to_pylist(), dtype=object) for name in present}


def _check_shapes(found: Exported) -> None:
    n_users, n_items = len(found.user_ids), len(found.item_ids)
    told = found.manifest["data"]
    fits = (
        found.users.ndim == found.items.ndim == 2
        and found.users.shape == (n_users, found.items.shape[1])
        and found.items.shape[0] == n_items == len(found.counts) == told["items"]
        and n_users == told["users"]
        and found.seen_offsets.shape == (n_users + 1,)
        and found.seen_offsets[-1] == len(found.seen_items)
        and (found.ensemble is None or len(found.ensemble) == n_users)
    )
    if not fits:
        raise DamagedFileError(f"{found.folder}: its vectors, ids and items seen are not of the same users and items")
