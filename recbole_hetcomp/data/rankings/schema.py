"""The table of rankings: its columns, and the version of this interface (docs/rankings.md)."""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1
VERSION_KEY = b"hetcomp.rankings.schema"
"""Under which a Parquet file's metadata hold the version."""

READ = ("user", "item", "rank", "score", "snapshot")
"""Columns that are read; ``epoch`` is another name of ``snapshot``."""

ORDERS = ("rank", "score")

SCHEMA = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("snapshot", pa.int32(), nullable=False),
        pa.field("seen", pa.bool_(), nullable=False),
    ],
    metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
)
"""What is written."""


def check_version(file: object, metadata: dict[bytes, bytes] | None) -> None:
    """Refuse a file of a later version.

    Raises:
        ValueError: names the file, its version and the one that is read.
    """
    found = (metadata or {}).get(VERSION_KEY)
    if found is not None and found != str(SCHEMA_VERSION).encode():
        raise ValueError(
            f"{file} has version {found.decode()} of the schema of rankings; this one reads {SCHEMA_VERSION}"
        )
