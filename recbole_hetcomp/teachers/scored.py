"""Models that were trained elsewhere as scores of all items: a pair of vectors, a function, RecBole's checkpoints."""

from __future__ import annotations

import functools
import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from recbole_hetcomp.data.rankings.grouping import Ids
from recbole_hetcomp.data.rankings.mismatches import Mismatches
from recbole_hetcomp.recbole_bridge.checkpoint import revive
from recbole_hetcomp.recbole_bridge.own_data import made_model
from recbole_hetcomp.recbole_bridge.restricted_pickle import load_checkpoint
from recbole_hetcomp.teachers.importing import TargetData
from recbole_hetcomp.teachers.recorder import Scores, model_scores


def vector_scores(
    target: TargetData, vectors: tuple[Path, Path], ids: tuple[Path | None, Path | None], counted: Mismatches
) -> Scores:
    """Dot products of user and item vectors.

    Args:
        target: the data.
        vectors: files of the users' and the items' vectors, float [n, d]: .npy, .npz or .safetensors.
        ids: files of their ids, a line or an entry a vector; None: the tensor ``ids`` beside the vectors.
        counted: counts ids that the data set does not have.

    Raises:
        FileNotFoundError, ValueError: a file is not there or not of this form, or the two do not fit.
    """
    sides = []
    for place, (file, names, known) in enumerate(zip(vectors, ids, (target.users, target.items))):
        table, labels = _vectors(file, names)
        sides.append(_rows_of(file, table, labels, known, ("unknown_user", "unknown_item")[place], counted))
    (users, user_row), (items, item_row) = sides
    if users.shape[1] != items.shape[1]:
        raise ValueError(f"{vectors[0]} has vectors of {users.shape[1]} numbers, {vectors[1]} of {items.shape[1]}")
    ranked = torch.from_numpy(np.flatnonzero(item_row >= 0))
    products = torch.from_numpy(np.ascontiguousarray(items[item_row[ranked.numpy()]], dtype=np.float32)).T

    def scores(wanted: Tensor) -> Tensor:
        found = torch.full((len(wanted), target.data.n_items), -torch.inf)
        rows = user_row[wanted.numpy()]
        here = torch.from_numpy(np.flatnonzero(rows >= 0))
        block = torch.from_numpy(np.ascontiguousarray(users[rows[here.numpy()]], dtype=np.float32))
        found[here[:, None], ranked[None, :]] = block @ products
        return found

    return scores


def _rows_of(
    file: Path, table: NDArray[Any], labels: list[str], known: Ids, kind: str, counted: Mismatches
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The vectors, and the row of each internal id, -1 where it has none."""
    import pyarrow as pa

    if table.ndim != 2 or len(table) != len(labels):
        raise ValueError(f"{file} has vectors of shape {table.shape} and {len(labels)} ids; needed: one id a row")
    found = known.of(pa.array(labels, pa.string()))
    counted.total["rows"] += len(labels)
    missing = [label for label, internal in zip(labels, found) if internal == 0]
    counted.add(kind, len(missing), missing[:3])
    row = np.full(len(known.tokens) + 1, -1, dtype=np.int64)
    where = np.flatnonzero(found > 0)
    row[found[where][::-1]] = where[::-1]  # the first of several stays
    counted.add("duplicate", len(where) - len(np.unique(found[where])))
    row[0] = -1
    return table, row


def _vectors(file: Path, names: Path | None) -> tuple[NDArray[Any], list[str]]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    try:
        if file.suffix == ".npy":
            table, own = np.load(file, mmap_mode="r", allow_pickle=False), None
        elif file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as content:
                table, own = content["vectors"], content.get("ids")
        elif file.suffix == ".safetensors":
            with safe_open(str(file), framework="np") as content:
                keys = list(content.keys())
                table = content.get_tensor("vectors")
                own = content.get_tensor("ids") if "ids" in keys else None
        else:
            raise ValueError(f"{file}: vectors are read from .npy, .npz and .safetensors")
    except (KeyError, SafetensorError, OSError, EOFError) as error:
        raise ValueError(
            f"{file} has no readable vectors (called 'vectors' in .npz and .safetensors): {error}"
        ) from error
    if table.dtype.kind != "f":
        raise ValueError(f"{file} has vectors of type {table.dtype}; needed: floating point")
    if names is None and own is None:
        raise ValueError(f"{file} holds no ids; name a file of them, one a line, with ids")
    return table, _labels(names) if names is not None else _plain(file, own)


def _labels(file: Path) -> list[str]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    if file.suffix == ".npy":
        return _plain(file, np.load(file, allow_pickle=False))
    return file.read_text(encoding="utf-8-sig").splitlines()


def _plain(file: Path, values: Any) -> list[str]:
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise ValueError(
            f"{file} has ids of type {values.dtype} and shape {values.shape}; needed: a row of text or int"
        )
    return [str(value) for value in values.tolist()]


def function_scores(target: TargetData, path: str, counted: Mismatches) -> Scores:
    """Scores of a function of one's own.

    Args:
        target: the data.
        path: dotted path of a function that takes external user ids, a list of n, and returns scores, float [n, m].
            Its attribute ``items`` says which items the columns are; without it they are the data set's, in its order.
        counted: counts items that the data set does not have.

    Raises:
        ValueError: it cannot be imported or called, or its scores are of another shape.
    """
    import pyarrow as pa

    module, _, name = path.rpartition(".")
    try:
        function: Callable[[list[str]], Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{path!r} cannot be imported: {error}") from error
    if not callable(function):
        raise ValueError(f"{path!r} is a {type(function).__name__}; needed: a function of user ids")
    declared = getattr(function, "items", None)
    columns = np.arange(1, target.data.n_items)
    if declared is not None:
        labels = [str(item) for item in declared]
        columns = target.items.of(pa.array(labels, pa.string()))
        missing = [label for label, internal in zip(labels, columns) if internal == 0]
        counted.total["rows"] += len(labels)
        counted.add("unknown_item", len(missing), missing[:3])
        if len(np.unique(columns[columns > 0])) < (columns > 0).sum():
            raise ValueError(f"{path}.items names an item twice")
    kept = torch.from_numpy(np.flatnonzero(columns > 0))
    ids = torch.from_numpy(columns)[kept]

    def scores(users: Tensor) -> Tensor:
        given = torch.as_tensor(np.asarray(function(target.users.external(users.numpy()).to_pylist())))
        if tuple(given.shape) != (len(users), len(columns)):
            raise ValueError(f"{path} returned shape {tuple(given.shape)}; needed: {(len(users), len(columns))}")
        found = torch.full((len(users), target.data.n_items), -torch.inf)
        found[:, ids] = given.float()[:, kept]
        return found

    return scores


def checkpoint_scores(target: TargetData, place: Path) -> list[tuple[int, Scores]]:
    """Scores of a RecBole model's checkpoint, or of all checkpoints in a folder, a snapshot each.

    Args:
        target: the data, on which the model must have been trained: a checkpoint holds internal ids only.
        place: a ``.pth`` file, or a folder of them, one for each epoch.

    Raises:
        FileNotFoundError: there is none.
        ValueError: one is no general recommender's, of other data or another split, or two are of one epoch.
    """
    files = [place] if place.is_file() else sorted(place.glob("*.pth"))
    if not files:
        raise FileNotFoundError(f"{place} is no checkpoint (.pth) and no folder of them")
    opened = _Opened(target)
    found: dict[int, Path] = {}
    for file in files:
        epoch = opened.epoch(file)
        if epoch in found:
            raise ValueError(f"{file} and {found[epoch]} are both of epoch {epoch}; a snapshot is one")
        found[epoch] = file
    return [(epoch, functools.partial(opened.scores, found[epoch])) for epoch in sorted(found)]


class _Opened:
    """Checkpoints of one folder, of which one is in memory at a time.

    Args:
        target: the data.
    """

    def __init__(self, target: TargetData) -> None:
        self.target = target
        self.file: Path | None = None
        self.model: Any = None

    def epoch(self, file: Path) -> int:
        """A checkpoint's epoch, after a look at what it was trained on."""
        return int(self._content(file)["epoch"])

    @torch.no_grad()
    def scores(self, file: Path, users: Tensor) -> Tensor:
        """Scores of all items, float [B, I]."""
        if self.file != file:
            self.file, self.model = None, None
            self.model = self._model(file)
            self.file = file
        return model_scores(self.model, self.target.data.n_items)(users)

    def _content(self, file: Path) -> Any:
        try:
            content = load_checkpoint(torch.load, revive, str(file), map_location="cpu")
        except pickle.UnpicklingError as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
        missing = [key for key in ("config", "state_dict", "epoch") if key not in content]
        if missing:
            raise ValueError(f"{file} is no checkpoint of RecBole's: it has no {missing[0]!r}")
        config, ours = content["config"], self.target.config
        for key in _DECIDES_DATA:
            if _plainly(config[key]) != _plainly(ours[key]):
                raise ValueError(
                    f"{file} was trained with {key}={config[key]!r}, here it is {ours[key]!r}: its internal ids or its "
                    "training data are others"
                )
        return content

    def _model(self, file: Path) -> Any:
        content = self._content(file)
        config = content["config"]
        config["device"] = self.target.config["device"]
        model, _ = made_model(config, self.target.train)
        try:
            model.load_state_dict(content["state_dict"])
        except RuntimeError as error:
            raise ValueError(f"{file} does not fit the data set: {' '.join(str(error).split())}") from error
        model.load_other_parameter(content.get("other_parameter"))
        return model.eval()


_DECIDES_DATA = (
    "dataset", "seed", "eval_args", "benchmark_filename", "val_interval", "user_inter_num_interval",
    "item_inter_num_interval", "rm_dup_inter", "filter_inter_by_user_or_item", "threshold",
)  # fmt: skip


def _plainly(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plainly(entry) for key, entry in value.items() if key != "mode"}
    return value
