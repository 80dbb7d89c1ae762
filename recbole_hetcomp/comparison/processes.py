"""Runs cells in processes of their own, several at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from recbole_hetcomp import children
from recbole_hetcomp.comparison.folder import LOG, CellFolder, CellSetup
from recbole_hetcomp.comparison.grid import Cell

_TAIL = 20  # lines of a log that an error shows


def cell_command(folder: Path) -> list[str]:
    """The command line that runs the cell of a folder."""
    return [sys.executable, "-m", "recbole_hetcomp.comparison.cells", str(folder)]


class Processes:
    """Runs cells.

    Args:
        root: the benchmark's folder.
        setup: where and how cells work.
        workers: cells at once.
    """

    def __init__(self, root: Path, setup: CellSetup, workers: int) -> None:
        self.root, self.setup, self.workers = root, setup, workers
        self.running: dict[str, subprocess.Popen] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, cells: Iterable[Cell], started: Callable[[Cell], None], ended: Callable[[Cell, bool], None]) -> None:
        """Run cells to their end; when interrupted, end the processes first.

        Args:
            cells: the cells.
            started: called when one starts, from any thread.
            ended: called when one ends, with whether it is done.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = {pool.submit(self._run_one, cell, started): cell for cell in cells}
            try:
                for future in as_completed(waiting):
                    ended(waiting[future], future.result())
            except BaseException:
                self._stop()
                for future in waiting:
                    future.cancel()
                raise

    def _run_one(self, cell: Cell, started: Callable[[Cell], None]) -> bool:
        folder = CellFolder(self.root, cell)
        with self._lock:
            if self._stopped:
                return False
            folder.prepare(self.setup)
            log = open(folder.path / LOG, "a", encoding="utf-8")  # noqa: SIM115 (closed below; the child keeps its own)
            process = subprocess.Popen(
                cell_command(folder.path),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder.path,  # Python looks for modules where it starts: no file of the caller's hides one
                env=self._environment(),
            )
            log.close()
            self.running[cell.key] = process
        started(cell)
        status = process.wait()
        with self._lock:
            del self.running[cell.key]
        if folder.result() is not None:
            return True
        if folder.error() is None and not self._stopped:
            lines = (folder.path / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            folder.fail(f"the process ended with {how} and left no result", "\n".join(lines[-_TAIL:]))
        return False

    def _environment(self) -> dict[str, str]:
        """The environment of a cell: its threads, and where this package is if it is not installed."""
        threads = str(self.setup.threads)
        return children.environment(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            processes = list(self.running.values())
        children.end(processes)
