"""Rows of a table in any order → each user's list by internal id, in bounded memory and linear time.

Rows are dealt into buckets of neighbouring users on disk, then each bucket is sorted by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.rankings.mismatches import Mismatches
from recbole_hetcomp.data.rankings.reading import RankingTable, Rows
from recbole_hetcomp.files import naming
from recbole_hetcomp.trajectories.scratch import Scratch, remove_abandoned
from recbole_hetcomp.trajectories.spool import SPOOL

BUCKETS = 256
_MOST_SNAPSHOTS = 1000
_ROW = np.dtype([("user", "<i4"), ("item", "<i4"), ("snapshot", "<i4"), ("key", "<f8")])
Append = Callable[[int, NDArray[np.int64], NDArray[np.int64]], None]
"""Takes a snapshot's place, and users (ascending) and items (best first) of its entries."""


class Ids:
    """External ids → internal ones.

    Args:
        tokens: RecBole's ``field2id_token``, the padding id first.
    """

    def __init__(self, tokens: Sequence[object]) -> None:
        self.tokens = pa.array([str(token) for token in tokens[1:]], pa.string())

    def of(self, column: pa.Array) -> NDArray[np.int64]:
        """Internal ids; 0 for what is not known, as for what is null."""
        found = pc.index_in(column, value_set=self.tokens)
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64) + 1

    def external(self, ids: NDArray[np.int64]) -> pa.Array:
        """External ids of internal ones, none of them 0."""
        return self.tokens.take(pa.array(ids - 1))


@dataclass
class GroupedTable:
    """A table's rows in buckets on disk; leaving the context deletes them.

    Args:
        users: the data set's user ids.
        items: its item ids.
        seen: each user's training items.
        mismatches: counts what does not match.
        scratch: folder for the buckets.

    Attributes:
        snapshots: the labels that occur, ascending.
        by: whether ranks or scores sort the lists.
    """

    users: Ids
    items: Ids
    seen: Ragged
    mismatches: Mismatches
    scratch: Path

    def __post_init__(self) -> None:
        """Open the buckets."""
        self.n_users, self.n_items = len(self.users.tokens) + 1, len(self.items.tokens) + 1
        self.n_buckets = min(BUCKETS, self.n_users)
        self.snapshots: list[int] = []
        self.by = "rank"
        self.scratch.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self.scratch, f"{SPOOL}*")
        self._scratch = Scratch(self.scratch, SPOOL)
        self._open = [self._file(bucket).open("wb") for bucket in range(self.n_buckets)]

    def __enter__(self) -> GroupedTable:
        """Return the table."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the buckets."""
        try:
            for file in self._open:
                file.close()
        except OSError:  # no room for the rest of what is deleted now
            if kind is None:
                raise
        finally:
            self._scratch.close()

    def deal(self, table: RankingTable) -> None:
        """Read a table into the buckets.

        Raises:
            ValueError: it cannot be read, or a snapshot is negative.
        """
        found: set[int] = set()
        for rows in table.batches():
            with naming(self._scratch.folder):
                self._deal_rows(rows, found)
        self.snapshots = sorted(found)
        self.by = table.sorted_by or self.by
        with naming(self._scratch.folder):
            for file in self._open:
                file.close()

    def _deal_rows(self, rows: Rows, found: set[int]) -> None:
        counted, users, items = self.mismatches, self.users.of(rows.users), self.items.of(rows.items)
        counted.total["rows"] += len(users)
        absent = (_empty(rows.users) | _empty(rows.items)) | ~np.isfinite(rows.key) | (rows.snapshot < 0)
        counted.add("missing", absent.sum())
        no_user, no_item = (users == 0) & ~absent, (items == 0) & ~absent
        for kind, which, column in (("unknown_user", no_user, rows.users), ("unknown_item", no_item, rows.items)):
            if which.any():
                names = pc.unique(column.filter(pa.array(which))).slice(0, 3)
                self._refuse_decimals(names, self.users if kind == "unknown_user" else self.items)
                counted.add(kind, which.sum(), names.to_pylist())
        kept = ~(absent | no_user | no_item)
        labels = np.unique(rows.snapshot[kept])
        if len(labels) and labels[-1] > np.iinfo(np.int32).max:
            raise ValueError(
                f"{counted.source}: snapshot {labels[-1]} is not allowed: at most {np.iinfo(np.int32).max}"
            )
        found.update(labels.tolist())
        if len(found) > _MOST_SNAPSHOTS:
            raise ValueError(
                f"{counted.source} has more than {_MOST_SNAPSHOTS} snapshots; a snapshot is a stage of training, "
                "such as an epoch"
            )
        record = np.empty(int(kept.sum()), dtype=_ROW)
        record["user"], record["item"], record["snapshot"] = users[kept], items[kept], rows.snapshot[kept]
        record["key"] = rows.key[kept]
        bucket = (record["user"].astype(np.int64) * self.n_buckets // self.n_users).astype(np.int16)
        order = np.argsort(bucket, kind="stable")
        ends = np.bincount(bucket, minlength=self.n_buckets).cumsum()
        record, start = record[order], 0
        for number, end in enumerate(ends):
            if end > start:
                self._open[number].write(record[start:end].tobytes())
            start = end

    def _refuse_decimals(self, names: pa.Array, known: Ids) -> None:
        """Ids that went through floating point: 204.0 where the data set has 204."""
        whole = pc.replace_substring_regex(names, r"\.0+$", "")
        for name, short, internal in zip(names.to_pylist(), whole.to_pylist(), known.of(whole)):
            if internal and short != name:
                raise ValueError(
                    f"{self.mismatches.source} names {name!r}, and the data set has {short!r}: ids were written as "
                    "numbers with a decimal point; write whole numbers or text"
                )

    def lists(self, append: Append) -> None:
        """Sort each bucket and hand its lists over, users ascending within each snapshot."""
        named = np.zeros(self.n_users, dtype=bool)
        for bucket in range(self.n_buckets):
            rows = np.fromfile(self._file(bucket), dtype=_ROW)
            if len(rows):
                named[rows["user"]] = True
                self._sort_bucket(rows, append)
            self._file(bucket).unlink()
        self.mismatches.total["users"] = self.n_users - 1
        self.mismatches.add("absent", self.n_users - 1 - int(named.sum()))

    def _sort_bucket(self, rows: NDArray[np.void], append: Append) -> None:
        counted = self.mismatches
        first = int(rows["user"].min())
        place = np.searchsorted(np.asarray(self.snapshots), rows["snapshot"]).astype(np.int64)
        width = int(rows["user"].max()) - first + 1
        row = place * width + (rows["user"] - first)  # which list
        order = np.lexsort((rows["item"], rows["key"], row))
        row, item, key = row[order], rows["item"][order].astype(np.int64), rows["key"][order]
        repeated = _repeated(row * self.n_items + item)
        counted.add("duplicate", repeated.sum(), self._names(row[repeated] % width + first, item[repeated]))
        if repeated.any():
            row, item, key = row[~repeated], item[~repeated], key[~repeated]
        equal = np.flatnonzero((row[1:] == row[:-1]) & (key[1:] == key[:-1])) + 1
        kind = "duplicate_rank" if self.by == "rank" else "tie"
        counted.add(kind, len(equal), self._names(row[equal] % width + first, item[equal]))
        seen = self._seen(row % width + first, item)
        counted.add("seen", seen.sum())
        lengths = np.bincount(row[~seen], minlength=len(self.snapshots) * width)
        present = np.bincount(row, minlength=len(self.snapshots) * width) > 0
        counted.total["lists"] += int(present.sum())
        counted.add("short", (present & (lengths < counted.length)).sum())
        bounds = np.searchsorted(row, np.arange(len(self.snapshots) + 1) * width)
        for number in range(len(self.snapshots)):
            part = slice(bounds[number], bounds[number + 1])
            append(number, row[part] % width + first, item[part])

    def _seen(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        first, last = int(users.min()), int(users.max())
        offsets = self.seen.offsets.numpy()
        observed = self.seen.values.numpy()[offsets[first] : offsets[last + 1]].astype(np.int64)
        owner = np.repeat(np.arange(first, last + 1), np.diff(offsets[first : last + 2]))
        keys = owner * self.n_items + observed  # ascending
        wanted = users * self.n_items + items
        if not len(keys):
            return np.zeros(len(wanted), dtype=bool)
        return keys[np.searchsorted(keys, wanted).clip(max=len(keys) - 1)] == wanted

    def _names(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> list[str]:
        pairs = zip(self.users.external(users[:3]).to_pylist(), self.items.external(items[:3]).to_pylist())
        return [f"user {user}, item {item}" for user, item in pairs]

    def _file(self, bucket: int) -> Path:
        return self._scratch.folder / f"bucket-{bucket}"


def _empty(column: pa.Array) -> NDArray[np.bool_]:
    return pc.fill_null(pc.equal(column, ""), True).to_numpy(zero_copy_only=False)


def _repeated(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values stood before already, bool [n]."""
    order = np.argsort(codes, kind="stable")
    again = np.zeros(len(codes), dtype=bool)
    again[order[1:]] = codes[order[1:]] == codes[order[:-1]]
    return again
