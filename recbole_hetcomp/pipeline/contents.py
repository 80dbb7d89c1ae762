"""Checksums of what a step reads and writes: files, and folders with all that is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from recbole_hetcomp.files import sha256_of


def checksum(path: Path) -> str | None:
    """SHA-256 of a file; of a folder, of its files' names and contents; None where there is neither.

    Hidden files (locks, what is being written) do not count.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     made = Path(home) / "a.txt"
    ...     before = checksum(Path(home))
    ...     _ = made.write_text("a")
    ...     checksum(made) == sha256_of(made), checksum(Path(home)) == before, checksum(Path(home) / "b.txt")
    (True, False, None)
    """
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            digest.update(f"{name.as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def checksums(folder: Path, paths: Iterable[str]) -> dict[str, str | None]:
    """Of several paths from a folder, {path: checksum}."""
    return {path: checksum(folder / path) for path in paths}
