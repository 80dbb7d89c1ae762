"""Text as people's tools write it: with a mark at its start, in another encoding, with any line ends, compressed."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks at the start of a text, and the encoding that each says."""
_GZIP = b"\x1f\x8b"


@contextmanager
def opened(file: Path, encoding: str | None = None) -> Iterator[IO[str]]:
    """A file as a stream of text, whose lines end with ``\\n`` whatever ends them in the file.

    A file that is compressed by gzip, whatever its name, is read as what is in it.

    Args:
        file: the file.
        encoding: its encoding; None is UTF-8, or UTF-8 or UTF-16 where a mark at its start says so.

    Raises:
        ValueError: there is no such encoding, or the file is no text in it, with the line; or it is cut off.
    """
    if encoding is not None:
        check_encoding(encoding)
    try:
        with _bytes_of(file) as content, io.TextIOWrapper(content, encoding or encoding_of(file)) as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise ValueError(undecodable(file, encoding)) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file} is compressed by gzip, and cut off or damaged: {error}") from error


def check_encoding(encoding: str) -> None:
    """Refuse a name of an encoding that Python does not know.

    Raises:
        ValueError: names it and some that there are.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)  # knows encodings of text only
    except LookupError as error:
        raise ValueError(f"encoding is {encoding!r}; allowed: utf-8, utf-16, latin-1, cp1252, gbk …") from error


def _bytes_of(file: Path) -> IO[bytes]:
    with file.open("rb") as stream:
        compressed = stream.read(len(_GZIP)) == _GZIP
    return gzip.open(file, "rb") if compressed else file.open("rb")  # type: ignore[return-value]


def encoding_of(file: Path) -> str:
    """UTF-8, or what the mark at a file's start says.

    Raises:
        ValueError: the file holds zero bytes and has no mark.
    """
    with _bytes_of(file) as content:
        start = content.read(4096)
    marked = next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), None)
    if marked is None and b"\0" in start:
        raise ValueError(
            f"{file} holds zero bytes: it is no text, or UTF-16 without a mark at its start, which "
            "--encoding utf-16-le or utf-16-be reads"
        )
    return marked or "utf-8"


def undecodable(file: Path, given: str | None) -> str:
    """What is wrong with the first byte that cannot be read in an encoding, None for the file's own; and its line."""
    encoding = given or encoding_of(file)
    with _bytes_of(file) as content:
        data = content.read()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="ignore")
        line = len(re.findall("\r\n|\r|\n", before)) + 1
        name = encoding.upper().replace("-SIG", "")
        return (
            f"line {line} of {file} is not {name} text: byte 0x{data[error.start]:02x}; save the file as UTF-8, or "
            "say what it is, e.g. --encoding latin-1 or cp1252"
        )
    return f"{file} is not {encoding} text"
