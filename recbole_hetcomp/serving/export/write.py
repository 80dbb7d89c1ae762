"""A saved student → a folder of files that other runtimes serve, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from recbole_hetcomp.extras import require
from recbole_hetcomp.files import DamagedFileError, read_json, replace_folder, sha256_of, versions, write_json
from recbole_hetcomp.recbole_bridge.config import run_settings
from recbole_hetcomp.serving import SEEN, exported
from recbole_hetcomp.serving.export import INDEXES, PARITY_K, PRECISIONS, compressed, rankers
from recbole_hetcomp.serving.export.card import model_card
from recbole_hetcomp.serving.export.ensemble_lists import ensemble_of
from recbole_hetcomp.serving.export.measuring import measure
from recbole_hetcomp.serving.export.parity import TOLERANCE, Ranker, check, compare
from recbole_hetcomp.serving.export.titles import titles_of
from recbole_hetcomp.serving.export.vectors import vectors_of
from recbole_hetcomp.serving.saved import SavedModel, saved_model
from recbole_hetcomp.student.model import DistilledStudent

_SYSTEMS_OWN = {".DS_Store", "Thumbs.db", "desktop.ini"}  # what file browsers leave in a folder


@dataclass(frozen=True)
class Wanted:
    """What an export is to hold.

    Attributes:
        seen: which items of a user are no candidates.
        k: items of the lists that are compared with the model's.
        indexes: approximate indexes beside the exact one.
        precisions: compressed vectors beside float32.
        ensemble: items of the ensemble's lists; 0: they are left out.
        title: the item feature that names items; None: the one that looks like it.
        licence: of the model, in a model hub's words; None: not given.
        data_licence: of the data.
    """

    seen: str = SEEN[0]
    k: int = PARITY_K
    indexes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    ensemble: int = 0
    title: str | None = None
    licence: str | None = None
    data_licence: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: names the value and what is allowed.
        """
        if self.k < 1 or self.ensemble < 0:
            raise ValueError(f"k={self.k}, ensemble={self.ensemble} is not allowed: at least 1, and at least 0")
        for name, given, known in (("index", self.indexes, INDEXES), ("precision", self.precisions, PRECISIONS)):
            wrong = [one for one in given if one not in known]
            if wrong:
                raise ValueError(f"{name}={wrong[0]!r} is not allowed: one of {', '.join(known)}")


def export(checkpoint: str | Path, target: str | Path, wanted: Wanted | None = None) -> dict[str, Any]:
    """Write a student as files, each compared with the trained model for all users.

    Args:
        checkpoint: what a run saved; its data set must be where it was.
        target: the folder, or a link to it; an earlier export in its place is replaced, anything else is refused.
        wanted: what it is to hold.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: the checkpoint, its data set or a teacher of the ensemble is gone.
        ValueError: the model's scores are no dot products, a name is not known, or the folder holds something else.
        OSError: it cannot be written, for want of room for example.
        ParityError: an artefact ranks in another way than the model; nothing is exported.
        MissingPackageError: a package of the extra ``export`` is not installed.
    """
    require("An export", "pyarrow", "onnx", "onnxruntime", "faiss")
    wanted, target = wanted or Wanted(), Path(target)
    check_target(target)
    target = target.resolve()  # of a link, what it leads to is replaced
    saved = saved_model(checkpoint, wanted.seen)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
        folder = Path(place) / "new"
        folder.mkdir()
        try:
            manifest = _fill(folder, saved, wanted, Path(checkpoint).stem)
        except SafetensorError as error:  # a full disk, which it does not raise as the system does
            raise OSError(f"{target} cannot be written: {error}") from error
        if target.exists():
            replace_folder(folder, target, _empty(Path(place) / "old"))
        else:
            folder.rename(target)
    return manifest


def check_target(target: Path) -> None:
    """Refuse a place where an export cannot be put, or where it would take the place of something else.

    Raises:
        FileNotFoundError: the folder that it would stand in does not exist, or a link leads nowhere.
        ValueError: something else stands in its place, files that no export wrote lie in it, or the command runs in it.
        PermissionError: nothing may be written beside it.
    """
    if target.is_symlink() and not target.exists():
        raise FileNotFoundError(f"{target} is a link to {os.readlink(target)}, which does not exist")
    place = target.resolve()
    if not place.parent.is_dir():
        raise FileNotFoundError(f"{place.parent} does not exist")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place.parent))
    if place.exists() and not place.is_dir():
        raise ValueError(f"{target} is a file: an export is a folder")
    if place in (Path.cwd(), *Path.cwd().parents):
        raise ValueError(f"{target} is the folder that the command runs in, or holds it: choose another folder")
    if place.is_dir():
        others = sorted({entry.name for entry in place.iterdir()} - _of_export(place) - _SYSTEMS_OWN)
        if others:
            raise ValueError(f"{target} holds files that are no export, {others[0]} first: choose another folder")


def _of_export(folder: Path) -> set[str]:
    """Names of the files of the export in a folder; none where it holds no export."""
    try:
        told = read_json(folder / exported.MANIFEST)
    except (FileNotFoundError, DamagedFileError):
        return set()
    files = told.get("files")
    return {exported.MANIFEST, *files} if "schema" in told and isinstance(files, dict) else set()


def _fill(folder: Path, saved: SavedModel, wanted: Wanted, run: str) -> dict[str, Any]:
    users, items = vectors_of(saved.model, saved.n_users)
    exact = _write_exact(folder, saved, wanted, users, items)
    rough, worth = _write_rough(folder, saved, wanted, users, items)
    if wanted.ensemble:
        save_file({"lists": np.ascontiguousarray(ensemble_of(saved, wanted.ensemble))}, folder / exported.ENSEMBLE)
    k = min(wanted.k, len(items))
    agreements = compare(saved, {**exact, **rough}, k)
    check({name: agreements[name] for name in exact}, k)
    _, valid, test = saved.loaders
    manifest = {
        "schema": exported.SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {**versions(), **_runtimes()},
        "model": _model(saved, run, users, items),
        "data": _data(saved, wanted.seen),
        "metrics": {"valid": measure(saved, valid, users, items), "test": measure(saved, test, users, items)},
        "compressed": worth,
        "parity": {
            "k": k,
            "tolerance": TOLERANCE,
            "artefacts": {name: {"users": one.users, **asdict(one)} for name, one in agreements.items()},
        },
        "licence": {"model": wanted.licence, "data": wanted.data_licence},
    }
    files = {file.name: _told(file) for file in folder.iterdir()}
    manifest["files"] = dict(sorted(files.items()))
    card = folder / exported.CARD
    card.write_text(model_card(manifest), encoding="utf-8")
    manifest["files"] = dict(sorted({**files, card.name: _told(card)}.items()))
    write_json(folder / exported.MANIFEST, manifest)
    for file in folder.iterdir():  # a service may run as another user
        file.chmod(0o644)
    exported.read(folder)
    return manifest


def _write_exact(
    folder: Path, saved: SavedModel, wanted: Wanted, users: NDArray[np.float32], items: NDArray[np.float32]
) -> dict[str, Ranker]:
    """What must rank as the model does: file → it in its runtime."""
    from recbole_hetcomp.serving.export import index, onnx_model, tables

    user_ids, item_ids = (_names(ids) for ids in (saved.user_ids, saved.item_ids))
    titles = titles_of(saved.config, saved.dataset.iid_field, item_ids, wanted.title)
    save_file({"users": users, "items": items}, folder / exported.VECTORS)
    save_file(_seen(saved), folder / exported.SEEN_ITEMS)
    tables.write_users(folder / exported.USERS, user_ids, users)
    tables.write_items(folder / exported.ITEMS, item_ids, items, saved.counts.numpy()[1:], titles)
    onnx_model.write_graph(folder / exported.ONNX, users, items)
    flat = index.file_name(index.EXACT)
    index.write_index(folder / flat, index.EXACT, items)
    return {
        exported.VECTORS: rankers.of_safetensors(folder / exported.VECTORS),
        "users.parquet, items.parquet": rankers.of_parquet(folder),
        exported.ONNX: onnx_model.OnnxRanker(folder / exported.ONNX),
        flat: index.IndexRanker(folder / flat, users),
    }


def _write_rough(
    folder: Path, saved: SavedModel, wanted: Wanted, users: NDArray[np.float32], items: NDArray[np.float32]
) -> tuple[dict[str, Ranker], dict[str, Any]]:
    """What ranks nearly as the model does: file → it in its runtime; and what compressed vectors are worth."""
    from recbole_hetcomp.serving.export import index

    found: dict[str, Ranker] = {}
    worth = {}
    for kind in wanted.indexes:
        file = folder / index.file_name(kind)
        index.write_index(file, kind, items)
        found[file.name] = index.IndexRanker(file, users)
    for precision in wanted.precisions:
        file, stored = folder / compressed.file_name(precision), compressed.compress(precision, users, items)
        save_file(stored, file)
        valid = measure(saved, saved.loaders[1], *compressed.decompress(stored))
        worth[precision] = {"bytes": file.stat().st_size, "valid": valid}
        found[file.name] = rankers.of_safetensors(file)
    return found, worth


def _names(ids: Any) -> NDArray[np.object_]:
    return np.array([str(name) for name in ids[1:]], dtype=object)


def _told(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _seen(saved: SavedModel) -> dict[str, NDArray[Any]]:
    """Without the padding user's row, which is empty."""
    return {
        "offsets": saved.seen.offsets.numpy()[1:].astype(np.int64),
        "items": (saved.seen.values.numpy() - 1).astype(np.int32),
    }


def _model(saved: SavedModel, run: str, users: NDArray[np.float32], items: NDArray[np.float32]) -> dict[str, Any]:
    student = isinstance(saved.model, DistilledStudent)
    return {
        "name": str(saved.config["model"]),
        "backbone": type(saved.model.backbone if student else saved.model).__name__,
        "run": run,
        "teachers": list(run_settings(saved.config).teachers) if student else [],
        "dimension": int(users.shape[1]),
        "parameters": int(users.size + items.size),
        "bytes": int(users.nbytes + items.nbytes),
        "seed": int(saved.config["seed"]),
    }


def _data(saved: SavedModel, seen: str) -> dict[str, Any]:
    name = str(saved.config["dataset"])
    card = Path(saved.config["data_path"]) / f"{name}.card.json"
    told: dict[str, Any] = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    return {
        "name": name,
        "users": saved.n_users - 1,
        "items": saved.n_items - 1,
        "interactions": int(saved.counts.sum()),
        "seen": seen,
        **({"command": told["command"], "input": told["input"]} if {"command", "input"} <= set(told) else {}),
    }


def _runtimes() -> dict[str, str]:
    import faiss
    import onnx
    import onnxruntime

    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "faiss": faiss.__version__}


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
