"""The code of what comes from outside of the package and of RecBole: another code is another model."""

from __future__ import annotations

import functools
import inspect
import uuid
from pathlib import Path
from typing import Any

from recbole_hetcomp.files import sha256_of
from recbole_hetcomp.recbole_bridge.registry import registered

_OURS = ("recbole_hetcomp.", "recbole.")


def code_of(kind: Any) -> str:
    """Checksum of the file that a class is written in.

    One without a file (typed into a session) has another one in each process, so that nothing stored is taken for its
    work.
    """
    try:
        file = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        return _of_this_process(repr(kind))
    return sha256_of(file)[:16] if file.is_file() else _of_this_process(repr(kind))


@functools.cache
def _of_this_process(name: str) -> str:
    return uuid.uuid4().hex[:16]


def outside_code(*names: str) -> dict[str, str]:
    """The code of those of the named models that somebody has registered, by name; empty for ours and RecBole's."""
    known = registered()
    return {
        name: code_of(known[name].model)
        for name in names
        if name in known and not known[name].model.__module__.startswith(_OURS)
    }
