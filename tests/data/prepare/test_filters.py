"""Threshold, repeats, minimum counts in one pass and as a k-core, and the account of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_hetcomp.data.prepare import Filters, Records
from recbole_hetcomp.data.prepare.filters import apply


def records_of(pairs: list[tuple[int, int]], ratings: list[float] | None = None) -> Records:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    names = np.array([str(number) for number in range(1 + max([0, *users, *items]))], dtype=object)
    return Records(users, items, names, names, None if ratings is None else np.array(ratings))


def pairs_of(records: Records) -> list[tuple[int, int]]:
    return list(zip(records.users.tolist(), records.items.tolist()))


def test_threshold_keeps_what_reaches_it():
    left, drops = apply(records_of([(0, 0), (0, 1), (0, 2)], [4.0, 3.5, 5.0]), Filters(threshold=4.0, min_user=1))
    assert pairs_of(left) == [(0, 0), (0, 2)]
    assert drops[0].reason == "rating below 4"
    assert (drops[0].interactions, drops[0].users, drops[0].items) == (1, 0, 1)


def test_a_repeat_is_judged_after_the_threshold():
    left, drops = apply(records_of([(0, 0), (0, 0), (0, 0)], [1.0, 5.0, 4.0]), Filters(threshold=4.0, min_user=1))
    assert left.ratings.tolist() == [5.0]
    assert [drop.interactions for drop in drops] == [1, 1, 0, 0]


def test_no_threshold_keeps_bad_ratings():
    left, _ = apply(records_of([(0, 0)], [-1.0]), Filters(min_user=1))
    assert len(left) == 1


def test_one_pass_counts_both_at_once():
    """User 0 has two items, of which item 1 has one user only: 0 keeps a single one, and stays."""
    records = records_of([(0, 0), (0, 1), (1, 0), (1, 2), (2, 2)])
    left, drops = apply(records, Filters(min_user=2, min_item=2))
    assert pairs_of(left) == [(0, 0), (1, 0), (1, 2)]
    assert [drop.interactions for drop in drops] == [0, 1, 1]


def test_k_core_goes_on():
    records = records_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 3)])
    left, drops = apply(records, Filters(min_user=2, min_item=2, k_core=True))
    assert pairs_of(left) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [str(drop) for drop in drops[1:]] == [
        "user with fewer than 2 interactions, in 2 rounds: 2 interactions, 2 users, 1 items",
        "item with fewer than 2 interactions, in 2 rounds: 1 interactions, 0 users, 1 items",
    ]


def test_a_k_core_that_is_there_already():
    left, drops = apply(records_of([(0, 0)]), Filters(min_user=1, k_core=True))
    assert len(left) == 1
    assert [drop.interactions for drop in drops] == [0]


def test_nothing_left_is_an_error_with_the_account():
    with pytest.raises(ValueError, match=r"no interaction is left .*user with fewer than 5 interactions: 1 inter"):
        apply(records_of([(0, 0)]), Filters())


def test_threshold_without_ratings():
    with pytest.raises(ValueError, match=r"threshold is 4.0, but no column"):
        apply(records_of([(0, 0)]), Filters(threshold=4.0))


@pytest.mark.parametrize("settings", [{"min_user": 0}, {"min_item": -1}, {"threshold": float("nan")}])
def test_wrong_settings(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Filters(**settings)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_k_core_is_the_largest_part_that_is_dense_enough(pairs, min_user, min_item):
    expected = list(dict.fromkeys(pairs))
    while True:
        users, items = Counter(u for u, _ in expected), Counter(i for _, i in expected)
        dense = [(u, i) for u, i in expected if users[u] >= min_user and items[i] >= min_item]
        if dense == expected:
            break
        expected = dense
    filters = Filters(min_user=min_user, min_item=min_item, k_core=True)
    if not expected:
        with pytest.raises(ValueError, match="no interaction is left"):
            apply(records_of(pairs), filters)
        return
    left, drops = apply(records_of(pairs), filters)
    assert pairs_of(left) == expected
    before = records_of(pairs)
    for name, total in (("interactions", len), ("users", lambda r: r.n_users), ("items", lambda r: r.n_items)):
        assert sum(getattr(drop, name) for drop in drops) == total(before) - total(left)
