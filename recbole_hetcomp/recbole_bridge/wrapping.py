"""How functions of other libraries are wrapped: once, and where it matters only for RecBole's own calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_WRAPPED = "_recbole_hetcomp"


def wrap(owner: Any, name: str, wrapper: Callable[[Callable], Callable]) -> None:
    """Put a function, wrapped, where it stands. Harmless when called again.

    Args:
        owner: a module or a class.
        name: of its function.
        wrapper: takes the function, returns what takes its place.
    """
    original = getattr(owner, name)
    if getattr(original, _WRAPPED, False):
        return
    wrapped = wrapper(original)
    setattr(wrapped, _WRAPPED, True)
    setattr(owner, name, wrapped)


def called_by_recbole() -> bool:
    """Whether the function that asks was called from a module of RecBole."""
    return sys._getframe(2).f_globals.get("__name__", "").startswith("recbole.")
