"""The property files, files that are there whole or not at all, checksums, the versions that a result depends on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_SEAL = "sha256"  # of the rest of a JSON file
_SHA256 = re.compile("[0-9a-f]{64}")
PACKAGES = ("recbole-hetcomp", "recbole", "torch", "numpy", "scipy", "pandas", "ray")


class DamagedFileError(ValueError):
    """A file is there but cannot be trusted; the message names it and what is wrong with it."""


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


@contextmanager
def naming(place: Path | str) -> Iterator[None]:
    """Errors of reading and writing inside name the file or folder, where they name none.

    Raises:
        OSError: one of them.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # as NumPy's
            raise OSError(f"{place}: {error}") from error
        if error.filename is not None or not says_no_more(error):
            raise
        raise OSError(error.errno, error.strerror, str(place)) from error


def says_no_more(error: OSError) -> bool:
    """Whether the system's words are all that an error says."""
    return error.errno is not None and error.strerror == os.strerror(error.errno)


def write_whole(target: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under a temporary name beside it and rename it: the old one or the whole new one is there.

    Args:
        target: the file.
        write: writes the content to the path that it is given.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(target):
            write(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text_whole(target: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_whole(target, lambda path: path.write_text(text, encoding="utf-8"))


def read_json(file: Path) -> dict[str, Any]:
    """The content of a JSON file that :func:`write_json` wrote, its checksum verified.

    A file without a checksum, as earlier versions wrote it, is taken as it is.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it is no JSON, or its content does not match its checksum.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (IsADirectoryError, NotADirectoryError) as error:
        raise DamagedFileError(f"{file} is no file: {error.strerror}") from error
    except ValueError as error:
        raise DamagedFileError(f"{file} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{file} is damaged: it holds no mapping")
    sealed = content.pop(_SEAL, None)
    lost = sealed is None and any(isinstance(value, str) and _SHA256.fullmatch(value) for value in content.values())
    if lost or (sealed is not None and sealed != _checksum(content)):
        raise DamagedFileError(f"{file} is damaged: its content does not match its checksum")
    return content


def find_json(file: Path) -> dict[str, Any] | None:
    """As :func:`read_json`, but None where there is no such file, and where it is damaged, which is said."""
    try:
        return read_json(file)
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        logging.getLogger().warning(f"{error}; it counts as not there")
        return None


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with its checksum, whole or not at all."""
    plain = json.loads(json.dumps(content))  # as it will be read
    write_text_whole(file, json.dumps({**plain, _SEAL: _checksum(plain)}, indent=1))


def finite(content: Any, default: Callable[[Any], Any] | None = None) -> Any:
    """JSON data for other programs, most of which know no NaN and no infinity: null in their places.

    Args:
        content: the data.
        default: as of ``json.dumps``: what becomes of a value that JSON does not know; None: it is refused.

    Raises:
        TypeError: a value is refused.

    >>> finite({"share": float("nan"), "seconds": [1.5, float("inf")]})
    {'share': None, 'seconds': [1.5, None]}
    """
    return json.loads(json.dumps(content, default=default), parse_constant=lambda _: None)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def verify_archive(file: Path | str) -> None:
    """Check every checksum in a file that ``torch.save`` wrote, which torch itself does not.

    Raises:
        FileNotFoundError, PermissionError: it cannot be opened.
        DamagedFileError: it is truncated or altered.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # zipfile raises errors of ten kinds on what is no archive any more
        raise DamagedFileError(f"{file} is damaged: {error}") from error
    if broken is not None:
        raise DamagedFileError(f"{file} is damaged: the checksum of {broken} is wrong")


def write_csv(file: Path, table: Any) -> None:
    """Write a data frame as CSV, whole or not at all; a text that a spreadsheet would take for a formula gets a quote.

    Args:
        file: the file.
        table: a pandas DataFrame; its index is left out.
    """
    texts = {name: table[name].map(_no_formula) for name in table.select_dtypes("object")}
    write_whole(file, lambda path: table.assign(**texts).to_csv(path, index=False))


def _no_formula(value: Any) -> Any:
    """
    >>> _no_formula("=cmd|'/c calc'!A0"), _no_formula("-0.5"), _no_formula("BPR")
    ("'=cmd|'/c calc'!A0", '-0.5', 'BPR')
    """
    if not isinstance(value, str) or value[:1] not in ("=", "+", "-", "@", "\t", "\r"):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


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


def replace_folder(folder: Path, target: Path, aside: Path) -> None:
    """Put a folder in the place of another one, which goes; after an error that one is in its place again.

    Args:
        folder: the new one, on the same disk.
        target: the one that goes.
        aside: an empty folder on the same disk, which goes too.
    """
    os.replace(target, aside)
    try:
        os.rename(folder, target)
    except OSError:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def free_bytes(path: Path) -> int:
    """Free bytes on the disk that holds the nearest existing ancestor of the path."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
