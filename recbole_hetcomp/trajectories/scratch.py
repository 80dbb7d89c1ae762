"""Scratch folders of a store: in use while the process that made them lives, and deleted by the next one after it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ABANDONED_AFTER_SECONDS = 24 * 3600  # a validation of a teacher that trains may take hours


class Scratch:
    """A new folder that is deleted at the end, and known to be left behind if this process does not get there.

    The folder itself is locked (``flock``), so the system says whether its process still lives. It may be renamed.

    Args:
        parent: the folder that it is made in, which exists.
        prefix: begins its name.

    Attributes:
        folder: the folder.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{_here()}-", dir=parent))
            try:
                self._held = _lock(self.folder)
            except (BlockingIOError, FileNotFoundError):  # another process is just deleting it: it looked abandoned
                continue
            if self.folder.exists():
                return
            self._release()

    def __enter__(self) -> Path:
        """Return the folder."""
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete it, if it is still there."""
        self.close()

    def close(self) -> None:
        """Delete the folder, if it has not been renamed; a second call does nothing."""
        if self._held != _CLOSED:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._release()

    def _release(self) -> None:
        if self._held is not None and self._held != _CLOSED:
            os.close(self._held)
        self._held = _CLOSED


def is_abandoned(folder: Path) -> bool:
    """Whether the process that made a scratch folder has ended.

    Of one that another machine made, or that cannot be locked here: whether nobody has written into it for a day.
    """
    try:
        if f"-{_here()}-" in folder.name:
            held = _lock(folder)
            if held is not None:
                os.close(held)
                return True
        return time.time() - folder.lstat().st_mtime > _ABANDONED_AFTER_SECONDS
    except BlockingIOError:
        return False
    except FileNotFoundError:  # its process has just finished
        return False


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Delete the scratch folders in a folder whose processes were killed."""
    for scratch in folder.glob(pattern):
        if is_abandoned(scratch):
            shutil.rmtree(scratch, ignore_errors=True)


_CLOSED = -1


def _here() -> str:
    """This machine, or container, in the name of a folder: locks are not seen from others on every file system."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _lock(folder: Path) -> int | None:
    """Lock a folder; the descriptor that holds the lock, None where folders cannot be locked.

    Raises:
        BlockingIOError: another process holds it.
        FileNotFoundError: there is no such folder.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a network's file system
        os.close(descriptor)
        return None
    return descriptor
