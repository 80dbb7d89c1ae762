"""The property files, files that are there whole or not at all, checksums, the versions that a result depends on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("recbole-hetcomp", "recbole", "torch", "numpy", "scipy", "pandas", "ray")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def properties_dir() -> Path:
    """Where the YAML files are: inside the installed package, or beside it in a checkout or an editable install.

    Raises:
        FileNotFoundError: neither place has them.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "properties", package.parent / "properties"):
        if (folder / "overall.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"the property files are neither in {package / 'properties'} nor in {package.parent / 'properties'}"
    )


def write_whole(target: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under a temporary name beside it and rename it: the old one or the whole new one is there.

    Args:
        target: the file.
        write: writes the content to the path that it is given.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text_whole(target: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_whole(target, lambda path: path.write_text(text, encoding="utf-8"))


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON file's content, or None where there is none that can be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    write_text_whole(file, json.dumps(content, indent=1))


def sha256_of(file: Path) -> str:
    """Checksum of a file.

    Args:
        file: read in pieces, so it may be large.
    """
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def sync_file(path: Path) -> None:
    """See a file's content onto the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make a directory's names durable, where the system can open directories at all (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Free bytes on the disk that holds the nearest existing ancestor of the path."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
