"""SIGTERM ends a command as Ctrl-C does: in order, with its children; the exit status says which of them it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143  # exit statuses: 128 and the signal's number
_seen = {"terminated": False}
_active = {"handler": False}


@contextmanager
def ending_in_order() -> Iterator[None]:
    """While the context lasts, SIGTERM does what SIGINT does. Only a main thread can have signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _seen["terminated"] = False
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    _active["handler"] = True
    try:
        yield
    finally:
        _active["handler"] = False
        signal.signal(signal.SIGTERM, before)


def take_back() -> None:
    """Handle SIGTERM again, inside of :func:`ending_in_order`: Ray, which RecBole imports, takes it over on import."""
    if _active["handler"] and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _as_interrupt)


@contextmanager
def handler_kept() -> Iterator[None]:
    """Put back who handles SIGTERM: starting Ray takes it over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted_status() -> int:
    """The exit status of a command that was interrupted: by SIGTERM, or by Ctrl-C."""
    return TERMINATED if _seen["terminated"] else INTERRUPTED


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    _seen["terminated"] = True
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # a shell starts what is in the background with SIGINT ignored
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
