"""Which interactions stay: implicit threshold, one of each pair, minimum counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recbole_hetcomp.data.prepare.records import Drop, Records


@dataclass(frozen=True)
class Filters:
    """What is left out, in this order.

    Attributes:
        threshold: interactions rated below it are left out; None keeps every one, whatever its rating.
        min_user: interactions a user must have.
        min_item: interactions an item must have.
        k_core: ask again until all users and items have as many; otherwise they are counted once, both on the same
            interactions, so that some may have fewer afterwards (the HetComp authors' way).
    """

    threshold: float | None = None
    min_user: int = 5
    min_item: int = 1
    k_core: bool = False

    def __post_init__(self) -> None:
        for name in ("min_user", "min_item"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise ValueError(f"threshold is {self.threshold}; allowed: a finite number")


def apply(records: Records, filters: Filters) -> tuple[Records, list[Drop]]:
    """Filter.

    Returns:
        What is left, and what each step dropped, 0 included.

    Raises:
        ValueError: a threshold is asked for and there are no ratings, or nothing is left.
    """
    drops: list[Drop] = []
    for step in (_rated_enough, _without_repeats, _k_core if filters.k_core else _one_pass):
        records, found = step(records, filters)
        drops += found
    if not len(records):
        account = "; ".join(str(drop) for drop in drops)
        raise ValueError(f"no interaction is left ({account}); lower threshold, min_user or min_item")
    return records, drops


def _rated_enough(records: Records, filters: Filters) -> tuple[Records, list[Drop]]:
    if filters.threshold is None:
        return records, []
    if records.ratings is None:
        raise ValueError(f"threshold is {filters.threshold}, but no column of the input is read as a rating")
    left = records.keep(records.ratings >= filters.threshold)
    return left, [Drop.between(f"rating below {filters.threshold:g}", records, left)]


def _without_repeats(records: Records, filters: Filters) -> tuple[Records, list[Drop]]:
    """The first interaction of each pair of user and item."""
    pairs = records.users * len(records.item_ids) + records.items
    first = np.zeros(len(pairs), dtype=bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    left = records.keep(first)
    return left, [Drop.between("repeats an earlier interaction of the same user and item", records, left)]


def _one_pass(records: Records, filters: Filters) -> tuple[Records, list[Drop]]:
    few_user, few_item = _too_few(records, filters)
    after_users = records.keep(~few_user)
    after_items = records.keep(~(few_user | few_item))
    return after_items, [
        Drop.between(f"user with fewer than {filters.min_user} interactions", records, after_users),
        Drop.between(f"item with fewer than {filters.min_item} interactions", after_users, after_items),
    ]


def _k_core(records: Records, filters: Filters) -> tuple[Records, list[Drop]]:
    left, rounds = records, 0
    drops: list[list[Drop]] = []
    while True:
        left, found = _one_pass(left, filters)
        if not any(drop.interactions for drop in found):
            break
        rounds += 1
        drops.append(found)
    return left, [_total(steps, rounds) for steps in zip(*drops)]


def _total(steps: tuple[Drop, ...], rounds: int) -> Drop:
    """What one condition dropped in all rounds."""
    return Drop(
        f"{steps[0].reason}, in {rounds} rounds",
        sum(step.interactions for step in steps),
        sum(step.users for step in steps),
        sum(step.items for step in steps),
    )


def _too_few(records: Records, filters: Filters) -> tuple[np.ndarray, np.ndarray]:
    """Interactions of users, and of items, with too few, bool [n] each."""
    few_user = np.bincount(records.users)[records.users] < filters.min_user
    few_item = np.bincount(records.items)[records.items] < filters.min_item
    return few_user, few_item
