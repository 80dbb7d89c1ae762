"""How many threads torch computes with: by the size of the work, the allowed processors, and those that are free.

Threads of one operation wait for the slowest of them. Where other processes use the processors too, a thread waits for
its turn in every operation, while the others spin: small steps get ten times slower than with one thread. So small work
has one thread, large work as many as processors are free, chosen anew before each epoch, and whoever waits sleeps soon.
Measured: docs/performance.md.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

NUMBER = "OMP_NUM_THREADS"
"""Of the environment: who sets it gets as many threads, whatever the work."""

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Of the environment: how long a thread that waits for others spins before it sleeps; who sets one decides."""

_SPINS = "10000"  # of GNU's library; its own 300,000 are 10 ms, in which nobody else has the processor
_MILLISECONDS = "1"  # of LLVM's and Intel's, whose own are 200

WORK_OF_A_THREAD = 2**23
"""Multiply-adds of a step for which a thread pays: some milliseconds."""

_ELEMENTWISE = 10  # multiply-adds that take as long as what is done to one score, or to one parameter by the optimizer
_NEARLY_FREE = 0.3  # of a processor that may be in use where a thread is still given it
_WATCHED = 0.2  # seconds over which a processor's use is looked at, at least


def let_waiting_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell the thread library not to spin for long. It reads this when torch is loaded, so commands begin with it.

    Args:
        environment: is changed, unless one of :data:`WAITING` is in it.

    >>> environment = {}
    >>> let_waiting_threads_sleep(environment)
    >>> environment
    {'GOMP_SPINCOUNT': '10000', 'KMP_BLOCKTIME': '1'}
    >>> environment = {"OMP_WAIT_POLICY": "PASSIVE"}
    >>> let_waiting_threads_sleep(environment)
    >>> environment
    {'OMP_WAIT_POLICY': 'PASSIVE'}
    """
    if not any(name in environment for name in WAITING):
        environment.update(GOMP_SPINCOUNT=_SPINS, KMP_BLOCKTIME=_MILLISECONDS)


def work_of_scores(rows: int, items: int, dimension: int) -> int:
    """Multiply-adds of a step that scores items for a batch of users by a dot product, and takes their exponentials.

    >>> work_of_scores(128, 1682, 8) // WORK_OF_A_THREAD, work_of_scores(128, 25181, 6) // WORK_OF_A_THREAD
    (0, 6)
    """
    return rows * items * (dimension + _ELEMENTWISE)


def work_of_model(model: Any, rows: int) -> int:
    """Multiply-adds of a step of any model: its dense layers on each row, its optimizer on each parameter.

    Args:
        model: a torch module.
        rows: of a batch.

    >>> import torch
    >>> work_of_model(torch.nn.Linear(100, 10), rows=64)
    74100
    """
    from torch import nn

    dense = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    return rows * dense + _ELEMENTWISE * sum(parameter.numel() for parameter in model.parameters())


def threads_for(work: int, most: int, free: float) -> int:
    """Threads for steps of some work.

    Args:
        work: multiply-adds of a step.
        most: threads that may be had.
        free: processors that nobody else uses.

    >>> threads_for(2**22, most=8, free=8.0), threads_for(2**30, most=8, free=8.0), threads_for(2**30, most=8, free=2.5)
    (1, 8, 2)
    """
    return max(1, min(most, work // WORK_OF_A_THREAD, int(free + _NEARLY_FREE)))


class Processors:
    """The processors that this process may use, and how many of them others leave free."""

    def __init__(self) -> None:
        self._before = self._idle()
        self._free: float | None = None

    @property
    def allowed(self) -> int:
        """Processors by affinity and a container's share."""
        import joblib

        return joblib.cpu_count()

    def free(self) -> float:
        """Processors that no other process has used since the last call; looks for a moment where that was just now."""
        elapsed = time.monotonic() - self._before[0]
        if elapsed < _WATCHED and self._free is not None:
            return self._free
        time.sleep(max(0.0, _WATCHED - elapsed))
        before, self._before = self._before, self._idle()
        elapsed, idle, own = (now - then for now, then in zip(self._before, before))
        self._free = (idle + own) / elapsed
        return self._free

    @staticmethod
    def _idle() -> tuple[float, float, float]:
        """Seconds: now; for which processors that may be used have been idle; that this process has used."""
        import psutil

        each = psutil.cpu_times(percpu=True)
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
        chosen = [each[number] for number in usable if number < len(each)]
        return time.monotonic(), sum(one.idle + getattr(one, "iowait", 0.0) for one in chosen), time.process_time()


_processors: Processors | None = None


def processors() -> Processors:
    """The one observer of this process's processors."""
    global _processors
    if _processors is None:
        _processors = Processors()
    return _processors


class Threads:
    """Sets torch's threads for a piece of work, says so in the log, and puts back what was.

    Never more than torch had before: who calls ``torch.set_num_threads`` sets a limit, as does a machine's affinity or
    a container's share. With ``OMP_NUM_THREADS`` in the environment nothing is changed.

    Args:
        work: multiply-adds of a step.
        title: whose work it is, for the log.
        on_processors: False where the steps run on a GPU; nothing is changed then.
    """

    def __init__(self, work: int, title: str, on_processors: bool = True) -> None:
        self.work, self.title = work, title
        self.fixed = NUMBER in os.environ or not on_processors
        self.on_processors = on_processors
        self.before = self.now = 0

    def __enter__(self) -> Threads:
        import torch

        self.before = torch.get_num_threads()
        if self.on_processors and self.fixed:
            self._say(self.before, f"{NUMBER} is set")
        self.choose()
        return self

    def choose(self) -> None:
        """Choose anew, by the processors that are free now."""
        if self.fixed:
            return
        import torch

        most = min(self.before, processors().allowed)
        enough = threads_for(self.work, most, most)
        free = processors().free() if enough > 1 else float(most)
        chosen = threads_for(self.work, most, free)
        torch.set_num_threads(chosen)
        if chosen != self.now:
            reason = "its steps are small" if enough == 1 and most > 1 else f"{free:.1f} of {most} processors are free"
            self._say(chosen, "no more are allowed" if most == 1 else reason)
        self.now = chosen

    def _say(self, number: int, why: str) -> None:
        level = logging.DEBUG if self.now else logging.INFO  # changes are many where others come and go
        logging.getLogger().log(level, f"{self.title}: {number} thread{'s' if number > 1 else ''}, as {why}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.fixed:
            import torch

            torch.set_num_threads(self.before)
