"""Locks between processes that say who holds them; the system frees one when its holder ends, however it ends."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import sys
import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from recbole_hetcomp.files import write_text_whole

_SAID_EVERY = 60.0  # seconds
_COMMAND = 120  # characters of a holder's command that are shown
_held: dict[Path, Lock] = {}


class BusyError(RuntimeError):
    """Another process works on it; the message names the process and what it works on."""


class Lock:
    """One process at a time works on something.

    Within a process work is done in turn, so a second lock on the same file takes it over from the first.

    Args:
        file: the lock's file; who holds it stands beside it.
        what: what is worked on, for messages.
    """

    def __init__(self, file: Path, what: str) -> None:
        self.file, self.what = Path(os.path.abspath(file)), what
        self._holder = self.file.with_name(f"{self.file.name}.holder")
        self._lock: FileLock | None = None

    def acquire(self, wait: bool = True) -> None:
        """Take the lock; while another process holds it, say who, and wait or refuse.

        Args:
            wait: whether to wait for it.

        Raises:
            BusyError: it is held, and is not waited for.
            OSError: the lock's file cannot be made.
        """
        earlier = _held.pop(self.file, None)
        if earlier is not None:
            earlier.release()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(self.file))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise BusyError(f"{self.what}: {self.holder()} works on it") from None
            self._await(lock)
        self._lock, _held[self.file] = lock, self
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "command": shlex.join(sys.argv),
        }
        write_text_whole(self._holder, json.dumps(about))

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._lock is None:
            return
        if _held.get(self.file) is self:
            del _held[self.file]
        self._holder.unlink(missing_ok=True)
        self._lock.release()
        self._lock = None

    def holder(self) -> str:
        """Who holds the lock, as far as is known."""
        try:
            about = json.loads(self._holder.read_text(encoding="utf-8"))
            command = about["command"] if len(about["command"]) <= _COMMAND else about["command"][:_COMMAND] + " …"
            return f"process {about['pid']} on {about['host']} (since {about['since']}: {command})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def __enter__(self) -> Lock:
        """Take the lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self.release()

    def _await(self, lock: FileLock) -> None:
        while True:
            logging.getLogger().warning(f"{self.what}: waiting, {self.holder()} works on it")
            try:
                lock.acquire(timeout=_SAID_EVERY)
            except Timeout:
                continue
            return
