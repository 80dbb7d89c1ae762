"""Synthetic data: counts are kept, nothing repeats, popularity is skewed, clusters and teachers are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset

from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.data.synthetic import (
    SHARES,
    SyntheticWorld,
    _strata,
    synthetic_interactions,
    synthetic_trajectory,
    synthetic_world,
    write_atomic,
)

U, I, N = 600, 1500, 12000  # noqa: E741


def world(seed: int = 1, **changes: float) -> SyntheticWorld:
    return synthetic_world(U, I, seed, **changes)  # type: ignore[arg-type]


def history(pairs: np.ndarray, n_users: int = U) -> Ragged:
    return Ragged.from_pairs(torch.from_numpy(pairs[:, 0].copy()), torch.from_numpy(pairs[:, 1].copy()), n_users)


def gini(counts: np.ndarray) -> float:
    """0 where all are equal, near 1 where one has all."""
    ordered = np.sort(counts)
    shares = ordered.cumsum() / ordered.sum()
    return float(1 + 1 / len(ordered) - 2 * shares.mean())


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean share of items that two lists have in common."""
    shared = [len(set(a) & set(b)) / len(a) for a, b in zip(one.tolist(), other.tolist())]
    return float(np.mean(shared))


# The world


@pytest.mark.parametrize("n_clusters", [3, 4, 7])
def test_users_have_three_clusters_and_items_one(n_clusters: int) -> None:
    drawn = world(n_clusters=n_clusters)
    assert all(len(set(row)) == 3 for row in drawn.clusters.tolist())
    assert drawn.clusters.min() == 0
    assert drawn.clusters.max() == n_clusters - 1
    assert len(np.unique(drawn.members)) == drawn.members.size == I // n_clusters * n_clusters
    clusters = drawn.cluster_of_items()
    assert np.bincount(clusters[clusters >= 0]).tolist() == [I // n_clusters] * n_clusters
    assert (np.diff(drawn.popularity) < 0).all()


def test_the_world_refuses() -> None:
    for arguments in [(0, 10, 1), (1, 2, 1), (1, 10, 1, 2), (1, 10, 1, 11)]:
        with pytest.raises(ValueError, match="allowed: 1 or more users"):
            synthetic_world(*arguments)
    with pytest.raises(ValueError, match="exponent and shift are -1"):
        synthetic_world(1, 10, 1, exponent=-1.0)


# Interactions


@pytest.mark.parametrize(("n_users", "n_items", "n"), [(U, I, N), (40, 30, 600), (40, 30, 40), (40, 30, 55), (1, 9, 4)])
def test_exactly_as_many_distinct_pairs_as_asked_for(n_users: int, n_items: int, n: int) -> None:
    pairs = synthetic_interactions(synthetic_world(n_users, n_items, seed=3), n)
    assert pairs.shape == (n, 2)
    assert len(np.unique(pairs, axis=0)) == n
    assert np.unique(pairs[:, 0]).tolist() == list(range(n_users))
    assert pairs[:, 1].min() >= 0
    assert pairs[:, 1].max() < n_items
    assert np.bincount(pairs[:, 0]).max() <= max(1, n_items // 2)
    assert (np.lexsort((pairs[:, 1], pairs[:, 0])) == np.arange(n)).all()


def test_numbers_of_interactions_that_cannot_be_are_refused() -> None:
    for n in (39, 40 * 15 + 1):
        with pytest.raises(ValueError, match=r"allowed: 40 … 600"):
            synthetic_interactions(synthetic_world(40, 30, seed=3), n)


def test_the_seed_decides() -> None:
    one, again, other = (synthetic_interactions(world(seed), N) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_few_items_have_most_interactions_and_few_users_too() -> None:
    pairs = synthetic_interactions(world(), N)
    even = synthetic_interactions(world(exponent=0.0), N, activity=0.0)
    items, users = (np.bincount(pairs[:, side], minlength=size) for side, size in ((1, I), (0, U)))
    assert gini(items) > 0.45
    assert gini(users) > 0.4
    assert gini(np.bincount(even[:, 1], minlength=I)) < 0.3
    assert gini(np.bincount(even[:, 0], minlength=U)) < 0.01
    logs = np.log(users)
    assert 0.8 < logs.std() < 1.2


def test_users_keep_to_their_clusters() -> None:
    drawn = world(n_clusters=10)
    pairs = synthetic_interactions(drawn, N)
    where = drawn.cluster_of_items()[pairs[:, 1]]
    for column, share in enumerate(SHARES):
        assert float((drawn.clusters[pairs[:, 0], column] == where).mean()) == pytest.approx(share, abs=0.08)


def test_recbole_loads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = synthetic_interactions(world(), N)
    assert write_atomic(tmp_path, "made-up", pairs) == tmp_path / "made-up" / "made-up.inter"
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
    settings = {"data_path": str(tmp_path), "load_col": {"inter": ["user_id", "item_id"]}}
    dataset = create_dataset(Config(model="BPR", dataset="made-up", config_dict=settings))
    assert (dataset.inter_num, dataset.user_num - 1) == (N, U)
    assert dataset.item_num - 1 == len(np.unique(pairs[:, 1]))
    tokens = dataset.id2token("item_id", dataset.inter_feat["item_id"].to_numpy())
    assert sorted(tokens.astype(int).tolist()) == sorted(pairs[:, 1].tolist())


# Teachers


def test_strata_are_distinct_and_follow_popularity() -> None:
    for size, count in [(10, 10), (10, 3), (500, 120), (500, 1)]:
        popularity = 1 / (np.arange(size) + 2.0)
        starts = _strata(popularity / popularity.sum(), count)
        assert (starts[0], starts[-1], len(starts)) == (0, size, count + 1)
        assert (np.diff(starts) >= 1).all()
    popularity = 1 / (np.arange(500) + 6.0)
    widths = np.diff(_strata(popularity / popularity.sum(), 50))
    assert widths[-5:].mean() > 5 * widths[:5].mean()


def test_lists_are_distinct_unobserved_and_ranked() -> None:
    drawn, length = world(), 60
    observed = history(synthetic_interactions(drawn, N))
    teacher = synthetic_trajectory(drawn, observed, teacher=0, snapshots=3, length=length)
    assert teacher.unobserved.shape == (3, U, length)
    assert teacher.unobserved.dtype == teacher.observed_ranks.dtype == torch.int16
    for snapshot in range(3):
        for user, row in enumerate(teacher.unobserved[snapshot].tolist()):
            seen = observed.values[observed.offsets[user] : observed.offsets[user + 1]].tolist()
            listed = [item for item in row if item != PAD]
            assert len(set(listed)) == len(listed) >= min(length, 2 * length - len(seen))
            assert row == listed + [PAD] * (length - len(listed))
            assert not set(listed) & set(seen)
            ranks = teacher.observed_ranks[snapshot, observed.offsets[user] : observed.offsets[user + 1]]
            assert sorted(ranks.tolist()) == list(range(len(seen)))


def test_large_catalogues_take_large_ids_and_users_of_several_blocks() -> None:
    n_users = 5000
    drawn = synthetic_world(n_users, 40_000, seed=1)
    observed = history(synthetic_interactions(drawn, 3 * n_users), n_users)
    teacher = synthetic_trajectory(drawn, observed, teacher=0, snapshots=1, length=10)
    assert teacher.unobserved.dtype == torch.int32
    assert int(teacher.unobserved.max()) > 2**15
    assert (teacher.unobserved >= 0).all()
    longest = observed.lengths().max()
    assert int(teacher.observed_ranks.max()) == longest - 1
    firsts = teacher.observed_ranks[0] == 0
    assert int(firsts.sum()) == n_users


def test_snapshots_come_closer_to_the_last_and_teachers_differ() -> None:
    drawn = world()
    observed = history(synthetic_interactions(drawn, N))
    teachers = [synthetic_trajectory(drawn, observed, m, length=30) for m in range(3)]
    chance = 30 / I
    for teacher in teachers:
        to_last = [overlap(lists, teacher.unobserved[-1]) for lists in teacher.unobserved]
        assert chance < to_last[0] < to_last[1] < to_last[2] < to_last[3]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert 10 * chance < overlap(teachers[one].unobserved[-1], teachers[other].unobserved[-1]) < 0.9
    again = synthetic_trajectory(drawn, observed, 1, length=30)
    assert torch.equal(again.unobserved, teachers[1].unobserved)
    assert torch.equal(again.observed_ranks, teachers[1].observed_ranks)


def test_popular_items_are_listed_more_often() -> None:
    drawn = world(n_clusters=5)
    nobody = Ragged(torch.zeros(U + 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    teacher = synthetic_trajectory(drawn, nobody, teacher=0, snapshots=1, length=30)
    counts = np.bincount(teacher.unobserved.flatten().long().numpy(), minlength=I)
    assert counts[drawn.members[:, :20]].mean() > 3 * counts[drawn.members[:, -100:]].mean()


def test_teachers_refuse() -> None:
    drawn = world()
    nobody = Ragged(torch.zeros(U + 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="need clusters of 480 items or more; these have 300"):
        synthetic_trajectory(drawn, nobody, 0, length=400)
    with pytest.raises(ValueError, match="observed has 2 users; allowed: 600"):
        synthetic_trajectory(drawn, Ragged(torch.zeros(3).long(), torch.zeros(0).long()), 0)
