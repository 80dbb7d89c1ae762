"""The paper's split against a naive loop, and what it promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_hetcomp.data.prepare import TEST, TRAIN, VALID, Records, paper_split, splits

DROPPED = -1


def records_of(pairs: list[tuple[int, int]]) -> Records:
    users, items = np.array(pairs, dtype=np.int64).T
    names = np.array([str(number) for number in range(1 + max(users.max(), items.max()))], dtype=object)
    return Records(users, items, names, names)


def naive_split(pairs: list[tuple[int, int]], seed: int) -> list[set[tuple[int, int]]]:
    """Training, validation and test pairs, told user by user: each one's list is shuffled in place."""
    np.random.seed(seed)
    lists: dict[int, list[int]] = {}
    for user, item in pairs:
        lists.setdefault(user, []).append(item)
    train, valid, test = {}, {}, {}
    for user, items in lists.items():
        items = list(items)
        np.random.shuffle(items)
        held = int(len(items) * 0.2)
        test[user], valid[user], train[user] = items[:held], items[held : 2 * held], items[2 * held :]
    known = {item for items in train.values() for item in items}
    for part in (valid, test):
        for user in part:
            part[user] = [item for item in part[user] if item in known]
    for user in lists:
        if not valid[user] or not test[user]:
            valid[user], test[user] = [], []
    return [{(user, item) for user, items in part.items() for item in items} for part in (train, valid, test)]


def parts_of(pairs: list[tuple[int, int]], seed: int) -> list[set[tuple[int, int]]]:
    parts, _ = paper_split(records_of(pairs), seed)
    return [{pair for pair, part in zip(pairs, parts) if part == wanted} for wanted in (TRAIN, VALID, TEST)]


@pytest.fixture
def many() -> list[tuple[int, int]]:
    """Pairs of 40 users with 300 items, in no order."""
    generator = np.random.default_rng(7)
    wanted = {(int(u), int(i)) for u, i in zip(generator.integers(0, 40, 900), 300 * generator.random(900) ** 2)}
    pairs = sorted(wanted)
    generator.shuffle(pairs)
    return [tuple(pair) for pair in pairs]


@pytest.mark.parametrize("seed", [0, 1, 2020])
def test_the_naive_loop_agrees(many, seed):
    assert parts_of(many, seed) == naive_split(many, seed)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=60, unique=True))
def test_the_naive_loop_agrees_on_anything(pairs):
    expected = naive_split(pairs, 3)
    if not expected[2]:
        with pytest.raises(ValueError, match="nobody has both"):
            paper_split(records_of(pairs), 3)
        return
    assert parts_of(pairs, 3) == expected


def test_the_account_adds_up(many):
    parts, drops = paper_split(records_of(many))
    assert sum(drop.interactions for drop in drops) == int((parts == DROPPED).sum()) > 0
    held_users = [{user for (user, _), part in zip(many, parts) if part == wanted} for wanted in (VALID, TEST)]
    assert held_users[0] == held_users[1]
    sizes = np.bincount([user for user, _ in many])
    trained = np.bincount([user for (user, _), part in zip(many, parts) if part == TRAIN], minlength=len(sizes))
    np.testing.assert_array_equal(trained, sizes - 2 * (sizes // 5))


def test_a_fifth_is_what_the_authors_compute():
    """They take int(n · 0.2) in floating point."""
    sizes = range(10, 400)
    pairs = [(user, item) for user, size in enumerate(sizes) for item in range(size)]
    parts, _ = paper_split(records_of(pairs))
    trained = np.bincount([user for (user, _), part in zip(pairs, parts) if part == TRAIN])
    assert trained.tolist() == [size - 2 * int(size * 0.2) for size in sizes]


def test_users_count_in_the_order_of_their_first_interaction(many):
    """Renaming users and items changes nothing; the order of the lines does."""
    renamed = [(39 - user, 299 - item) for user, item in many]
    before, _ = paper_split(records_of(many))
    after, _ = paper_split(records_of(renamed))
    np.testing.assert_array_equal(before, after)
    turned, _ = paper_split(records_of(many[::-1]))
    assert (turned[::-1] != before).any()


def test_another_seed_is_another_split(many):
    assert (paper_split(records_of(many), 0)[0] != paper_split(records_of(many), 1)[0]).any()


def test_the_global_generator_is_left_alone(many):
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    paper_split(records_of(many))
    assert np.random.random() == expected


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_wrong_seed(many, seed):
    with pytest.raises(ValueError, match=f"seed is {seed}"):
        paper_split(records_of(many), seed)


# --- by time ---


def naive_by_time(rows: list[tuple[int, int, int]], split: str) -> list[int]:
    """Parts, told row by row; rows are user, item, time."""
    parts = [TRAIN] * len(rows)
    if split == "temporal-global":
        times = sorted(time for _, _, time in rows)
        first, second = times[len(rows) * 3 // 5], times[len(rows) * 4 // 5]
        parts = [TRAIN if time < first else VALID if time < second else TEST for _, _, time in rows]
        learnt = {rows[n][0] for n, part in enumerate(parts) if part == TRAIN}
        parts = [part if part == TRAIN or row[0] in learnt else DROPPED for row, part in zip(rows, parts)]
    else:
        for user in {user for user, _, _ in rows}:
            mine = sorted((n for n, row in enumerate(rows) if row[0] == user), key=lambda n: rows[n][2])[::-1]
            # sorted is stable: of one time the later row is the newer one
            share = len(mine) // 5 if split == "temporal" else int(len(mine) >= 3)
            for place, n in enumerate(mine[: 2 * share]):
                parts[n] = TEST if place < share else VALID
    known = {rows[n][1] for n, part in enumerate(parts) if part == TRAIN}
    return [part if part == TRAIN or row[1] in known else DROPPED for row, part in zip(rows, parts)]


BY_TIME = {
    "temporal": splits.temporal_split,
    "temporal-global": splits.global_temporal_split,
    "leave-one-out": splits.leave_one_out_split,
}


@pytest.mark.parametrize("split", BY_TIME)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(2**30, 2**30 + 30)),
        min_size=5,
        max_size=60,
        unique_by=lambda row: row[:2],
    )
)
def test_splits_by_time_are_the_naive_ones(split, rows):
    pairs = records_of([row[:2] for row in rows])
    records = replace(pairs, timestamps=np.array([row[2] for row in rows], dtype=np.float64))
    expected = naive_by_time(rows, split)
    if not {VALID, TEST, TRAIN} <= set(expected):
        with pytest.raises(ValueError, match="part is empty"):
            BY_TIME[split](records)
        return
    parts, drops = BY_TIME[split](records)
    assert parts.tolist() == expected
    assert sum(drop.interactions for drop in drops) == expected.count(DROPPED)


@pytest.mark.parametrize("split", BY_TIME)
def test_a_split_by_time_needs_times(split):
    with pytest.raises(ValueError, match=r"no column of the input is read as a timestamp: .* --timestamp_column"):
        BY_TIME[split](records_of([(0, 0), (0, 1)]))
