"""What of a ranking from elsewhere does not match the data: counted, reported, and refused above a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_EXAMPLES = 3


@dataclass(frozen=True)
class Kind:
    """One way in which a ranking may not match.

    Attributes:
        meaning: what so many rows (lists, users) do.
        unit: of what its share is: ``rows``, ``lists`` (one a user and snapshot), or ``users``.
        allowed: share that is allowed by default.
    """

    meaning: str
    unit: str
    allowed: float


KINDS: Mapping[str, Kind] = {
    "unknown_user": Kind("name users that the data set does not have: left out", "rows", 0.05),
    "unknown_item": Kind("name items that the data set does not have: left out", "rows", 0.05),
    "missing": Kind("have no id, snapshot, rank or score, or NaN or infinity there: left out", "rows", 0.0),
    "duplicate": Kind("repeat a user, item and snapshot: the best is kept", "rows", 0.0),
    "duplicate_rank": Kind("repeat a user's rank: the item that the data set names first comes first", "rows", 0.0),
    "tie": Kind("repeat a user's score: the item that the data set names first comes first", "rows", 1.0),
    "seen": Kind("name training items of their user: they are ranked among these only", "rows", 1.0),
    "short": Kind("have fewer than {length} items besides training items", "lists", 1.0),
    "absent": Kind("are in no row: this teacher has no say for them", "users", 1.0),
}


@dataclass
class Mismatches:
    """Counts of each kind.

    Args:
        source: what is read, for messages.
        allow: kind → share that is allowed, over the defaults.
        length: items of a list below which it counts as short.

    Raises:
        ValueError: a kind is not known, or a share is not within 0 and 1.

    >>> counted = Mismatches("table.csv", {"unknown_item": 0.1})
    >>> counted.total["rows"] = 10
    >>> counted.add("unknown_item", 2, ["b7", "b9"])
    >>> counted.check()
    Traceback (most recent call last):
    ValueError: table.csv: 2 of 10 rows (20%) name items that the data set does not have: left out (such as 'b7', 'b9'); at most 10% are allowed, more with allow unknown_item=0.2
    """  # noqa: E501

    source: str
    allow: Mapping[str, float] = field(default_factory=dict)
    length: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    total: dict[str, int] = field(default_factory=lambda: {"rows": 0, "lists": 0, "users": 0})
    examples: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what is allowed."""
        for name, share in self.allow.items():
            if name not in KINDS:
                raise ValueError(f"allow names {name!r}; known are {', '.join(KINDS)}")
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise ValueError(f"allow {name}={share!r} is not allowed: a share within 0 and 1")

    def add(self, kind: str, count: int, examples: Any = ()) -> None:
        """Count some more."""
        self.counts[kind] += int(count)
        known = self.examples.setdefault(kind, [])
        known += [str(value) for value in examples if str(value) not in known][: _EXAMPLES - len(known)]

    def lines(self) -> list[str]:
        """One line a kind that there is."""
        return [self._line(kind) for kind, count in self.counts.items() if count]

    def check(self) -> None:
        """Refuse more than is allowed.

        Raises:
            ValueError: names each kind, how many there are, examples, and how they may be allowed.
        """
        over = [kind for kind in KINDS if self._share(kind) > self.allow.get(kind, KINDS[kind].allowed)]
        if over:
            said = [
                f"{self._line(kind)}; at most {_percent(self.allow.get(kind, KINDS[kind].allowed))} are allowed, "
                f"more with allow {kind}={_above(self._share(kind)):g}"
                for kind in over
            ]
            raise ValueError(f"{self.source}: {'. '.join(said)}")

    def _share(self, kind: str) -> float:
        total = self.total[KINDS[kind].unit]
        return self.counts[kind] / total if total else 0.0

    def _line(self, kind: str) -> str:
        known = KINDS[kind]
        examples = ", ".join(map(repr, self.examples.get(kind, ())))
        return (
            f"{self.counts[kind]} of {self.total[known.unit]} {known.unit} ({_percent(self._share(kind))}) "
            f"{known.meaning.format(length=self.length)}{f' (such as {examples})' if examples else ''}"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _above(share: float) -> float:
    """The share, rounded up to three digits behind the point."""
    return min(1.0, -(-share * 1000 // 1) / 1000)
