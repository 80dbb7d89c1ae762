"""The paper's split: 60/20/20 of each user's interactions at random, then the clean-up (method section 7)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recbole_hetcomp.data.prepare.records import Drop, Ints, Mask, Records

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
    drops = []
    held = parts != TRAIN
    known = np.bincount(records.items[~held], minlength=len(records.item_ids)) > 0  # [I]
    unseen = held & ~known[records.items]  # [n]
    for name in ("valid", "test"):
        drops.append(_count(f"{name}: item is in no training interaction", records, unseen & (parts == PARTS[name])))
    parts[unseen] = DROPPED
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
