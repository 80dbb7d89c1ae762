"""Processes that a command starts: how they find this package, and how they are ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_PATIENCE = 10.0  # seconds that a process has to end when it is told to


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that imports this package, installed or not.

    Args:
        more: variables that win over those of this process.
    """
    package = str(Path(__file__).resolve().parents[1])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = os.pathsep.join([package, *map(os.path.abspath, given)])
    return {**os.environ, "PYTHONPATH": path, **more}


def end(processes: Sequence[subprocess.Popen]) -> None:
    """Tell processes to end, wait for them, and end those by force that take too long."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
