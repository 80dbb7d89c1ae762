"""What a store holds: trained and imported teachers, how large and how old they are, and which ones go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_hetcomp.file_errors import check_folder
from recbole_hetcomp.trajectories.entry import LOCKS, TEMPORARY
from recbole_hetcomp.trajectories.imported import FOLDER, imported_names, read_imported, restore_imports
from recbole_hetcomp.trajectories.scratch import is_abandoned
from recbole_hetcomp.trajectories.store import TrajectoryStore
from recbole_hetcomp.trajectories.trajectory import CorruptTrajectoryError


@dataclass(frozen=True)
class StoredTeacher:
    """One entry of a store.

    Attributes:
        name: what it is called here: ``import:NAME``, or its folder's name.
        folder: where it is.
        imported: whether it was imported.
        bytes: its size on disk.
        made: when it was made, in seconds.
    """

    name: str
    folder: Path
    imported: bool
    bytes: int
    made: float


def stored_teachers(root: Path | str) -> list[StoredTeacher]:
    """All entries of a store, the oldest first.

    Raises:
        ValueError: a file, or a link to nothing, is where the store should be.
    """
    check_folder("store_dir", str(root))
    found = [_entry(folder.name, folder, False) for folder in TrajectoryStore(root).entries()]
    found += [_entry(f"import:{name}", Path(root) / FOLDER / name, True) for name in imported_names(root)]
    return sorted(found, key=lambda entry: (entry.made, entry.name))


def _entry(name: str, folder: Path, imported: bool) -> StoredTeacher:
    sizes = [file.stat().st_size for file in folder.iterdir() if file.is_file()]
    return StoredTeacher(name, folder, imported, sum(sizes), (folder / "manifest.json").stat().st_mtime)


def find(entries: Sequence[StoredTeacher], named: str) -> StoredTeacher:
    """The one entry that a name, the beginning of one, or a path means.

    Raises:
        ValueError: none, or more than one.
    """
    exact = [entry for entry in entries if named in (entry.name, str(entry.folder))]
    close = exact or [entry for entry in entries if entry.name.startswith(named)]
    if len(close) == 1:
        return close[0]
    among = ", ".join(str(entry.folder) for entry in close[:5]) if close else ", ".join(e.name for e in entries[:20])
    raise ValueError(
        f"{named!r} names {len(close) or 'no'} entries of the store; "
        + (f"it may be {among}" if close else f"it has {among or 'none'}")
    )


def to_clean(
    entries: Sequence[StoredTeacher], older_than: float | None = None, keep_bytes: int | None = None
) -> list[StoredTeacher]:
    """Entries that go, the oldest first.

    Args:
        entries: all of them, the oldest first.
        older_than: seconds; those made longer ago go.
        keep_bytes: as many of the oldest go as leave no more than this.
    """
    now, left = time.time(), sum(entry.bytes for entry in entries)
    gone = []
    for entry in entries:
        old = older_than is not None and now - entry.made > older_than
        if old or (keep_bytes is not None and left > keep_bytes):
            gone.append(entry)
            left -= entry.bytes
    return gone


@dataclass(frozen=True)
class EntryState:
    """What a check of a store says of a folder in it.

    Attributes:
        folder: the folder.
        verdict: ``ok``, ``DAMAGED``, or ``LEFT`` by a killed run.
        about: its size, or what is wrong with it.
    """

    folder: Path
    verdict: str
    about: str


def check_store(root: Path | str) -> list[EntryState]:
    """Every entry of a store, read whole, and what killed runs have left, by folder.

    A folder that is no entry and no scratch of a run is damaged: its manifest is gone. An import that was killed while
    it took the place of another one is put into that place first.
    """
    check_folder("store_dir", str(root))
    restore_imports(root)
    found = []
    for folder in sorted(Path(root).glob("*/*")):
        if folder.parent.name == LOCKS or not (folder.is_dir() or folder.is_symlink()):
            continue
        if not (folder.name.startswith(TEMPORARY) or folder.parent.name == "spool"):
            found.append(check_entry(root, folder))
        elif is_abandoned(folder):
            found.append(EntryState(folder, "LEFT", "scratch of a run that was killed"))
    return found


def check_entry(root: Path | str, folder: Path) -> EntryState:
    """One entry of a store, trained or imported, read whole."""
    try:
        if folder.parent.name == FOLDER:
            read_imported(root, folder.name).verify()
            return EntryState(folder, "ok", "imported")
        trajectory, weights = TrajectoryStore(root).open(folder), TrajectoryStore(root).weights(folder)
    except (CorruptTrajectoryError, ValueError, OSError) as error:
        return EntryState(folder, "DAMAGED", str(error))
    snapshots, users, length = trajectory.unobserved.shape
    about = f"{snapshots} snapshots x {users} users x {length} items, epochs {trajectory.epochs}"
    return EntryState(folder, "ok", about + (", weights" if weights is not None else ""))
