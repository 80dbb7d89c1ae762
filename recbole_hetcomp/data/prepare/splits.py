"""Splits: the paper's, 60/20/20 of each user's interactions at random (method section 7), and those by time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recbole_hetcomp.data.prepare.records import Drop, Floats, Ints, Mask, Records

TRAIN, VALID, TEST, DROPPED = 0, 1, 2, -1
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}


def paper_split(records: Records, seed: int = 0) -> tuple[Ints, list[Drop]]:
    """Split as the authors do.

    Users are taken in the order of their first interaction and shuffled one after the other by NumPy's legacy
    generator, whose stream is the same in every version; hence the loop. Of a user's n interactions in random order the
    first ⌊n/5⌋ are for testing, as many again for validation, and the rest for training.
    Then validation and test interactions whose item is in nobody's training part are dropped, and after that both
    parts of users who have nothing left in either; their training part stays.

    Args:
        records: interactions without repeats.
        seed: of the shuffles; the paper's data has 0.

    Returns:
        ``TRAIN``, ``VALID``, ``TEST`` or ``DROPPED`` for each interaction, int64 [n]; and what was dropped.

    Raises:
        ValueError: seed is not allowed, or validation and test are empty.

    >>> pairs = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    >>> records = Records(*pairs, np.array(list("abcd"), object), np.array(list("vwxyz"), object))
    >>> paper_split(records)[0].reshape(4, 5)
    array([[1, 0, 2, 0, 0],
           [2, 0, 1, 0, 0],
           [0, 2, 0, 1, 0],
           [0, 1, 0, 2, 0]])
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; allowed: 0 … {2**32 - 1}")
    parts = _shuffled_parts(records.users, np.random.RandomState(seed))  # [n]
    drops = _without_unseen(records, parts, "item", records.items, len(records.item_ids))
    both = np.ones(len(records.user_ids), dtype=bool)  # [U]
    for part in (VALID, TEST):
        both &= np.bincount(records.users[parts == part], minlength=len(both)) > 0
    alone = (parts != TRAIN) & (parts != DROPPED) & ~both[records.users]  # [n]
    for name in ("valid", "test"):
        drops.append(
            _count(f"{name}: user has nothing left in the other part", records, alone & (parts == PARTS[name]))
        )
    parts[alone] = DROPPED
    if not (parts == TEST).any():
        raise ValueError(
            "nobody has both a validation and a test interaction: a user needs 5 or more interactions for one of "
            "each, with items that are in training as well"
        )
    return parts, drops


def temporal_split(records: Records) -> tuple[Ints, list[Drop]]:
    """Of a user's n interactions the newest ⌊n/5⌋ are for testing, as many before them for validation.

    Then validation and test interactions whose item is in nobody's training part are dropped.

    Args:
        records: interactions with times; those of one time are in the order of the input.

    Returns:
        As :func:`paper_split`.

    Raises:
        ValueError: there are no times, or validation or test is empty.
    """
    newer, n = _newer(records)
    share = n // 5
    return _cleaned(records, np.where(newer < share, TEST, np.where(newer < 2 * share, VALID, TRAIN)), "5 or more")


def leave_one_out_split(records: Records) -> tuple[Ints, list[Drop]]:
    """A user's newest interaction is for testing, the one before for validation; users with fewer than 3 have neither.

    Then validation and test interactions whose item is in nobody's training part are dropped.

    Args:
        records: interactions with times; those of one time are in the order of the input.

    Returns:
        As :func:`paper_split`.

    Raises:
        ValueError: there are no times, or validation or test is empty.
    """
    newer, n = _newer(records)
    parts = np.where(newer == 0, TEST, np.where(newer == 1, VALID, TRAIN))
    return _cleaned(records, np.where(n < 3, TRAIN, parts), "3 or more")


def global_temporal_split(records: Records) -> tuple[Ints, list[Drop]]:
    """Two points in time for all users: the oldest 60 % are for training, the next 20 % for validation, then testing.

    Interactions of one time are in one part. Then validation and test interactions whose item or user is in no training
    part are dropped.

    Args:
        records: interactions with times.

    Returns:
        As :func:`paper_split`.

    Raises:
        ValueError: there are no times, or validation or test is empty.
    """
    times = _times(records)
    n = len(times)
    ordered = np.sort(times)
    first, second = ordered[n * 3 // 5], ordered[n * 4 // 5]
    parts = np.where(times < first, TRAIN, np.where(times < second, VALID, TEST))
    drops = _without_unseen(records, parts, "user", records.users, len(records.user_ids))
    parts, more = _cleaned(records, parts, "old and new")
    return parts, [*drops, *more]


def _cleaned(records: Records, parts: Ints, needed: str) -> tuple[Ints, list[Drop]]:
    drops = _without_unseen(records, parts, "item", records.items, len(records.item_ids))
    for name, part in PARTS.items():
        if not (parts == part).any():
            raise ValueError(
                f"the {name} part is empty: users need {needed} interactions, with items that are in training as well"
            )
    return parts, drops


def _newer(records: Records) -> tuple[Ints, Ints]:
    """How many of its user's interactions are newer, and how many its user has; int64 [n] each."""
    order = np.lexsort((_times(records), records.users))  # by user, then time, then place in the input
    counts = np.bincount(records.users)
    place = np.empty(len(records), dtype=np.int64)
    place[order] = np.arange(len(records))
    return counts.cumsum()[records.users] - 1 - place, counts[records.users]


def _times(records: Records) -> Floats:
    if records.timestamps is None:
        raise ValueError(
            "a split by time needs times, and no column of the input is read as a timestamp: name it by "
            "--timestamp_column, or in --columns of a file without header"
        )
    return records.timestamps


def _without_unseen(records: Records, parts: Ints, kind: str, ids: Ints, total: int) -> list[Drop]:
    """Drop, in ``parts``, what is held out of users or items that are in no training interaction."""
    held = parts != TRAIN
    known = np.bincount(ids[~held], minlength=total) > 0  # [U] or [I]
    unseen = held & ~known[ids]  # [n]
    drops = [
        _count(f"{name}: {kind} is in no training interaction", records, unseen & (parts == PARTS[name]))
        for name in ("valid", "test")
    ]
    parts[unseen] = DROPPED
    return drops


def _shuffled_parts(users: Ints, generator: np.random.RandomState) -> Ints:
    """The part of each interaction before the clean-up, int64 [n]."""
    number = pd.factorize(users)[0]  # users in the order of their first interaction
    order = np.argsort(number, kind="stable")
    parts = np.full(len(users), TRAIN, dtype=np.int64)
    start = 0
    for count in np.bincount(number):
        mine = order[start : start + count][generator.permutation(count)]
        share = count // 5
        parts[mine[:share]] = TEST
        parts[mine[share : 2 * share]] = VALID
        start += count
    return parts


def _count(reason: str, records: Records, dropped: Mask) -> Drop:
    """Interactions that leave a held-out part. Users and items are those concerned: all stay in the data set."""
    concerned = records.keep(dropped)
    return Drop(reason, len(concerned), concerned.n_users, concerned.n_items)
