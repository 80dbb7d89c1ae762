"""The export in a folder, and each one that takes its place: read and verified whole before it is served."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from recbole_hetcomp.file_errors import in_words
from recbole_hetcomp.serving.exported import read
from recbole_hetcomp.serving.service.ranking import Ranker

EVERY = 1.0
"""Seconds between two looks at the folder."""

Signature = tuple[object, ...]
_log = logging.getLogger("uvicorn.error")  # the service's own log


@dataclass(frozen=True)
class Served:
    """An export that requests are answered from.

    Attributes:
        ranker: the export, in memory.
        since: when it was taken up.
    """

    ranker: Ranker
    since: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


class Watched:
    """What is served out of a folder. Requests take :attr:`current` once; the watching thread replaces it.

    A link that is set anew, a folder put in the place of another, and files replaced one by one are all seen; while
    what lies there is not whole, the export before is served on.

    Args:
        folder: an export, or a link to one.
        on_change: called with True when another export was taken up, and with False when one was refused.

    Raises:
        FileNotFoundError: there is no such folder.
        DamagedFileError: it holds no export, or a damaged one.
    """

    def __init__(self, folder: Path, on_change: Callable[[bool], None] = lambda taken: None) -> None:
        self.folder = folder
        self.reloads = 0
        self.refused: str | None = None
        self.on_change = on_change
        self._seen = signature(folder)
        self.current = Served(Ranker(read(folder)))
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, every: float = EVERY) -> None:
        """Begin to watch, in a thread.

        Args:
            every: seconds between two looks.
        """
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, args=(every,), name="export", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self) -> None:
        """Take up what lies in the folder if it is not what lay there at the last look."""
        found = signature(self.folder)
        if found == self._seen:
            return
        try:
            ranker = Ranker(read(self.folder))
        except Exception as error:  # whatever it is, the export before is served on
            self._refuse(in_words(error) if isinstance(error, OSError) else str(error) or type(error).__name__)
        else:
            self._take(ranker)
        self._seen = found  # as it was before it was read: what changed meanwhile is seen at the next look

    def _take(self, ranker: Ranker) -> None:
        before, self.refused = self.current.ranker.id, None
        if ranker.id == before:  # the same again
            return
        self.current = Served(ranker)
        self.reloads += 1
        self.on_change(True)
        _log.info(f"export {ranker.id} takes the place of {before}")

    def _refuse(self, why: str) -> None:
        self.refused = why
        self.on_change(False)
        _log.warning(f"export {self.current.ranker.id} is served on; what lies there now is refused: {why}")

    def _watch(self, every: float) -> None:
        while not self._ended.wait(every):
            self.look()


def signature(folder: Path) -> Signature:
    """What tells two states of a folder apart: where a link leads, and names, sizes, times and numbers of its files."""
    try:
        with os.scandir(folder) as entries:
            files = sorted((entry.name, _state(entry)) for entry in entries)
        return (os.path.realpath(folder), *files)
    except OSError as error:
        return (error.errno,)


def _state(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    state = entry.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino
