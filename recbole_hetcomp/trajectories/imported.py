"""Rankings that were made elsewhere, as the store keeps them: whole lists by internal id, before any run.

An entry is a folder, ``<store>/imported/<name>/``: one file of item ids a snapshot (``lists-<e>.int32``, best first,
user after user), ``offsets.npy`` (where each user's list begins) and ``manifest.json`` (what it is, of which data, and
checksums). It is written under a temporary name and renamed, so the store is as before or complete. A run makes of it
the trajectory that it needs, as it does of any teacher.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_hetcomp.files import (
    DamagedFileError,
    naming,
    read_json,
    replace_folder,
    sha256_of,
    sync_directory,
    sync_file,
    write_json,
)
from recbole_hetcomp.locks import Lock
from recbole_hetcomp.trajectories.entry import LOCKS, MANIFEST, TEMPORARY, check_name, entries_of, temporary_beside
from recbole_hetcomp.trajectories.scratch import is_abandoned, remove_abandoned
from recbole_hetcomp.trajectories.trajectory import CorruptTrajectoryError

FOLDER = "imported"
"""Of a store: where imported rankings are."""

FORMAT_VERSION = 1
_OFFSETS = "offsets.npy"


@dataclass(frozen=True)
class ImportedRankings:
    """An imported teacher's lists.

    Attributes:
        folder: its entry.
        about: its manifest.
    """

    folder: Path
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What runs call it, behind ``import:``."""
        return str(self.about["name"])

    @property
    def content(self) -> str:
        """Checksum of all that decides its lists."""
        return str(self.about["content"])

    @property
    def snapshots(self) -> list[int]:
        """The snapshots' labels, ascending."""
        return list(self.about["snapshots"])

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def verify(self) -> None:
        """Read it whole.

        Raises:
            CorruptTrajectoryError: a file is missing, truncated or altered.
        """
        for name, expected in self.about["files"].items():
            file = self.folder / name
            try:
                found = sha256_of(file)
            except OSError as error:
                raise CorruptTrajectoryError(f"{file}: unreadable: {error}") from error
            if found != expected:
                raise CorruptTrajectoryError(f"{file}: truncated or altered: its checksum is not the manifest's")

    def lists(self, snapshot: int) -> SnapshotLists:
        """The lists at one snapshot, mapped from the file.

        Args:
            snapshot: its place among :attr:`snapshots`.
        """
        offsets = np.load(self.folder / _OFFSETS, mmap_mode="r", allow_pickle=False)[snapshot]
        file = self.folder / _lists_file(snapshot)
        empty = file.stat().st_size == 0
        return SnapshotLists(offsets, np.empty(0, "<i4") if empty else np.memmap(file, dtype="<i4", mode="r"))


@dataclass(frozen=True)
class SnapshotLists:
    """The users' lists at one snapshot.

    Attributes:
        offsets: int64 [U + 1].
        items: item ids, user after user, best first, int32.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]

    def of(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The lists of some users, one after the other.

        Args:
            users: ascending ids, int64 [B].

        Returns:
            Row among ``users``, place in the list (0 for the best) and item id of each entry, int64 [n] each.
        """
        ids = users.numpy()
        start, stop = self.offsets[ids], self.offsets[ids + 1]
        lengths = torch.from_numpy(stop - start)
        rows = torch.arange(len(ids)).repeat_interleave(lengths)
        before = lengths.cumsum(0) - lengths
        place = torch.arange(len(rows)) - before[rows]
        where = (torch.from_numpy(start.copy())[rows] + place).numpy()
        return rows, place, torch.from_numpy(self.items[where].astype(np.int64))


class ImportWriter:
    """Writes an entry; leaving the context before :meth:`publish` leaves nothing behind.

    Args:
        store: the store's folder.
        name: what runs will call it.
        n_users: U, with the padding user.
        snapshots: labels of the snapshots, ascending.
    """

    def __init__(self, store: Path | str, name: str, n_users: int, snapshots: Sequence[int]) -> None:
        parent = Path(store) / FOLDER
        self.target = entry_folder(store, name)
        self.name, self.snapshots = name, list(snapshots)
        parent.mkdir(parents=True, exist_ok=True)
        _restore(self.target)
        remove_abandoned(parent, f"{TEMPORARY}*")
        self._scratch = temporary_beside(self.target)
        self.folder = self._scratch.folder
        self.counts = np.zeros((len(self.snapshots), n_users), dtype=np.int64)
        self._files: list[BinaryIO] = [(self.folder / _lists_file(e)).open("wb") for e in range(len(self.snapshots))]
        self._last = [-1] * len(self.snapshots)

    def __enter__(self) -> ImportWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete what was not published."""
        try:
            for file in self._files:
                file.close()
        except OSError:  # no room for the rest of what is deleted now
            if kind is None:
                raise
        finally:
            self._scratch.close()

    def append(self, snapshot: int, users: NDArray[np.int64], items: NDArray[np.int64]) -> None:
        """Add lists of some users, later than those before.

        Args:
            snapshot: its place among the labels.
            users: user of each entry, ascending, [n].
            items: item of each entry, best first within a user, [n].
        """
        if not len(users):
            return
        assert users[0] > self._last[snapshot], "users come in order"
        self._last[snapshot] = int(users[-1])
        self.counts[snapshot] += np.bincount(users, minlength=self.counts.shape[1])
        with naming(self.target):
            self._files[snapshot].write(np.ascontiguousarray(items, dtype="<i4").tobytes())

    def publish(self, about: Mapping[str, Any], replace: bool = False) -> ImportedRankings:
        """Finish the entry and rename it into its place.

        Args:
            about: what its manifest is to say besides; ``data`` (a mapping) counts in its checksum.
            replace: whether it may take the place of another one.

        Raises:
            FileExistsError: there is another one of this name.
        """
        offsets = np.zeros((len(self.snapshots), self.counts.shape[1] + 1), dtype="<i8")
        np.cumsum(self.counts, axis=1, out=offsets[:, 1:])
        with naming(self.target):
            np.save(self.folder / _OFFSETS, offsets, allow_pickle=False)
            for file in self._files:
                file.close()
        names = [_OFFSETS, *(_lists_file(e) for e in range(len(self.snapshots)))]
        files = {name: sha256_of(self.folder / name) for name in names}
        decides = json.dumps([files, self.snapshots, about.get("data")], sort_keys=True)
        content = hashlib.sha256(decides.encode()).hexdigest()[:16]
        write_json(
            self.folder / MANIFEST,
            {
                "imported": FORMAT_VERSION,
                "name": self.name,
                "snapshots": self.snapshots,
                "rows": int(self.counts.sum()),
                "users": int((self.counts.sum(axis=0) > 0).sum()),
                "content": content,
                "files": files,
                "made": time.strftime("%Y-%m-%d %H:%M:%S"),
                **about,
            },
        )
        for name in (*names, MANIFEST):
            sync_file(self.folder / name)
        self.folder.chmod(0o755)
        with _changing(self.target):
            known = _find(self.target)
            if known is not None and known.content != content and not replace:
                raise FileExistsError(
                    f"{self.target} is there already, and is another ranking; replace it, or name it otherwise"
                )
            self._rename()
        return read_imported(self.target.parent.parent, self.name)

    def _rename(self) -> None:
        if self.target.exists():
            with temporary_beside(self.target) as aside:
                replace_folder(self.folder, self.target, aside)
        else:
            os.rename(self.folder, self.target)
        sync_directory(self.target.parent)


def entry_folder(store: Path | str, name: str) -> Path:
    """Where an imported teacher is, or would be.

    Raises:
        ValueError: the name is no plain file name.
    """
    return Path(store) / FOLDER / check_name("name", name)


def read_imported(store: Path | str, name: str) -> ImportedRankings:
    """An imported teacher by its name; its manifest is verified, its lists are not read.

    Raises:
        FileNotFoundError: there is none.
        CorruptTrajectoryError: its manifest is damaged.
    """
    folder = entry_folder(store, name)
    _restore(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist")
    try:
        about = read_json(folder / MANIFEST)
    except (OSError, DamagedFileError) as error:
        raise CorruptTrajectoryError(f"{folder / MANIFEST}: {error}") from error
    if about.get("imported") != FORMAT_VERSION:
        raise CorruptTrajectoryError(
            f"{folder / MANIFEST}: format is {about.get('imported')!r}; this version reads {FORMAT_VERSION}"
        )
    return ImportedRankings(folder, about)


def imported_names(store: Path | str) -> list[str]:
    """Names of all imported teachers in a store."""
    return [entry.name for entry in entries_of(Path(store), FOLDER)]


def _find(folder: Path) -> ImportedRankings | None:
    try:
        return read_imported(folder.parent.parent, folder.name)
    except (FileNotFoundError, CorruptTrajectoryError):
        return None


def _changing(target: Path) -> Lock:
    """One process at a time puts another entry into the place of one."""
    return Lock(target.parent.parent / LOCKS / f"{FOLDER}-{target.name}.lock", f"import:{target.name}")


def restore_imports(store: Path | str) -> None:
    """Put entries back that killed imports had put aside, or those that were to take their places."""
    for manifest in sorted((Path(store) / FOLDER).glob(f"{TEMPORARY}*/{MANIFEST}")):
        name = _name_in(manifest)
        if name is not None:
            _restore(entry_folder(store, name))


def _restore(target: Path) -> None:
    if target.exists() or not _whole(target):
        return
    with _changing(target):
        for scratch in [] if target.exists() else _whole(target)[-1:]:
            os.rename(scratch, target)


def _whole(target: Path) -> list[Path]:
    """Whole entries beside a place that nobody works on any more, the newest last."""
    found = target.parent.glob(f"{TEMPORARY}{target.name}-*/{MANIFEST}")
    left = [file for file in found if is_abandoned(file.parent) and _name_in(file) == target.name]
    return [file.parent for file in sorted(left, key=lambda file: file.stat().st_mtime)]


def _name_in(manifest: Path) -> str | None:
    try:
        return str(read_json(manifest)["name"])
    except (OSError, DamagedFileError, KeyError):
        return None


def _lists_file(snapshot: int) -> str:
    return f"lists-{snapshot}.int32"
