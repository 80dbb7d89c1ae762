"""A trajectory store at a URI, for nodes that share no folder: each node works on a copy of what it needs.

Trajectories are mapped from files, so they must lie on a node's own disk. An entry is never changed once it is there:
what one side lacks is copied to it, the manifest last, and a copy appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from recbole_hetcomp.extras import require
from recbole_hetcomp.trajectories.entry import MANIFEST, TEMPORARY, entries_of, temporary_beside


def is_uri(place: Any) -> bool:
    """Whether a store is given as a URI.

    >>> is_uri("s3://bucket/store"), is_uri("saved/trajectories")
    (True, False)
    """
    return isinstance(place, str) and "://" in place


def local_copy(uri: str) -> Path:
    """The folder on each node that mirrors the store."""
    name = hashlib.sha256(uri.encode()).hexdigest()[:12]
    return Path.home() / ".cache" / "recbole-hetcomp" / f"store-{name}"


def fetch(uri: str | None, folder: Path) -> int:
    """Copy entries that only the URI has; how many.

    Args:
        uri: the store, any that pyarrow's file systems read; None: nothing to do.
        folder: the node's copy.
    """
    if uri is None:
        return 0
    files, root = _open(uri)
    from pyarrow.fs import LocalFileSystem, copy_files

    copied = 0
    for entry in sorted(_remote_entries(files, root) - _local_entries(folder)):
        target = folder / entry
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(target) as temporary:
            try:
                copy_files(
                    f"{root}/{entry}", str(temporary), source_filesystem=files, destination_filesystem=LocalFileSystem()
                )
                os.rename(temporary, target)
                copied += 1
            except OSError:
                if not target.exists():  # another process of this node was faster otherwise
                    raise
    return copied


def publish(uri: str | None, folder: Path) -> int:
    """Copy entries that only this node has; how many.

    Args:
        uri: the store; None: nothing to do.
        folder: the node's copy.
    """
    if uri is None:
        return 0
    files, root = _open(uri)
    entries = sorted(_local_entries(folder) - _remote_entries(files, root))
    for entry in entries:
        files.create_dir(f"{root}/{entry}", recursive=True)
        names = sorted((file.name for file in (folder / entry).iterdir()), key=lambda name: (name == MANIFEST, name))
        for name in names:
            with (
                files.open_output_stream(f"{root}/{entry}/{name}") as target,
                (folder / entry / name).open("rb") as source,
            ):
                shutil.copyfileobj(source, target)
    return len(entries)


def _open(uri: str) -> tuple[Any, str]:
    """A URI's file system and path in it; fsspec's where pyarrow has none of its own.

    Raises:
        ValueError: no file system is known for it.
    """
    require(uri, "pyarrow")
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        return FileSystem.from_uri(uri)
    except ArrowInvalid:
        import fsspec

        files, path = fsspec.core.url_to_fs(uri)
        return PyFileSystem(FSSpecHandler(files)), path


def _remote_entries(files: Any, root: str) -> set[str]:
    from pyarrow.fs import FileSelector

    found = files.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    paths = [info.path for info in found if info.base_name == MANIFEST]
    return {"/".join(path.split("/")[-3:-1]) for path in paths if not path.split("/")[-2].startswith(TEMPORARY)}


def _local_entries(folder: Path) -> set[str]:
    return {"/".join(entry.parts[-2:]) for entry in entries_of(folder)}
