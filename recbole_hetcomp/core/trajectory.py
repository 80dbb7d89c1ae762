"""One teacher's training as a few ranked lists a user, and the store that keeps them on disk (method section
1).

The store is the contract between teachers and students. An entry is a directory: ``trajectory.safetensors``
(item lists, ranks of observed items) beside ``manifest.json`` (what it is, where it comes from, checksums).
Entries are written under a temporary name and renamed, verified when read, and memory-mapped, never
unpickled. An entry is found by the fingerprint of the data, split included, and all of the teacher's
settings: two runs that share both share it, and a difference in either makes another entry.

Item lists take two bytes an item where the ids allow it, four otherwise. Trajectories that are larger than memory
are worked on through `MappedTensors`, one teacher at a time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT_VERSION = 1
SPACINGS = ("even", "quality")
"""Allowed spacings of the intermediate snapshots: in epochs, or in validation quality."""

_TENSORS = "trajectory.safetensors"
_MANIFEST = "manifest.json"
_TEMPORARY = ".writing-"
_ABANDONED_AFTER_SECONDS = 24 * 3600
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_READ_BYTES = 2**20
_STORED_TYPES = {"I16": torch.int16, "I32": torch.int32}  # as safetensors names them


class CorruptTrajectoryError(RuntimeError):
    """A store entry is there but cannot be trusted; the message names the file and what is wrong with it."""


def rank_dtype(longest_row: int) -> torch.dtype:
    """The smallest type that holds ranks among ``longest_row`` observed items.

    >>> rank_dtype(32767), rank_dtype(32768)
    (torch.int16, torch.int32)
    """
    return torch.int16 if longest_row <= torch.iinfo(torch.int16).max else torch.int32


def item_dtype(n_items: int) -> torch.dtype:
    """The smallest type that holds the item ids 0 … ``n_items`` - 1 and ``PAD``.

    >>> item_dtype(32768), item_dtype(32769)
    (torch.int16, torch.int32)
    """
    return torch.int16 if n_items - 1 <= torch.iinfo(torch.int16).max else torch.int32


def select_snapshots(
    epochs: Sequence[int], scores: Sequence[float], count: int, spacing: str = "even", bigger: bool = True
) -> list[int]:
    """Which validations a trajectory keeps: the best one last, the others spread out before it.

    ``even`` takes the recorded epochs nearest to ``count`` epochs evenly spaced from the first to the best.
    ``quality`` takes, of the validations no worse than all before them, those nearest to ``count`` scores
    evenly spaced from the first one's to the best. The earlier of two that are equally near.
    Source: method section 1.

    Args:
        epochs: epochs of the validations, ascending.
        scores: their validation scores.
        count: E, how many to keep.
        spacing: ``even`` or ``quality``.
        bigger: whether bigger scores are better.

    Returns:
        Indices into ``epochs``, strictly ascending, at most ``count`` of them: fewer where there are too few
        distinct validations. Of equal best scores the last counts, as in RecBole's early stopping.

    Raises:
        ValueError: if count or spacing is outside the allowed values, the validations are none or not
            ascending, or a score is NaN.

    >>> select_snapshots([10, 20, 30, 40, 50], [0.1, 0.5, 0.6, 0.7, 0.6], count=3)
    [0, 1, 3]
    >>> select_snapshots([10, 20, 30, 40, 50], [0.1, 0.5, 0.6, 0.7, 0.6], count=3, spacing="quality")
    [0, 1, 3]
    """
    _check_selection(epochs, scores, count, spacing)
    quality = [float(score) if bigger else -float(score) for score in scores]
    best = max(range(len(quality)), key=lambda index: (quality[index], index))
    if spacing == "even":
        candidates = list(range(best + 1))
        axis = [float(epoch) for epoch in epochs]
    else:
        candidates = [index for index in range(best + 1) if quality[index] >= max(quality[: index + 1])]
        axis = quality
    chosen = {best}
    for step in range(count - 1):
        target = axis[0] + (axis[best] - axis[0]) * step / (count - 1)
        chosen.add(min(candidates, key=lambda index: (abs(axis[index] - target), index)))
    return sorted(chosen)


def _check_selection(epochs: Sequence[int], scores: Sequence[float], count: int, spacing: str) -> None:
    if count < 1:
        raise ValueError(f"count is {count}; allowed: 1 or more snapshots")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing is {spacing!r}; allowed: {', '.join(SPACINGS)}")
    if not epochs or len(epochs) != len(scores):
        raise ValueError(
            f"{len(epochs)} epochs and {len(scores)} scores; allowed: one of each for 1 or more validations"
        )
    if any(later <= earlier for earlier, later in zip(epochs, epochs[1:])):
        raise ValueError(f"epochs are {list(epochs)}; allowed: ascending")
    if any(math.isnan(score) for score in scores):
        raise ValueError(f"scores are {list(scores)}; allowed: numbers")


@dataclass(frozen=True)
class Trajectory:
    """The snapshots of one teacher.

    Attributes:
        unobserved: pi, each user's unobserved items, best first, int16 or int32, shape [E, U, K'].
        observed_ranks: rho, ranks aligned with N+_u's values, int16 or int32, shape [E, nnz].
        epochs: epoch of each snapshot.
        scores: validation score of each snapshot.
        served: the final snapshot's lists with validation items taken out too, for evaluation, int16 or int32,
            shape [U, T].
        settings: the teacher's settings, plain JSON data.
        info: what else is known (parameter count, seconds, validation metrics), plain JSON data.
        file: the file that the tensors are mapped from, or None for tensors in memory.

    Raises:
        ValueError: if shapes or types do not fit each other.
    """

    unobserved: Tensor
    observed_ranks: Tensor
    epochs: tuple[int, ...]
    scores: tuple[float, ...]
    served: Tensor | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def __post_init__(self) -> None:
        """Check shapes and types."""
        kinds = (self.unobserved.dtype, self.observed_ranks.dtype)
        if not set(kinds) <= set(_STORED_TYPES.values()):
            raise ValueError(f"unobserved and observed_ranks are {kinds}; allowed: int16 or int32 each")
        if self.unobserved.dim() != 3 or self.observed_ranks.dim() != 2:
            raise ValueError(
                f"unobserved and observed_ranks have shapes {tuple(self.unobserved.shape)} and "
                f"{tuple(self.observed_ranks.shape)}; allowed: [E, U, K'] and [E, nnz]"
            )
        n_snapshots = {len(self.unobserved), len(self.observed_ranks), len(self.epochs), len(self.scores)}
        if len(n_snapshots) != 1 or 0 in n_snapshots:
            raise ValueError(
                f"unobserved, observed_ranks, epochs and scores hold {sorted(n_snapshots)} snapshots; "
                "allowed: one number, 1 or more"
            )
        if self.served is not None and (
            self.served.dtype not in _STORED_TYPES.values()
            or self.served.dim() != 2
            or len(self.served) != self.unobserved.shape[1]
        ):
            raise ValueError(
                f"served is {self.served.dtype} of shape {tuple(self.served.shape)}; "
                f"allowed: int16 or int32, [{self.unobserved.shape[1]}, T]"
            )

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, contiguous and on the CPU, as they are stored."""
        named = {"unobserved": self.unobserved, "observed_ranks": self.observed_ranks}
        if self.served is not None:
            named["served"] = self.served
        stored = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
        places = [tensor.untyped_storage().data_ptr() for tensor in stored.values()]
        if len(set(places)) < len(places):  # the file's writer refuses tensors that share memory
            stored = {name: tensor.clone() for name, tensor in stored.items()}
        return stored


class MappedTensors(Sequence[Tensor]):
    """One tensor of each of several trajectories, mapped anew whenever it is asked for.

    A mapped tensor's pages count as this process's memory once they are touched, and until the mapping goes. A list
    of tensors therefore grows to the size of the store; of this sequence only what a caller holds is resident: one
    teacher at a time in ``for m, trajectory in enumerate(tensors)``, and a block of users of it where users are
    worked on in blocks. Asking costs some tens of microseconds, and pages that have been read once come from the
    system's cache.

    The files stay open, so an entry that is removed or replaced meanwhile stays readable. Tensors of trajectories
    that have no file are handed out as they are. Writing to a tensor changes neither the file nor the next tensor.

    >>> lists = torch.zeros(1, 2, 3, dtype=torch.int16)
    >>> teacher = Trajectory(lists, torch.zeros(1, 4, dtype=torch.int16), epochs=(1,), scores=(0.5,))
    >>> [tensor.shape for tensor in MappedTensors([teacher, teacher], "unobserved")]
    [torch.Size([1, 2, 3]), torch.Size([1, 2, 3])]
    """

    def __init__(self, trajectories: Iterable[Trajectory], name: str = "unobserved") -> None:
        """Open the files of the trajectories, which the store has verified.

        Args:
            trajectories: one a teacher.
            name: which tensor, a key of `Trajectory.tensors`.

        Raises:
            ValueError: if a trajectory has no such tensor.
            CorruptTrajectoryError: if a file has changed so that it does not hold the tensor any more.
        """
        self._sources: list[Tensor | _StoredTensor] = [_source(trajectory, name) for trajectory in trajectories]

    def __len__(self) -> int:
        """Return the number of trajectories."""
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """Map one tensor, or a list of them."""
        if isinstance(index, slice):
            return [_mapped(source) for source in self._sources[index]]
        return _mapped(self._sources[index])


class _StoredTensor:
    """A tensor in a safetensors file that is held open."""

    def __init__(self, path: Path, name: str) -> None:
        """Find the tensor in the file's header.

        Raises:
            OSError, ValueError, KeyError, TypeError: if the file does not hold it.
        """
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.descriptor)
        with open(self.descriptor, "rb", closefd=False) as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[name]
        self.shape: list[int] = entry["shape"]
        self.dtype = _STORED_TYPES[entry["dtype"]]
        self.count = math.prod(self.shape)
        self.offset: int = 8 + length + entry["data_offsets"][0]

    def __reduce__(self) -> Any:
        """Refuse to be copied or pickled: the copy would use a file that the original closes."""
        raise TypeError("tensors of an open file cannot be copied or pickled; make new MappedTensors instead")

    def map(self) -> Tensor:
        """The tensor on private pages of the file, which go when the tensor does."""
        if not self.count:
            return torch.empty(self.shape, dtype=self.dtype)
        pages = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_COPY)
        return torch.frombuffer(pages, dtype=self.dtype, count=self.count, offset=self.offset).view(self.shape)


def _source(trajectory: Trajectory, name: str) -> Tensor | _StoredTensor:
    """Where a trajectory's tensor is to be had."""
    tensors = {"unobserved", "observed_ranks"} | ({"served"} if trajectory.served is not None else set())
    if name not in tensors:
        raise ValueError(f"tensor is {name!r}; allowed: {', '.join(sorted(tensors))}")
    tensor: Tensor = getattr(trajectory, name)
    if trajectory.file is None:
        return tensor
    try:
        stored = _StoredTensor(trajectory.file, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptTrajectoryError(f"{trajectory.file}: {name} cannot be mapped: {error!r}") from error
    if (stored.dtype, tuple(stored.shape)) != (tensor.dtype, tuple(tensor.shape)):
        raise CorruptTrajectoryError(f"{trajectory.file}: replaced since it was read: {name} is {stored.shape}")
    return stored


def _mapped(source: Tensor | _StoredTensor) -> Tensor:
    return source if isinstance(source, Tensor) else source.map()


class TrajectoryStore:
    """Trajectories on disk: ``root/<data fingerprint>/<name>-<key>/``.

    Safe for any number of readers and writers at once: an entry appears whole or not at all, and the first of
    several writers of one entry wins.
    """

    def __init__(self, root: Path | str) -> None:
        """Use the directory ``root``; it is made when something is written."""
        self.root = Path(root)

    def key(self, fingerprint: str, name: str, settings: dict[str, Any]) -> str:
        """Short hash of everything that an entry depends on.

        Raises:
            ValueError: if the settings are not plain JSON data.

        >>> store = TrajectoryStore("unused")
        >>> store.key("data", "BPR", {"a": 1, "b": 2}) == store.key("data", "BPR", {"b": 2, "a": 1})
        True
        """
        identity = {"format": FORMAT_VERSION, "fingerprint": fingerprint, "name": name, "settings": settings}
        return hashlib.sha256(_canonical(identity).encode()).hexdigest()[:16]

    def path(self, fingerprint: str, name: str, settings: dict[str, Any]) -> Path:
        """The entry's directory, whether or not it exists.

        Raises:
            ValueError: if fingerprint or name is not a plain file name, or the settings are not plain JSON
                data.
        """
        for label, value in (("fingerprint", fingerprint), ("name", name)):
            if not _SAFE_NAME.fullmatch(value):
                raise ValueError(f"{label} is {value!r}; allowed: letters, digits and _ . + - (not first)")
        return self.root / fingerprint / f"{name}-{self.key(fingerprint, name, settings)}"

    def read(self, fingerprint: str, name: str, settings: dict[str, Any]) -> Trajectory | None:
        """The stored trajectory, or None where there is none.

        The tensors are mapped from the file: pages are read when they are touched, and shared between
        processes. Those touched count as memory while the trajectory lives; see `MappedTensors` for more
        trajectories than memory holds.

        Raises:
            CorruptTrajectoryError: if the entry is truncated, altered, or belongs to other data or settings.
        """
        entry = self.path(fingerprint, name, settings)
        if not entry.exists():
            return None
        manifest = _read_manifest(entry / _MANIFEST)
        expected = {"fingerprint": fingerprint, "name": name, "settings": settings}
        for label, value in expected.items():
            if _canonical(manifest[label]) != _canonical(value):
                raise CorruptTrajectoryError(f"{entry / _MANIFEST}: {label} is {manifest[label]!r}; expected {value!r}")
        return self.open(entry)

    def entries(self) -> list[Path]:
        """Directories of all entries, whatever data and settings they belong to; none while one is written."""
        return sorted(
            manifest.parent
            for manifest in self.root.glob(f"*/*/{_MANIFEST}")
            if not manifest.parent.name.startswith(_TEMPORARY)
        )

    def open(self, entry: Path) -> Trajectory:
        """The trajectory in an entry's directory, verified and mapped as by `read`.

        Raises:
            CorruptTrajectoryError: if the entry is truncated or altered.
        """
        manifest = _read_manifest(entry / _MANIFEST)
        _verify_file(entry / _TENSORS, manifest["bytes"], manifest["sha256"])
        try:
            return Trajectory(
                **_map_tensors(entry / _TENSORS),
                epochs=tuple(manifest["epochs"]),
                scores=tuple(manifest["scores"]),
                settings=manifest["settings"],
                info=manifest["info"],
                file=entry / _TENSORS,
            )
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            raise CorruptTrajectoryError(f"{entry / _TENSORS}: not a trajectory: {error}") from error

    def write(self, fingerprint: str, name: str, settings: dict[str, Any], trajectory: Trajectory) -> Path:
        """Store a trajectory, whole or not at all.

        An entry that is already there and sound is kept: it was made from the same data and settings. One
        that is corrupt is put aside first (`quarantine`).

        Returns:
            The entry's directory.

        Raises:
            OSError: if the disk does not take it (full, read-only …); the message names the path, the bytes
                needed and those free. Nothing is left behind.
            ValueError: if a name, the settings or the info cannot be stored.
        """
        entry = self.path(fingerprint, name, settings)
        content = {
            "fingerprint": fingerprint,
            "name": name,
            "settings": settings,
            "epochs": list(trajectory.epochs),
            "scores": list(trajectory.scores),
            "info": trajectory.info,
        }
        _canonical(content)  # refuses what JSON cannot hold before anything is written
        tensors = trajectory.tensors()
        needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        temporary: Path | None = None
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(entry.parent, f"{_TEMPORARY}{entry.name}-*")
            temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{entry.name}-", dir=entry.parent))
            _write_entry(temporary, tensors, content)
            self._publish(temporary, entry, fingerprint, name, settings)
        except (OSError, SafetensorError) as error:
            number = getattr(error, "errno", None) or _error_number(str(error))
            raise OSError(
                number, f"cannot store {entry}: {error}; {needed} bytes needed, {_free_bytes(entry)} free"
            ) from error
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
        return entry

    def quarantine(self, fingerprint: str, name: str, settings: dict[str, Any]) -> Path | None:
        """Put an entry aside, neither read nor lost; its new path, or None where there was none."""
        entry = self.path(fingerprint, name, settings)
        if not entry.exists():
            return None
        holder = Path(tempfile.mkdtemp(prefix=f"{entry.name}.corrupt-", dir=entry.parent))
        os.replace(entry, holder)  # onto an empty directory
        return holder

    def remove(self, fingerprint: str, name: str, settings: dict[str, Any]) -> bool:
        """Delete an entry; whether there was one. Tensors that are mapped from it stay readable."""
        entry = self.path(fingerprint, name, settings)
        if not entry.exists():
            return False
        doomed = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{entry.name}-", dir=entry.parent))
        os.replace(entry, doomed)  # vanishes at once, not file by file
        shutil.rmtree(doomed)
        return True

    def _publish(self, temporary: Path, entry: Path, fingerprint: str, name: str, settings: dict[str, Any]) -> None:
        """Rename the finished directory to the entry, unless a sound entry is there."""
        while True:
            try:
                os.rename(temporary, entry)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                _sync_directory(entry.parent)
                return
            try:
                if self.read(fingerprint, name, settings) is not None:
                    return
            except CorruptTrajectoryError:
                self.quarantine(fingerprint, name, settings)


class SnapshotSpool:
    """Scratch space of a recorder: one file a validation, so memory does not grow with their number.

    Which validations a trajectory keeps is known only when training has ended, so all are kept until then.
    Makes a directory of its own within ``directory``; leaving the context deletes it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as scratch, SnapshotSpool(scratch) as spool:
    ...     for epoch, score in [(1, 0.2), (2, 0.4), (3, 0.3)]:
    ...         spool.append(epoch, score, torch.tensor([[epoch]]), torch.tensor([0]))
    ...     unobserved, _, epochs, scores = spool.build(count=4)
    >>> unobserved.tolist(), epochs, scores
    ([[[1]], [[2]]], (1, 2), (0.2, 0.4))
    """

    def __init__(self, directory: Path | str) -> None:
        """Make an empty scratch directory within ``directory``."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        _remove_abandoned(Path(directory), "spool-*")
        self.directory = Path(tempfile.mkdtemp(prefix="spool-", dir=directory))
        self.epochs: list[int] = []
        self.scores: list[float] = []

    def __enter__(self) -> SnapshotSpool:
        """Return the spool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the scratch directory."""
        self.close()

    def __len__(self) -> int:
        """Return the number of validations recorded."""
        return len(self.epochs)

    def close(self) -> None:
        """Delete the scratch directory; a second call does nothing."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def append(self, epoch: int, score: float, unobserved: Tensor, observed_ranks: Tensor) -> None:
        """Record one validation.

        Args:
            epoch: when it took place.
            score: its validation score.
            unobserved: each user's unobserved items, best first, shape [U, K'].
            observed_ranks: ranks aligned with N+_u's values, shape [nnz].

        Raises:
            OSError: if the disk does not take it; the message names the path, the bytes needed and those
                free.
        """
        longest = int(observed_ranks.max()) + 1 if observed_ranks.numel() else 0
        n_items = int(unobserved.max()) + 1 if unobserved.numel() else 0
        tensors = {
            "unobserved": unobserved.detach().to("cpu", item_dtype(n_items)).contiguous(),
            "observed_ranks": observed_ranks.detach().to("cpu", rank_dtype(longest)).contiguous(),
        }
        path = self._file(len(self.epochs))
        try:
            save_file(tensors, str(path))
        except (OSError, SafetensorError) as error:
            path.unlink(missing_ok=True)
            needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
            number = getattr(error, "errno", None) or _error_number(str(error))
            raise OSError(
                number, f"cannot store {path}: {error}; {needed} bytes needed, {_free_bytes(path)} free"
            ) from error
        self.epochs.append(int(epoch))
        self.scores.append(float(score))

    def build(
        self, count: int, spacing: str = "even", bigger: bool = True
    ) -> tuple[Tensor, Tensor, tuple[int, ...], tuple[float, ...]]:
        """The kept snapshots, chosen by `select_snapshots`, each of their tensors in the smallest type that fits all.

        Holds them once in memory, and one snapshot's pages more while they are read.

        Returns:
            unobserved, int16 or int32, shape [E, U, K']; observed_ranks, likewise, shape [E, nnz]; epochs;
            scores.

        Raises:
            ValueError: if nothing was recorded, or as `select_snapshots` does.
        """
        kept = select_snapshots(self.epochs, self.scores, count, spacing, bigger)
        stacks = self._empty_stacks(kept)
        for place, index in enumerate(kept):
            for name, tensor in _map_tensors(self._file(index)).items():
                stacks[name][place] = tensor
        epochs = tuple(self.epochs[index] for index in kept)
        return stacks["unobserved"], stacks["observed_ranks"], epochs, tuple(self.scores[i] for i in kept)

    def _empty_stacks(self, kept: Sequence[int]) -> dict[str, Tensor]:
        """Room for the kept snapshots' tensors, [E, …] each, of a type that fits every snapshot."""
        stacks: dict[str, Tensor] = {}
        for index in kept:
            for name, tensor in _map_tensors(self._file(index)).items():
                dtype = torch.promote_types(tensor.dtype, stacks[name].dtype if name in stacks else tensor.dtype)
                stacks[name] = torch.empty(len(kept), *tensor.shape, dtype=dtype)  # takes no memory until written
        return stacks

    def _file(self, index: int) -> Path:
        return self.directory / f"validation-{index:06d}.safetensors"


def _canonical(data: Any) -> str:
    """One JSON text for one content, whatever the order of its keys."""
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{data!r} cannot be stored: {error}; allowed: plain JSON data, finite numbers") from error


def _map_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, backed by the file's pages."""
    with safe_open(str(path), framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)


def _write_entry(directory: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write an entry's two files and see them onto the disk."""
    save_file(tensors, str(directory / _TENSORS))
    _sync_file(directory / _TENSORS)
    manifest = {
        "format": FORMAT_VERSION,
        **content,
        "bytes": (directory / _TENSORS).stat().st_size,
        "sha256": _sha256_of(directory / _TENSORS),
    }
    manifest["checksum"] = _checksum(manifest)
    text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False)
    (directory / _MANIFEST).write_text(text + "\n", encoding="utf-8")
    _sync_file(directory / _MANIFEST)
    directory.chmod(0o755)  # mkdtemp's 0o700 would keep other users of a shared store out
    _sync_directory(directory)


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, verified against its own checksum."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptTrajectoryError(f"{path}: unreadable: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT_VERSION:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise CorruptTrajectoryError(f"{path}: format is {found!r}; this version reads {FORMAT_VERSION}")
    if manifest.pop("checksum", None) != _checksum(manifest):
        raise CorruptTrajectoryError(f"{path}: altered: its content does not match its checksum")
    return manifest


def _verify_file(path: Path, size: int, sha256: str) -> None:
    """Raise CorruptTrajectoryError unless the file has this size and checksum."""
    try:
        found = path.stat().st_size
        if found != size:
            raise CorruptTrajectoryError(f"{path}: truncated or extended: {found} bytes; expected {size}")
        if _sha256_of(path) != sha256:
            raise CorruptTrajectoryError(f"{path}: altered: its content does not match the manifest's sha256")
    except OSError as error:
        raise CorruptTrajectoryError(f"{path}: unreadable: {error}") from error


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest).encode()).hexdigest()


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make a directory's names durable, where the system can open directories at all (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path, pattern: str) -> None:
    """Delete what writers left who were killed more than a day ago."""
    for directory in folder.glob(pattern):
        try:
            abandoned = time.time() - directory.stat().st_mtime > _ABANDONED_AFTER_SECONDS
        except FileNotFoundError:  # its writer has just finished
            continue
        if abandoned:
            shutil.rmtree(directory, ignore_errors=True)


def _free_bytes(path: Path) -> int:
    """Free bytes on the disk that holds the nearest existing ancestor of the path."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _error_number(message: str) -> int:
    """The errno that safetensors gives only in its message ("... (os error 28)"), or EIO."""
    match = re.search(r"os error (\d+)", message)
    return int(match.group(1)) if match else errno.EIO
