"""An export as lists: of users, of what is popular, of items alike. Exact, ties to the smaller item row.

NumPy alone, so that a service needs no torch; :mod:`recbole_hetcomp.serving.recommender` ranks many users at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.serving.exported import Exported

Rows = NDArray[np.integer]


@dataclass(frozen=True)
class Ranked:
    """A list, best first.

    Attributes:
        rows: of items, int64 [n].
        scores: theirs, float32 [n]; training interactions where what is popular is listed.
    """

    rows: Rows
    scores: NDArray[np.float32]


class Ranker:
    """An export, held in memory: what happens to its folder later changes nothing.

    A user's list does not depend on who else is asked for: each is scored alone, so sums are added in one order.

    Args:
        exported: what was read from its folder.

    Raises:
        DamagedFileError: a vector holds what is no finite number, a row is no item's, or an id stands twice.
    """

    def __init__(self, exported: Exported) -> None:
        self.manifest = exported.manifest
        self.id = hashlib.sha256(json.dumps(exported.manifest, sort_keys=True).encode()).hexdigest()[:12]
        self.users: list[str] = [str(name) for name in exported.user_ids]
        self.items: list[str] = [str(name) for name in exported.item_ids]
        self.titles: list[str | None] | None = None if exported.titles is None else _texts(exported.titles)
        self.ensemble = None if exported.ensemble is None else np.array(exported.ensemble)  # [U, L]
        self.sorted_users = sorted(self.users)
        self._user_rows = {name: row for row, name in enumerate(self.users)}
        self._item_rows = {name: row for row, name in enumerate(self.items)}
        self._users = np.array(exported.users, dtype=np.float32)  # [U, d]
        self._columns = np.array(exported.items.T, dtype=np.float32, order="C")  # [d, I]
        self._offsets, self._seen = np.array(exported.seen_offsets), np.array(exported.seen_items)
        self._counts = np.array(exported.counts)
        self._popular = np.argsort(-self._counts, kind="stable")  # [I]
        lengths = np.sqrt((self._columns.astype(np.float64) ** 2).sum(0))
        self._inverse_lengths = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)  # [I]
        for wrong in self._findings():
            raise DamagedFileError(f"{exported.folder} is damaged: {wrong}")

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return len(self._columns)

    def user_row(self, user: str) -> int | None:
        """A user's row by its external id, None where the export does not know it."""
        return self._user_rows.get(user)

    def item_row(self, item: str) -> int | None:
        """An item's row by its external id, None where the export does not know it."""
        return self._item_rows.get(item)

    def item_rows(self, items: Iterable[str]) -> Rows:
        """Rows of those items that the export knows, int64 [n]."""
        known = (self._item_rows.get(item) for item in items)
        return np.array([row for row in known if row is not None], dtype=np.int64)

    def interactions(self, item: int) -> int:
        """Training interactions of an item."""
        return int(self._counts[item])

    def history(self, user: int) -> Rows:
        """Rows of the items that a user has, ascending."""
        return self._seen[self._offsets[user] : self._offsets[user + 1]]

    def of_user(self, user: int, k: int, excluded: Rows | None = None) -> Ranked:
        """A user's best items, without those that the user has.

        Args:
            user: its row.
            k: items of the list; it is shorter where fewer are left.
            excluded: rows of further items that are left out.
        """
        scores = self._users[user] @ self._columns  # [I]
        scores[self.history(user)] = -np.inf
        if excluded is not None:
            scores[excluded] = -np.inf
        rows = best(scores, k)
        return Ranked(rows, scores[rows])

    def popular(self, k: int, excluded: Rows | None = None) -> Ranked:
        """The items with most training interactions: what users get whom the export does not know."""
        left_out = () if excluded is None else np.unique(excluded)
        first = self._popular[: k + len(left_out)]
        rows = first[~np.isin(first, left_out)][:k]
        return Ranked(rows, self._counts[rows].astype(np.float32))

    def similar(self, item: int, k: int) -> Ranked:
        """The items whose vectors point where an item's does, without itself; scores are cosines.

        The cosine with a vector of zeros is 0.
        """
        cosines = self._columns[:, item] @ self._columns * self._inverse_lengths * self._inverse_lengths[item]
        cosines = np.clip(cosines, -1, 1).astype(np.float32)  # [I]
        cosines[item] = -np.inf
        rows = best(cosines, k)
        return Ranked(rows, cosines[rows])

    def of_ensemble(self, user: int, k: int) -> Rows | None:
        """Rows of a user's list by the ensemble, best first; None where the export carries none."""
        if self.ensemble is None:
            return None
        listed = self.ensemble[user]
        return listed[listed >= 0][:k]

    def _findings(self) -> Iterator[str]:
        """What no request may meet."""
        for name, vectors in (("user", self._users), ("item", self._columns)):
            if not np.isfinite(vectors).all():
                yield f"{name} vectors hold what is no finite number"
        for name, ids, rows in (("user", self.users, self._user_rows), ("item", self.items, self._item_rows)):
            if len(rows) != len(ids):
                yield f"of {len(ids)} {name} ids only {len(rows)} are different"
        if self._offsets[0] != 0 or (np.diff(self._offsets) < 0).any():
            yield "the rows of the items that users have do not follow each other"
        for name, listed, least in (("items that users have", self._seen, 0), ("the ensemble", self.ensemble, -1)):
            if listed is not None and listed.size and not least <= listed.min() <= listed.max() < len(self.items):
                yield f"rows of {name} are not all among {len(self.items)} items"


def best(scores: NDArray[np.floating], k: int) -> Rows:
    """Rows of the greatest scores, greatest first, equal ones by their rows.

    Args:
        scores: no NaN, [I]; -inf where a row is no candidate.
        k: rows wanted; there are fewer where candidates are.

    >>> best(np.array([1.0, 3.0, -np.inf, 3.0, 2.0]), 3).tolist()
    [1, 3, 4]
    """
    rows = np.arange(len(scores))
    if k < len(scores):
        rows = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    rows = rows[scores[rows] > -np.inf]
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]


def _texts(titles: Iterable[object]) -> list[str | None]:
    """Titles as text; None where there is none."""
    return [title if isinstance(title, str) and title else None for title in titles]
