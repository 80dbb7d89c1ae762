"""What all parts share: numbers of the method, timing in turn, and what a part has found."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TEACHERS, SNAPSHOTS, K, K_OBSERVED, T_R, T_S = 6, 4, 100, 10, 10.0, 100.0
TIE = 2e-6  # relative: what float32 leaves of an equality


@dataclass(frozen=True)
class Part:
    """One part's timings and checks.

    Attributes:
        direct: seconds of each repeat of the direct side, scaled to the whole part.
        package: seconds of each repeat of the package, likewise.
        agreement: what was compared, ``agrees`` among it.
        note: share that was timed, and the like.
    """

    direct: list[float]
    package: list[float]
    agreement: dict[str, Any]
    note: str

    @property
    def ratio(self) -> float:
        """Median direct time over median package time."""
        return statistics.median(self.direct) / statistics.median(self.package)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def timed_in_turn(
    sides: Mapping[str, Callable[[], tuple[float, Any]]], repeats: int, scale: float = 1.0
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time all sides, one after the other, several times.

    Args:
        sides: each gives its seconds and its answer, as :func:`timed` does.
        repeats: how often.
        scale: from what is timed to the whole part.

    Returns:
        Scaled seconds of each repeat of a side, and each side's last answer.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, Any] = {}
    for _ in range(repeats):
        for name, side in sides.items():
            taken, answers[name] = side()
            seconds[name].append(taken * scale)
    return seconds, answers


def keep_freed_memory() -> None:
    """Make glibc keep freed memory: large temporaries then cost no page faults, of which the direct side has many.

    Raises:
        OSError: where the C library is not glibc.
    """
    library = ctypes.CDLL("libc.so.6")
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**30)):
        library.mallopt(option, value)
