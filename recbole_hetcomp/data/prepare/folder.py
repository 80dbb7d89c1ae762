"""An output folder that appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_hetcomp.files import naming, replace_folder
from recbole_hetcomp.locks import Lock


def check_free(target: Path, mark: str, overwrite: bool) -> None:
    """Refuse a target that may not be written.

    Args:
        target: the folder to be.
        mark: name of a file that shows that a folder there was made by this tool.
        overwrite: whether such a folder may be replaced.

    Raises:
        FileExistsError: something is there.
    """
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise FileExistsError(f"{target} exists; --overwrite replaces it")
    if target.is_symlink() or not (target / mark).is_file():
        raise FileExistsError(
            f"{target} exists and holds no {mark}, so it is not replaced: it was not made by this tool"
        )


@contextmanager
def whole_folder(target: Path, mark: str, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place when the block ends without an error.

    Raises:
        FileExistsError: something is at the target that may not be replaced, see :func:`check_free`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16]
    with Lock(Path(tempfile.gettempdir()) / f"hetcomp-prepare-{place}.lock", f"data set {target}"):
        _restore(target, mark)
        yield from _whole_folder(target, mark, overwrite)


def _restore(target: Path, mark: str) -> None:
    """Put back what a killed run had put aside, and delete what it left half-written."""
    for old in sorted(target.parent.glob(f".{target.name}.old.*")):
        if not os.path.lexists(target) and (old / mark).is_file():
            os.replace(old, target)
    for left in target.parent.glob(f".{target.name}.*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def _whole_folder(target: Path, mark: str, overwrite: bool) -> Iterator[Path]:
    check_free(target, mark, overwrite)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with naming(target):
            yield temporary
        temporary.chmod(0o755)
        _publish(temporary, target, mark, overwrite)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, target: Path, mark: str, overwrite: bool) -> None:
    check_free(target, mark, overwrite)
    if not target.exists():
        os.rename(temporary, target)
        return
    replace_folder(temporary, target, Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent)))
