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
import os
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from recbole_hetcomp.files import sha256_of, sync_directory, sync_file
from recbole_hetcomp.trajectories.entry import (
    MANIFEST,
    TEMPORARY,
    check_name,
    delete,
    entries_of,
    temporary_beside,
)
from recbole_hetcomp.trajectories.imported import FOLDER as IMPORTED_FOLDER
from recbole_hetcomp.trajectories.mapped import map_tensors
from recbole_hetcomp.trajectories.scratch import remove_abandoned
from recbole_hetcomp.trajectories.spool import cannot_store
from recbole_hetcomp.trajectories.trajectory import CorruptTrajectoryError, Trajectory
from recbole_hetcomp.trajectories.weights import WEIGHTS, KeptWeights, read_weights, write_weights

FORMAT_VERSION = 1

_TENSORS = "trajectory.safetensors"


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
        folder = check_name("name", name.replace(":", "-"))  # import:llm; not every system's file names take a colon
        return self.root / check_name("fingerprint", fingerprint) / f"{folder}-{self.key(fingerprint, name, settings)}"

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
        manifest = _read_manifest(entry / MANIFEST)
        expected = {"fingerprint": fingerprint, "name": name, "settings": settings}
        for label, value in expected.items():
            if _canonical(manifest[label]) != _canonical(value):
                raise CorruptTrajectoryError(f"{entry / MANIFEST}: {label} is {manifest[label]!r}; expected {value!r}")
        return self.open(entry)

    def entries(self) -> list[Path]:
        """Directories of all entries, whatever data and settings they belong to; none while one is written."""
        return [entry for entry in entries_of(self.root) if entry.parent.name != IMPORTED_FOLDER]

    def open(self, entry: Path) -> Trajectory:
        """The trajectory in an entry's directory, verified and mapped as by `read`.

        Raises:
            CorruptTrajectoryError: if the entry is truncated or altered.
        """
        manifest = _read_manifest(entry / MANIFEST)
        _verify_file(entry / _TENSORS, manifest["bytes"], manifest["sha256"])
        try:
            return Trajectory(
                **map_tensors(entry / _TENSORS),
                epochs=tuple(manifest["epochs"]),
                scores=tuple(manifest["scores"]),
                settings=manifest["settings"],
                info=manifest["info"],
                file=entry / _TENSORS,
            )
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            raise CorruptTrajectoryError(f"{entry / _TENSORS}: not a trajectory: {error}") from error

    def weights(self, entry: Path) -> KeptWeights | None:
        """The weights that were kept in an entry's directory, verified, or None where there are none.

        Raises:
            CorruptTrajectoryError: if the entry's manifest or its weights are truncated or altered.
        """
        if not (entry / MANIFEST).exists():
            return None
        manifest = _read_manifest(entry / MANIFEST)
        kept = manifest.get("weights")
        if kept is None:
            return None
        _verify_file(entry / WEIGHTS, kept["bytes"], kept["sha256"])
        return read_weights(entry, manifest["settings"], kept["sha256"])

    def seconds(self, fingerprint: str) -> dict[str, tuple[float, int | None]]:
        """How long stored models of some data took: name → seconds and epochs at most, of the newest of each name."""
        found: dict[str, tuple[float, int | None]] = {}
        manifests = [entry / MANIFEST for entry in entries_of(self.root, fingerprint)]
        for file in sorted(manifests, key=lambda file: file.stat().st_mtime):
            try:
                content = _read_manifest(file)
                found[str(content["name"])] = float(content["info"]["seconds"]), content["settings"].get("epochs")
            except (CorruptTrajectoryError, AttributeError, KeyError, TypeError, ValueError):
                continue  # found when it is to be used
        return found

    def write(
        self,
        fingerprint: str,
        name: str,
        settings: dict[str, Any],
        trajectory: Trajectory,
        weights: KeptWeights | None = None,
    ) -> Path:
        """Store a trajectory, whole or not at all.

        An entry that is already there and sound is kept: it was made from the same data and settings. One
        that is corrupt is put aside first (`quarantine`).

        Args:
            fingerprint: of the data.
            name: the teacher's.
            settings: all that decides it besides the data.
            trajectory: what it ranked.
            weights: what it has learnt, where that is to be kept.

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
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(entry.parent, f"{TEMPORARY}{entry.name}-*")
            with temporary_beside(entry) as temporary:
                _write_entry(temporary, tensors, content, weights)
                self._publish(temporary, entry, fingerprint, name, settings)
        except (OSError, SafetensorError) as error:
            kept = {} if weights is None else weights.state
            raise cannot_store(entry, {**tensors, **kept}, error) from error
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
        delete(entry)
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
                sync_directory(entry.parent)
                return
            try:
                if self.read(fingerprint, name, settings) is not None:
                    return
            except CorruptTrajectoryError:
                self.quarantine(fingerprint, name, settings)


def _write_entry(
    directory: Path, tensors: dict[str, Tensor], content: dict[str, Any], weights: KeptWeights | None
) -> None:
    """Write an entry's files and see them onto the disk."""
    save_file(tensors, str(directory / _TENSORS))
    sync_file(directory / _TENSORS)
    kept = {} if weights is None else {"weights": _size_and_checksum(write_weights(directory, weights))}
    manifest = {"format": FORMAT_VERSION, **content, **kept, **_size_and_checksum(directory / _TENSORS)}
    manifest["checksum"] = _checksum(manifest)
    text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")
    sync_file(directory / MANIFEST)
    directory.chmod(0o755)  # mkdtemp's 0o700 would keep other users of a shared store out
    sync_directory(directory)


def _size_and_checksum(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, verified against its own checksum."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise CorruptTrajectoryError(f"{path}: unreadable: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT_VERSION:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise CorruptTrajectoryError(f"{path}: format is {found!r}; this version reads {FORMAT_VERSION}")
    if manifest.pop("checksum", None) != _checksum(manifest):
        raise CorruptTrajectoryError(f"{path}: altered: its content does not match its checksum")
    return manifest


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _verify_file(path: Path, size: int, sha256: str) -> None:
    """Raise CorruptTrajectoryError unless the file has this size and checksum."""
    try:
        found = path.stat().st_size
        if found != size:
            raise CorruptTrajectoryError(f"{path}: truncated or extended: {found} bytes; expected {size}")
        if sha256_of(path) != sha256:
            raise CorruptTrajectoryError(f"{path}: altered: its content does not match the manifest's sha256")
    except OSError as error:
        raise CorruptTrajectoryError(f"{path}: unreadable: {error}") from error


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest).encode()).hexdigest()


def _canonical(data: Any) -> str:
    """One JSON text for one content, whatever the order of its keys."""
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{data!r} cannot be stored: {error}; allowed: plain JSON data, finite numbers") from error
