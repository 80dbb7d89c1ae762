"""What a block changes for others too (the environment, imported modules), and leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def entry_kept(mapping: MutableMapping[str, Any], key: str) -> Iterator[None]:
    """Put back what a mapping has under a key, or that it has nothing there.

    >>> settings = {"encoding": "utf-8"}
    >>> with entry_kept(settings, "encoding"), entry_kept(settings, "separator"):
    ...     settings.update(encoding="latin-1", separator=",")
    >>> settings
    {'encoding': 'utf-8'}
    """
    held, before = key in mapping, mapping.get(key)
    try:
        yield
    finally:
        if held:
            mapping[key] = before
        else:
            mapping.pop(key, None)
