"""Recommendations that the workers of a Ray cluster make, by Ray Data; the rows are those of one process."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import pyarrow as pa
import torch

from recbole_hetcomp import ray_api
from recbole_hetcomp.data.rankings.spread import in_order, wrong
from recbole_hetcomp.serving.recommender import Recommender
from recbole_hetcomp.serving.users import UserTable
from recbole_hetcomp.serving.writing import SCHEMA, rows_of

PART_USERS = 1 << 12
"""Users of a part at most: what is made again where a worker is lost."""
PARTS_A_WORKER = 4

_WITH_ERRORS = pa.schema([*(field.with_nullable(True) for field in SCHEMA), ("error", pa.string())])


@dataclass(frozen=True)
class Asked:
    """What is asked of a recommender: the arguments of :meth:`Recommender.recommend`.

    Attributes:
        users: external ids; a :class:`UserTable`'s files must lie under the same path on every node.
    """

    users: Union[Sequence[str], UserTable]
    k: int
    allow: Sequence[str] | None = None
    deny: Sequence[str] = ()


def spread_rows(
    make: Callable[[], Recommender], asked: Asked, at_once: int, workers: int, cpus: int = 1
) -> Iterator[pa.RecordBatch]:
    """Rows of the lists of some users, in the users' order, from workers of the connected Ray cluster.

    Each worker has one recommender. A part whose worker or node is lost is made again by another one. Parts are whole
    blocks of users, so that every product is the one that a single process would compute.

    Args:
        make: gives a worker its recommender; called in the folder of this process where the worker has it.
        asked: what is asked.
        at_once: users of a block of the recommender.
        workers: at most.
        cpus: processors and threads of each.

    Raises:
        NotImplementedError: Ray Data does not work here.
        ValueError: what a worker refused, or a file that it could not read.
    """
    size = max(1, min(PART_USERS, len(asked.users) // (PARTS_A_WORKER * workers)) // at_once) * at_once
    parts = [{"start": start, "stop": start + size} for start in range(0, len(asked.users), size)]
    tables = in_order(
        parts,
        _Worker,
        fn_constructor_args=(make, asked, Path.cwd(), cpus),
        compute=ray_api.data().ActorPoolStrategy(min_size=1, max_size=max(1, min(workers, len(parts)))),
        num_cpus=cpus,
    )
    for table in tables:
        for batch in table.select(SCHEMA.names).to_batches():
            yield pa.RecordBatch.from_arrays(batch.columns, schema=SCHEMA)


class _Worker:
    """What a worker does: parts of the users → rows of their lists, or what went wrong."""

    def __init__(self, make: Callable[[], Recommender], asked: Asked, folder: Path, threads: int) -> None:
        self._make, self._asked, self._folder, self._threads = make, asked, folder, threads
        self._recommender: Recommender | None = None

    def __call__(self, part: Mapping[str, Any]) -> Iterator[pa.Table]:
        for start, stop in zip(part["start"], part["stop"]):
            try:
                yield self._rows(slice(int(start), int(stop)))
            except (ValueError, OSError) as error:
                yield wrong(f"a worker on {platform.node()} says: {error}", _WITH_ERRORS)

    def _rows(self, part: slice) -> pa.Table:
        if self._recommender is None:
            torch.set_num_threads(self._threads)
            if self._folder.is_dir():
                os.chdir(self._folder)  # paths in a checkpoint may be relative
            self._recommender = self._make()
        asked = self._asked
        rows = rows_of(self._recommender.recommend(asked.users[part], asked.k, allow=asked.allow, deny=asked.deny))
        return pa.table([*rows.columns, pa.nulls(len(rows), pa.string())], schema=_WITH_ERRORS)
