"""Synthetic implicit feedback and teachers of any size, for benchmarks and tests.

The shape is that of real logs: popularity falls with an item's rank r as (r + q)^-s, Mandelbrot's form of Zipf's law
(*An informational theory of the statistical structure of language*, 1953); users' activity is log-normal; users and
items belong to latent clusters, and a user draws mostly from two clusters of their own. Within a cluster everyone
shares one popularity curve, so nothing finer than clusters and popularity can be learnt from the data.

Teachers are not trained: a user's candidates are drawn once, and each teacher ranks them by one utility that all
teachers share plus noise of its own, which earlier snapshots have more of. Lists therefore overlap between teachers,
and a teacher's snapshots come closer to its last one.

Ids count from 0. Users are worked on in blocks, and all randomness comes from the seed, so results depend on the
arguments only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.declared import default
from recbole_hetcomp.settings import Teachers
from recbole_hetcomp.trajectories import Trajectory, item_dtype, rank_dtype

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHARES = (0.6, 0.25, 0.15)
"""How much of a user's items come from the main cluster, the second one, and one elsewhere."""

_BLOCK_USERS = 4096
_ROUNDS_BY_POPULARITY = 10  # of drawing again what was drawn twice; then uniformly, for users who own the head
_CANDIDATES_PER_PLACE = 2  # of a list
_TEACHER_NOISE = 1.0  # in standard deviations of a user's taste
_EARLY_NOISE = 1.5  # likewise, at the first snapshot; falling to 0 at the last
_E, _K_PRIME = default(Teachers, "snapshots"), default(Teachers, "K_prime")
_NUMPY_TYPES = {torch.int16: np.int16, torch.int32: np.int32}


@dataclass(frozen=True)
class SyntheticWorld:
    """Latent clusters and popularity.

    Attributes:
        clusters: main, second and other cluster of each user, all different, int64 [U, 3].
        members: item ids, cluster after cluster, most popular first, int64 [C, I // C]; up to C - 1 items of a
            catalogue that C does not divide are in no cluster, and are never drawn.
        popularity: share of an item in its cluster's draws, by place in the cluster, float64 [I // C].
        n_items: I.
        seed: of everything that is drawn from this world.
    """

    clusters: Ints
    members: Ints
    popularity: Floats
    n_items: int
    seed: int

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.clusters)

    def cluster_of_items(self) -> Ints:
        """Cluster of each item, -1 for one in none, int64 [I]."""
        found = np.full(self.n_items, -1)
        found[self.members] = np.arange(len(self.members))[:, None]
        return found


def synthetic_world(
    n_users: int,
    n_items: int,
    seed: int,
    n_clusters: int | None = None,
    exponent: float = 1.0,
    shift: float = 5.0,
) -> SyntheticWorld:
    """Draw clusters and popularity.

    Args:
        n_users: U.
        n_items: I.
        seed: of this and of all that is drawn from the world.
        n_clusters: C; if None, one for about 1,000 items, and 5 or more.
        exponent: s of the popularity curve; 0 makes all items equal.
        shift: q, which flattens the curve's head.

    Raises:
        ValueError: if a number is outside the allowed ones.

    >>> world = synthetic_world(n_users=4, n_items=60, seed=1)
    >>> world.clusters.shape, world.members.shape
    ((4, 3), (5, 12))
    """
    n_clusters = max(5, n_items // 1000) if n_clusters is None else n_clusters
    if n_users < 1 or not 3 <= n_clusters <= n_items:
        raise ValueError(
            f"n_users, n_items and n_clusters are {n_users}, {n_items}, {n_clusters}; "
            "allowed: 1 or more users, 3 or more clusters, at least an item each"
        )
    if exponent < 0 or shift < 0:
        raise ValueError(f"exponent and shift are {exponent}, {shift}; allowed: 0 or more")
    rng = np.random.default_rng([seed, 0])
    size = n_items // n_clusters
    popularity = (np.arange(1, size + 1) + shift) ** -exponent
    first = (rng.random(n_users) ** 2 * n_clusters).astype(np.int64)  # some clusters have more users than others
    second = (first + rng.integers(1, n_clusters, n_users)) % n_clusters
    third = (first + rng.integers(1, n_clusters - 1, n_users)) % n_clusters
    clash = third == second
    third[clash] = (first[clash] + n_clusters - 1) % n_clusters  # the one value that the draw leaves out
    return SyntheticWorld(
        clusters=np.stack((first, second, third), axis=1),
        members=rng.permutation(n_items)[: n_clusters * size].reshape(n_clusters, size),
        popularity=popularity / popularity.sum(),
        n_items=n_items,
        seed=seed,
    )


def synthetic_interactions(world: SyntheticWorld, n_interactions: int, activity: float = 1.0) -> Ints:
    """Draw who interacted with what.

    A pair that comes up twice is drawn again; users who have nearly all of their clusters' head get what is still
    missing after some rounds uniformly from the catalogue.

    Args:
        world: clusters and popularity.
        n_interactions: number of pairs, at least one and at most half the catalogue a user.
        activity: standard deviation of the logarithm of users' activity.

    Returns:
        Exactly ``n_interactions`` distinct pairs (user, item), ascending, every user in one or more, int64 [n, 2].

    Raises:
        ValueError: if there are too few or too many interactions for the users.

    >>> pairs = synthetic_interactions(synthetic_world(n_users=50, n_items=200, seed=1), n_interactions=400)
    >>> pairs.shape, len(np.unique(pairs, axis=0)), len(np.unique(pairs[:, 0]))
    ((400, 2), 400, 50)
    """
    rng = np.random.default_rng([world.seed, 1])
    missing = _activities(world, n_interactions, activity, rng)  # [U]
    curve = world.popularity.cumsum()
    found = np.empty(0, dtype=np.int64)
    for turn in range(10**6):
        users = np.repeat(np.arange(world.n_users), missing)
        if not len(users):
            break
        if turn < _ROUNDS_BY_POPULARITY:
            which = np.searchsorted(np.cumsum(SHARES), rng.random(len(users))).clip(max=2)
            place = np.searchsorted(curve, rng.random(len(users))).clip(max=len(curve) - 1)
            items = world.members[world.clusters[users, which], place]
        else:
            items = rng.integers(0, world.n_items, len(users))
        drawn = np.unique(users * world.n_items + items)
        new = drawn[~_contains(found, drawn)]
        found = np.insert(found, np.searchsorted(found, new), new)  # both ascending
        missing -= np.bincount(new // world.n_items, minlength=world.n_users)
    return np.stack((found // world.n_items, found % world.n_items), axis=1)


def _activities(world: SyntheticWorld, total: int, spread: float, rng: np.random.Generator) -> Ints:
    """Number of interactions of each user, 1 … I // 2, with this total."""
    most = world.n_items // 2
    if not world.n_users <= total <= world.n_users * most:
        raise ValueError(
            f"n_interactions is {total}; allowed: {world.n_users} … {world.n_users * most}, "
            "from one to half the catalogue a user"
        )
    weight = np.exp(spread * rng.standard_normal(world.n_users))
    counts = np.ones(world.n_users, dtype=np.int64)
    while (left := total - int(counts.sum())) > 0:
        weight[counts == most] = 0.0
        share = left * weight / weight.sum()
        more = np.floor(share).astype(np.int64)
        if not more.any():  # fewer are left than users: one each for some
            more[rng.choice(world.n_users, left, replace=False, p=weight / weight.sum())] = 1
        counts = (counts + more).clip(max=most)
    return counts


def _contains(sorted_values: Ints, wanted: Ints) -> NDArray[np.bool_]:
    """Which of the wanted values are among the sorted ones."""
    if not len(sorted_values):
        return np.zeros(wanted.shape, dtype=bool)
    place = np.searchsorted(sorted_values, wanted).clip(max=len(sorted_values) - 1)
    return np.asarray(sorted_values[place] == wanted)


def write_atomic(folder: Path | str, name: str, pairs: Ints) -> Path:
    """Write pairs as the atomic file of a RecBole data set: ``folder/name/name.inter``.

    RecBole finds it under ``data_path=folder`` and ``dataset=name``.

    Returns:
        The file.
    """
    file = Path(folder) / name / f"{name}.inter"
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(pairs, columns=["user_id:token", "item_id:token"]).to_csv(file, sep="\t", index=False)
    return file


def synthetic_trajectory(
    world: SyntheticWorld, observed: Ragged, teacher: int, snapshots: int = _E, length: int = _K_PRIME
) -> Trajectory:
    """The snapshots of one made-up teacher.

    Candidates, two for each place of a list, are a sample without repeats: a cluster's items are cut, by popularity,
    into as many strata as it gives candidates, equally likely each, and a stratum gives one item. Observed items are
    taken out, so a list is full unless the user has seen half of the candidates; ``PAD`` stands behind a shorter one.

    Args:
        world: clusters and popularity.
        observed: N+_u.
        teacher: which teacher, from 0; another number is another one, of the same users and candidates.
        snapshots: E.
        length: K'.

    Raises:
        ValueError: if ``observed`` has other users, or the clusters have too few items for the lists.

    >>> world = synthetic_world(n_users=3, n_items=100, seed=1)
    >>> nobody = Ragged(torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    >>> synthetic_trajectory(world, nobody, teacher=0, snapshots=2, length=5).unobserved.shape
    torch.Size([2, 3, 5])
    """
    if observed.n_rows != world.n_users:
        raise ValueError(f"observed has {observed.n_rows} users; allowed: {world.n_users}, those of the world")
    offsets, values = observed.offsets.numpy(), observed.values.numpy()
    strata = _candidate_strata(world, length)
    longest = int(observed.lengths().max())
    lists = torch.empty(snapshots, world.n_users, length, dtype=item_dtype(world.n_items))
    ranks = torch.empty(snapshots, len(values), dtype=rank_dtype(longest))
    for block in _blocks(world.n_users):
        history = slice(offsets[block.start], offsets[block.stop])
        rows = np.repeat(np.arange(block.start, block.stop), np.diff(offsets[block.start : block.stop + 1]))
        keys = rows * world.n_items + values[history]
        shared = np.random.default_rng([world.seed, 2, block.start])
        candidates, utility = _candidates(world, strata, block, keys, shared)
        seen_utility = shared.standard_normal(len(keys), dtype=np.float32)
        for e, (noise, seen_noise) in enumerate(_noises(world, teacher, block, snapshots, utility.shape, len(keys))):
            lists[e, block] = torch.from_numpy(_listed(candidates, utility + noise, length)).to(lists.dtype)
            order = np.lexsort((seen_utility + seen_noise, rows))
            rank = np.empty(len(keys), dtype=_NUMPY_TYPES[ranks.dtype])
            rank[order] = np.arange(len(keys)) - (offsets[rows] - history.start)
            ranks[e, history] = torch.from_numpy(rank)
    epochs = tuple(10 * (e + 1) for e in range(snapshots))
    scores = tuple((e + 1) / snapshots for e in range(snapshots))
    return Trajectory(lists, ranks, epochs, scores)


def _blocks(n_users: int) -> Iterator[slice]:
    for start in range(0, n_users, _BLOCK_USERS):
        yield slice(start, min(start + _BLOCK_USERS, n_users))


def _candidate_strata(world: SyntheticWorld, length: int) -> list[Ints]:
    """For main, second and other cluster, where its strata begin and the last one ends, int64 [n + 1] each."""
    total, size = _CANDIDATES_PER_PLACE * length, len(world.popularity)
    counts = [round(total * share) for share in SHARES[1:]]
    counts = [total - sum(counts), *counts]
    if counts[0] > size:
        raise ValueError(f"lists of {length} need clusters of {counts[0]} items or more; these have {size}")
    return [_strata(world.popularity, count) for count in counts]


def _strata(popularity: Floats, count: int) -> Ints:
    """Cut places into ``count`` runs of equal popularity, or of one item where that has more, int64 [count + 1]."""
    certain = 0  # places at the head that are runs of their own
    while certain < count and popularity[certain] * (count - certain) > popularity[certain:].sum():
        certain += 1
    head = np.arange(certain)
    reached = popularity[certain:].cumsum() / popularity[certain:].sum() * (count - certain)
    starts = certain + np.searchsorted(reached, np.arange(count - certain), side="right")
    return np.concatenate((head, starts, [len(popularity)]))


def _candidates(
    world: SyntheticWorld, strata: list[Ints], block: slice, seen: Ints, rng: np.random.Generator
) -> tuple[Ints, NDArray[np.float32]]:
    """Candidates of a block's users and how much each likes them, -inf for those seen, both [B, n]."""
    clusters = world.clusters[block]
    chosen, liking = [], []
    for column, starts in enumerate(strata):
        widths = np.diff(starts)
        place = starts[:-1] + (rng.random((len(clusters), len(widths))) * widths).astype(np.int64)
        chosen.append(world.members[clusters[:, column : column + 1], place])
        liking.append(np.broadcast_to(-np.log1p(np.arange(len(widths)) / SHARES[column]), place.shape))
    candidates = np.concatenate(chosen, axis=1)
    utility = np.concatenate(liking, axis=1).astype(np.float32)
    utility += rng.standard_normal(utility.shape, dtype=np.float32)
    users = np.arange(block.start, block.stop)[:, None]
    utility[_contains(seen, users * world.n_items + candidates)] = -np.inf
    return candidates, utility


def _noises(
    world: SyntheticWorld, teacher: int, block: slice, snapshots: int, shape: tuple[int, ...], n_seen: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """A teacher's noise at each snapshot, for candidates [B, n] and observed items [n_seen]."""
    rng = np.random.default_rng([world.seed, 3, teacher, block.start])

    def normal(scale: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        all_items, seen = (rng.standard_normal(size, dtype=np.float32) for size in (shape, (n_seen,)))
        return np.float32(scale) * all_items, np.float32(scale) * seen

    own = normal(_TEACHER_NOISE)
    for e in range(snapshots):
        early = _EARLY_NOISE * (snapshots - 1 - e) / max(1, snapshots - 1)
        if early:
            more = normal(early)
            yield own[0] + more[0], own[1] + more[1]
        else:
            yield own


def _listed(candidates: Ints, utility: NDArray[np.float32], length: int) -> Ints:
    """The best candidates that are not ruled out, best first, ``PAD`` behind them, int64 [B, length]."""
    best, place = torch.from_numpy(utility).topk(length, dim=1)
    items = np.take_along_axis(candidates, place.numpy(), axis=1)
    items[best.numpy() == -np.inf] = PAD
    return items
