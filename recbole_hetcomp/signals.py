"""SIGTERM ends a command as Ctrl-C does: in order, with its children; the exit status says which of them it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143  # exit statuses: 128 and the signal's number
_TAKEN_BY_RAY = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]


@dataclass
class _State:
    depth: int = 0  # contexts of ending_in_order that last
    terminated: bool = False


_state = _State()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """While the context lasts, SIGTERM does what SIGINT does. Only a main thread can have signals."""
    if not _in_main_thread():
        yield
        return
    with handlers_kept():
        if not _state.depth:
            _state.terminated = False
        _state.depth += 1
        signal.signal(signal.SIGTERM, _as_interrupt)
        try:
            yield
        finally:
            _state.depth -= 1


def take_back() -> None:
    """Handle SIGTERM again, inside of :func:`ending_in_order`: Ray, which RecBole imports, takes it over on import."""
    if _state.depth and _in_main_thread():
        signal.signal(signal.SIGTERM, _as_interrupt)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back who handles signals: starting Ray takes SIGTERM over, and its sweeps keep Ctrl-C for themselves."""
    before = {number: signal.getsignal(number) for number in _TAKEN_BY_RAY}
    try:
        yield
    finally:
        if _in_main_thread():
            for number, handler in before.items():
                if handler is not None:  # one that is not Python's
                    signal.signal(number, handler)


def interrupted_status() -> int:
    """The exit status of a command that was interrupted: by SIGTERM, or by Ctrl-C."""
    return TERMINATED if _state.terminated else INTERRUPTED


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    _state.terminated = True
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # a shell starts what is in the background with SIGINT ignored
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
