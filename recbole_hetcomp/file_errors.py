"""What goes wrong with files, in words: which one it is, and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from recbole_hetcomp.files import free_bytes, says_no_more

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT}


def check_folder(name: str, value: str) -> None:
    """Refuse a setting that names a folder where none can be made or written into.

    Args:
        name: the setting.
        value: its value; an URI is not looked at.

    Raises:
        ValueError: names the setting, the value and what is in the way.
    """
    if "://" in value:
        return
    place = Path(value).absolute()
    hindrance = _hindrance(place)
    if hindrance:
        raise ValueError(f"{name}={value!r} is not allowed: {hindrance}")
    nearest = next(part for part in (place, *place.parents) if part.is_dir())
    if not os.access(nearest, os.X_OK | (os.R_OK if nearest == place else os.W_OK)):
        raise ValueError(f"{name}={value!r} is not allowed: no permission in {nearest}")


def in_words(error: OSError) -> str:
    """An error with its file's name and a remedy; one that has words of its own as it is."""
    named = error.filename2 if error.filename2 is not None else error.filename
    if error.errno is None or not says_no_more(error) or named is None:
        return str(error)
    place = Path(os.fsdecode(named))
    if error.errno in _NO_ROOM:
        return f"no room for {place}: {_free(place)} bytes are free on its disk; free some, or choose another place"
    if error.errno == errno.EFBIG:
        return f"{place} would be larger than this process may write; raise the limit (ulimit -f)"
    if error.errno in _NOT_ALLOWED:
        return f"no permission for {place}; change its rights, or choose another place"
    if error.errno in _IN_THE_WAY:
        hindrance = _hindrance(place.absolute())
        if hindrance:
            return hindrance
        if error.errno == errno.EISDIR:
            return f"{place} is a folder, and a file is wanted there: move it away, or choose another place"
        if error.errno == errno.ENOENT:
            return f"{place} does not exist"
    return f"{place}: {error.strerror}"


def _hindrance(place: Path) -> str:
    """What lies on the way to a folder, or in its place, and is none; nothing where nothing does."""
    for part in (*reversed(place.parents), place):
        if part.is_symlink() and not part.exists():
            return f"{part} is a link to {os.readlink(part)}, which is not there: make that, or delete the link"
        if part.exists() and not part.is_dir():
            return f"{part} is a file, and a folder is wanted there: move it away, or choose another place"
    return ""


def _free(place: Path) -> int | str:
    try:
        return free_bytes(place)
    except OSError:
        return "no known number of"
