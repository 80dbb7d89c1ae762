"""The consensus against hand-computed values, the oracle, and what must hold of it."""

from __future__ import annotations

import math

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.consensus import (
    _blocks_of_like_length,
    popularity_weights,
    rank_deviation,
    taught_observed,
    taught_unobserved,
)
from recbole_hetcomp.core.rankings import PAD, Ragged
from recbole_hetcomp.lesson_settings import Consensus

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=60, deadline=None)


def random_trajectory(
    generator: torch.Generator, n_snapshots: int, n_users: int, n_items: int, width: int
) -> torch.Tensor:
    """Distinct items in every list; a user's lists are all as long as each other, padded to ``width``."""
    filled = torch.randint(1, min(width, n_items) + 1, (n_users, 1), generator=generator)
    order = torch.rand(n_snapshots, n_users, n_items, generator=generator).argsort(dim=2)
    lists = torch.full((n_snapshots, n_users, width), PAD)
    lists[:, :, : min(width, n_items)] = order[:, :, :width]
    return lists.masked_fill(torch.arange(width) >= filled, PAD).int()


def unpadded(row: torch.Tensor) -> list[int]:
    return [item for item in row.tolist() if item != PAD]


settings_drawn = st.fixed_dictionaries(
    {
        "T_r": st.sampled_from([1.0, 10.0, 30.0]),
        "T_s": st.sampled_from([5.0, 100.0]),
        "window": st.integers(0, 4),
        "weights": st.sampled_from([None, (1.0, 0.5, 2.0), (0.0, 1.0, 1.0), (0.1, 0.2, 0.3)]),
    }
)


def _consensus(drawn: dict, **more: bool) -> Consensus:
    return Consensus(
        T_r=drawn["T_r"],
        T_s=drawn["T_s"],
        teacher_weights=drawn["weights"],
        consistency_window=drawn["window"],
        **{"use_consistency": True, **more},
    )


@quick
@given(
    seed=seeds,
    n_items=st.integers(1, 12),
    widths=st.tuples(*[st.integers(1, 12)] * 3),
    snapshots=st.tuples(*[st.integers(1, 4)] * 3),
    k=st.integers(1, 40),
    use_consistency=st.booleans(),
    drawn=settings_drawn,
)
def test_unobserved_agrees_with_the_oracle(
    seed: int,
    n_items: int,
    widths: tuple[int, ...],
    snapshots: tuple[int, ...],
    k: int,
    use_consistency: bool,
    drawn: dict,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    n_users = 5
    trajectories = [random_trajectory(generator, e, n_users, n_items, width) for e, width in zip(snapshots, widths)]
    users = torch.tensor([4, 1, 1, 0])
    v = torch.stack([torch.randint(0, e, (len(users),), generator=generator) for e in snapshots], dim=1)
    chosen = _consensus(drawn, use_consistency=use_consistency)
    items, scores = taught_unobserved(trajectories, v, users, k, chosen, budget=1 + seed % 50)
    assert items.shape == scores.shape == (len(users), k)
    assert items.dtype == torch.int64
    assert scores.dtype == torch.float64
    for row, user in enumerate(users.tolist()):
        lists = [[unpadded(snapshot[user]) for snapshot in teacher] for teacher in trajectories]
        expected = oracles.taught_unobserved(
            lists, widths, v[row].tolist(), k, use_consistency=use_consistency, **drawn
        )
        n_listed = len(expected[0])
        assert items[row].tolist() == expected[0] + [PAD] * (k - n_listed)
        assert scores[row, :n_listed].tolist() == pytest.approx(expected[1], abs=1e-10)
        assert (scores[row, n_listed:] == -torch.inf).all()


@quick
@given(
    seed=seeds,
    n_items=st.integers(1, 10),
    snapshots=st.tuples(*[st.integers(1, 4)] * 3),
    k=st.integers(1, 12),
    drawn=settings_drawn,
)
def test_observed_agrees_with_the_oracle(
    seed: int, n_items: int, snapshots: tuple[int, ...], k: int, drawn: dict
) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(4, n_items, generator=generator) < 0.6
    observed = Ragged.from_pairs(*mask.nonzero().T, n_users=4)
    lengths = observed.lengths().tolist()
    ranks = [
        torch.stack([torch.cat([torch.randperm(n, generator=generator) for n in lengths]) for _ in range(e)])
        for e in snapshots
    ]
    users = torch.tensor([3, 0, 2, 1, 3])
    v = torch.stack([torch.randint(0, e, (len(users),), generator=generator) for e in snapshots], dim=1)
    chosen = _consensus(drawn)
    stored = [teacher.short() for teacher in ranks]
    items = taught_observed(observed, stored, v, users, k, chosen, budget=1 + seed % 30)
    assert items.shape == (len(users), k)
    for row, user in enumerate(users.tolist()):
        start, stop = observed.offsets[user : user + 2].tolist()
        of_user = [teacher[:, start:stop].tolist() for teacher in ranks]
        expected = oracles.taught_observed(observed.values[start:stop].tolist(), of_user, v[row].tolist(), k, **drawn)
        assert items[row].tolist() == expected + [PAD] * (k - len(expected))


def test_hand_computed_with_an_item_that_leaves_the_list() -> None:
    # Snapshots [7, 8] and [8, 9], K' = 2. Around snapshot 1: item 8 had ranks 1, 0; item 9 ranks 2 (gone), 1.
    trajectory = torch.tensor([[[7, 8]], [[8, 9]]], dtype=torch.int32)
    around = Consensus(use_consistency=True, consistency_window=1, T_r=10.0)
    items, scores = taught_unobserved([trajectory], torch.tensor([[1]]), torch.tensor([0]), 2, around)
    consistent = math.exp(-0.5 / 100)
    assert items.tolist() == [[8, 9]]
    expected = [1 + consistent, math.exp(-0.1) + consistent]
    assert scores[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_window_zero_or_one_snapshot_has_no_deviation() -> None:
    trajectory = torch.tensor([[[7, 8]], [[8, 9]]], dtype=torch.int32)
    user, v = torch.tensor([0]), torch.tensor([[1]])
    _, still = taught_unobserved([trajectory], v, user, 2, Consensus(use_consistency=True, consistency_window=0))
    near = Consensus(use_consistency=True, consistency_window=1)
    _, alone = taught_unobserved([trajectory[1:]], v * 0, user, 2, near)
    assert still.tolist() == alone.tolist()
    assert still[0, 0].item() == pytest.approx(2.0, abs=1e-12)
    _, ablated = taught_unobserved([trajectory], v, user, 2, Consensus(use_consistency=False, T_r=10.0))
    assert ablated[0].tolist() == pytest.approx([1.0, math.exp(-0.1)], abs=1e-12)


def test_equal_scores_go_to_the_better_best_rank_then_to_the_smaller_id() -> None:
    # Teachers swap items 9 and 4: equal scores and best ranks. 3 and 2 stand at rank 2 of one teacher each.
    lists = [torch.tensor([[[9, 4, 3]]]), torch.tensor([[[4, 9, 2]]])]
    items, scores = taught_unobserved(lists, torch.tensor([[0, 0]]), torch.tensor([0]), 4)
    assert items.tolist() == [[4, 9, 2, 3]]
    assert scores[0, 0] == scores[0, 1]
    # One teacher of weight 1 and two of weight 1/2: item 6 of the first ties with item 5 of the others; then
    # with 0.1 + 0.2 against 0.3, whose sum in floating point is not equal.
    for weights in [(1.0, 0.5, 0.5), (0.3, 0.1, 0.2)]:
        lists = [torch.tensor([[[6]]]), torch.tensor([[[5]]]), torch.tensor([[[5]]])]
        chosen = Consensus(teacher_weights=weights)
        items, _ = taught_unobserved(lists, torch.zeros(1, 3).long(), torch.tensor([0]), 2, chosen)
        assert items.tolist() == [[5, 6]]


def test_the_best_rank_decides_between_equal_scores() -> None:
    # exp(-1/T_r) = 1/2: two second places are worth one first place. Item 8 is first once, 3 second twice.
    lists = [torch.tensor([[row]]) for row in ([8, 3], [5, 3], [6, 7])]
    chosen = Consensus(T_r=1 / math.log(2), use_consistency=False)
    items, scores = taught_unobserved(lists, torch.zeros(1, 3).long(), torch.tensor([0]), 4, chosen)
    assert items.tolist() == [[5, 6, 8, 3]]
    assert scores[0].tolist() == pytest.approx([1.0] * 4, abs=1e-12)


def test_three_thirds_of_a_weight_are_as_much_as_one() -> None:
    lists = [torch.tensor([[[5]]]), *[torch.tensor([[[6]]])] * 3]
    chosen = Consensus(teacher_weights=(1.0, 1 / 3, 1 / 3, 1 / 3))
    items, _ = taught_unobserved(lists, torch.zeros(1, 4).long(), torch.tensor([0]), 2, chosen)
    assert items.tolist() == [[5, 6]]
    # A third is rounded up and a fifth down: five fifths are a little less than 1 before scores are compared.
    lists = [torch.tensor([[[6]]]), *[torch.tensor([[[5]]])] * 5]
    chosen = Consensus(teacher_weights=(1.0, *[1 / 5] * 5))
    items, _ = taught_unobserved(lists, torch.zeros(1, 6).long(), torch.tensor([0]), 2, chosen)
    assert items.tolist() == [[5, 6]]


@quick
@given(seed=seeds, drawn=settings_drawn)
def test_ids_too_large_to_be_packed_with_their_scores_change_no_order(seed: int, drawn: dict) -> None:
    generator = torch.Generator().manual_seed(seed)
    small = [random_trajectory(generator, 2, 4, 12, 9) for _ in range(3)]
    large = [torch.where(lists == PAD, PAD, lists + (2**31 - 13)) for lists in small]
    v, users = torch.randint(0, 2, (4, 3), generator=generator), torch.arange(4)
    items, scores = taught_unobserved(small, v, users, 15, _consensus(drawn))
    found, found_scores = taught_unobserved(large, v, users, 15, _consensus(drawn))
    assert torch.equal(found, torch.where(items == PAD, PAD, items + (2**31 - 13)))
    assert torch.equal(found_scores, scores)


def test_equal_observed_items_go_by_id_even_where_rows_are_not_in_order_of_id() -> None:
    observed = Ragged(torch.tensor([0, 2]), torch.tensor([8, 5]))
    ranks = [torch.tensor([[0, 1]]), torch.tensor([[1, 0]])]
    assert taught_observed(observed, ranks, torch.zeros(1, 2).long(), torch.tensor([0]), 2).tolist() == [[5, 8]]


def test_the_best_rank_decides_between_equal_observed_items() -> None:
    # exp(-r/T_r) = 2^-r: ranks 0, 2, 2 of item 8 are worth as much as 1, 1, 1 of item 5.
    observed = Ragged(torch.tensor([0, 3]), torch.tensor([3, 5, 8]))
    ranks = [torch.tensor([row]) for row in ([2, 1, 0], [0, 1, 2], [0, 1, 2])]
    chosen = Consensus(T_r=1 / math.log(2), use_consistency=False)
    assert taught_observed(observed, ranks, torch.zeros(1, 3).long(), torch.tensor([0]), 3, chosen).tolist() == [
        [3, 8, 5]
    ]


@quick
@given(seed=seeds, order=st.permutations(range(4)))
def test_the_order_of_teachers_changes_nothing(seed: int, order: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    trajectories = [random_trajectory(generator, 3, 6, 10, 8) for _ in range(4)]
    v = torch.randint(0, 3, (6, 4), generator=generator)
    users = torch.arange(6)
    items, scores = taught_unobserved(trajectories, v, users, 20)
    shuffled = taught_unobserved([trajectories[m] for m in order], v[:, order], users, 20)
    assert torch.equal(items, shuffled[0])
    assert torch.equal(scores, shuffled[1])  # to the last bit


@quick
@given(seed=seeds, scale=st.sampled_from([1e-9, 0.3, 7.0, 1e9]))
def test_the_scale_of_weights_changes_no_ranking(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    trajectories = [random_trajectory(generator, 2, 6, 10, 8) for _ in range(3)]
    v, users = torch.ones(6, 3).long(), torch.arange(6)
    items, scores = taught_unobserved(trajectories, v, users, 20)
    scaled = taught_unobserved(trajectories, v, users, 20, Consensus(teacher_weights=(scale,) * 3))
    assert torch.equal(items, scaled[0])
    assert torch.allclose(scores * scale, scaled[1], rtol=1e-12)
    observed = Ragged.from_pairs(*torch.ones(6, 9).nonzero().T, n_users=6)
    ranks = [torch.stack([torch.cat([torch.randperm(9, generator=generator) for _ in users])] * 2) for _ in range(3)]
    plain, heavy = (
        taught_observed(observed, ranks, v, users, 9, Consensus(teacher_weights=(w,) * 3)) for w in (1, scale)
    )
    assert torch.equal(plain, heavy)


def test_blocks_change_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    trajectories = [random_trajectory(generator, 4, 50, 30, 20) for _ in range(3)]
    v, users = torch.randint(0, 4, (50, 3), generator=generator), torch.randperm(50, generator=generator)
    whole = taught_unobserved(trajectories, v, users, 25)
    for budget in (1, 100, 333):
        parts = taught_unobserved(trajectories, v, users, 25, budget=budget)
        assert all(torch.equal(a, b) for a, b in zip(whole, parts))


def test_a_teacher_of_weight_zero_might_as_well_not_be_there() -> None:
    lists = [torch.tensor([[[1, 2]]]), torch.tensor([[[3, 1]]])]
    v, user = torch.zeros(1, 2).long(), torch.tensor([0])
    items, _ = taught_unobserved(lists, v, user, 4, Consensus(teacher_weights=(1.0, 0.0)))
    assert items.tolist() == [[1, 2, PAD, PAD]]
    observed = Ragged(torch.tensor([0, 2]), torch.tensor([5, 8]))
    ranks = [torch.tensor([[1, 0]]), torch.tensor([[0, 1]])]
    assert taught_observed(observed, ranks, v, user, 2, Consensus(teacher_weights=(1.0, 0.0))).tolist() == [[8, 5]]
    # Nor does its rank decide between equal scores: the other two swap items 5 and 8.
    observed = Ragged(torch.tensor([0, 3]), torch.tensor([3, 5, 8]))
    ranks = [torch.tensor([row]) for row in ([0, 1, 2], [0, 2, 1], [2, 1, 0])]
    chosen = Consensus(teacher_weights=(1.0, 1.0, 0.0))
    assert taught_observed(observed, ranks, torch.zeros(1, 3).long(), user, 3, chosen).tolist() == [[3, 5, 8]]


def test_one_teacher_at_its_only_snapshot_is_its_own_ensemble() -> None:
    """A checkerboard: users like the items of their own parity, and the teacher knows it."""
    liked = [[item for item in range(8) if item % 2 == user % 2] for user in range(4)]
    trajectory = torch.tensor([liked], dtype=torch.int32)
    items, _ = taught_unobserved([trajectory], torch.zeros(4, 1).long(), torch.arange(4), 4)
    assert items.tolist() == liked


def test_users_without_items_and_no_users() -> None:
    observed = Ragged(torch.tensor([0, 0, 1]), torch.tensor([3]))
    ranks = [torch.zeros(2, 1).short()]
    assert taught_observed(observed, ranks, torch.zeros(1, 1).long(), torch.tensor([0]), 2).tolist() == [[PAD, PAD]]
    none = torch.zeros(0, dtype=torch.int64)
    assert taught_observed(observed, ranks, none.view(0, 1), none, 2).shape == (0, 2)
    lists = torch.full((2, 2, 3), PAD, dtype=torch.int32)
    items, scores = taught_unobserved([lists], torch.zeros(2, 1).long(), torch.arange(2), 2)
    assert (items == PAD).all()
    assert (scores == -torch.inf).all()
    assert taught_unobserved([lists], none.view(0, 1), none, 2)[0].shape == (0, 2)


@quick
@given(lengths=st.lists(st.integers(0, 40), max_size=30), width=st.integers(1, 9), budget=st.integers(1, 200))
def test_blocks_are_of_rows_of_like_length(lengths: list[int], width: int, budget: int) -> None:
    blocks = [block.tolist() for block in _blocks_of_like_length(torch.tensor(lengths).long(), width, budget)]
    assert sorted(row for block in blocks for row in block) == list(range(len(lengths)))
    for block in blocks:
        wide = [max(width, lengths[row]) for row in block]
        assert min(wide) >= max(wide) // 2
        assert len(block) == 1 or len(block) * max(wide) <= budget


def test_deviation_is_that_of_the_population() -> None:
    history = torch.tensor([[4, 4], [7, 4], [1, 4]])  # snapshots by items
    deviation = rank_deviation(history[1], torch.tensor([1]), 3, 1, lambda snapshot: history[snapshot])
    assert deviation is not None
    assert deviation[0].tolist() == pytest.approx([math.sqrt(6), 0.0], abs=1e-12)
    assert rank_deviation(history[1], torch.tensor([1]), 3, 0, lambda snapshot: history[snapshot]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"T_r": 0.0}, "T_r=0.0 is not allowed: it must be greater than 0"),
        ({"T_s": math.inf}, "T_s=inf is not allowed: a finite number"),
        ({"consistency_window": -1}, "consistency_window=-1 is not allowed: at least 0"),
        ({"teacher_weights": ()}, r"teacher_weights=\(\) is not allowed"),
        ({"teacher_weights": (1.0, -1.0)}, r"teacher_weights=\(1.0, -1.0\) is not allowed: numbers of at least 0"),
        ({"teacher_weights": (0.0, 0.0)}, "one of them above 0"),
        ({"teacher_weights": (math.nan,)}, "finite numbers are needed"),
    ],
)
def test_refuses_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Consensus(**arguments)


def test_refuses_a_selection_that_does_not_fit() -> None:
    lists, user = [torch.tensor([[[1, 2]]])], torch.tensor([0])
    for v in ([[1]], [[-1]]):
        with pytest.raises(ValueError, match="v runs from"):
            taught_unobserved(lists, torch.tensor(v), user, 1)
    with pytest.raises(ValueError, match="v has shape"):
        taught_unobserved(lists, torch.tensor([[0, 0]]), user, 1)
    with pytest.raises(ValueError, match="k is 0"):
        taught_unobserved(lists, torch.tensor([[0]]), user, 0)
    with pytest.raises(ValueError, match="no teacher"):
        taught_unobserved([], torch.zeros(1, 0).long(), user, 1)
    with pytest.raises(ValueError, match="2 values; allowed: 1"):
        taught_unobserved(lists, torch.tensor([[0]]), user, 1, Consensus(teacher_weights=(1.0, 1.0)))


def test_popular_items_count_less_under_a_discount() -> None:
    lists = [torch.tensor([[[4, 2, 7]]]), torch.tensor([[[2, 9, 4]]])]
    counts = torch.tensor([0, 1, 16, 1, 1, 1, 1, 4, 1, 0])
    where = torch.tensor([[0, 0]]), torch.tensor([0])
    plain, scores = taught_unobserved(lists, *where, k=4)
    assert plain.tolist() == [[2, 4, 9, 7]]
    discount = popularity_weights(counts, 0.5)
    items, discounted = taught_unobserved(lists, *where, k=4, item_weights=discount)
    assert items.tolist() == [[4, 9, 2, 7]]  # 3.819, 1.905, 3.905 / 4, 1.819 / 2
    expected = scores[0][[1, 2, 0, 3]] / torch.tensor([1.0, 1.0, 4.0, 2.0])
    torch.testing.assert_close(discounted[0], expected, rtol=0, atol=1e-9)


@quick
@given(seed=seeds, discount=st.sampled_from([0.05, 0.3, 2.0]), k=st.integers(1, 20))
def test_a_discount_multiplies_the_scores_of_all_listed_items(seed: int, discount: float, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lists = [random_trajectory(generator, 2, 3, 9, 6) for _ in range(3)]
    counts = torch.randint(0, 40, (9,), generator=generator)
    users, v = torch.arange(3), torch.randint(0, 2, (3, 3), generator=generator)
    weights = popularity_weights(counts, discount)
    items, scores = taught_unobserved(lists, v, users, k, item_weights=weights)
    everything, plain = taught_unobserved(lists, v, users, 9)
    for row in range(3):
        listed = [item for item in everything[row].tolist() if item != PAD]
        worth = [
            float(score) * max(1, int(counts[item])) ** -discount for item, score in zip(listed, plain[row].tolist())
        ]
        best = sorted(worth, reverse=True)[:k]
        assert scores[row, : len(best)].tolist() == pytest.approx(best, abs=1e-9)
        by_item = dict(zip(listed, worth))
        chosen = [item for item in items[row].tolist() if item != PAD]
        assert [by_item[item] for item in chosen] == pytest.approx(best, abs=1e-9)


def test_observed_items_are_discounted_too() -> None:
    observed, rho = Ragged(torch.tensor([0, 2]), torch.tensor([0, 1])), [torch.tensor([[0, 1]])]
    selected = torch.tensor([[0]]), torch.tensor([0])
    assert taught_observed(observed, rho, *selected, k=2).tolist() == [[0, 1]]
    discount = popularity_weights(torch.tensor([100, 1]), 1.0)
    assert taught_observed(observed, rho, *selected, k=2, item_weights=discount).tolist() == [[1, 0]]


def test_no_discount_is_no_weights() -> None:
    assert popularity_weights(torch.tensor([3, 1]), 0.0) is None


@pytest.mark.parametrize("discount", [-0.1, math.inf, math.nan])
def test_refuses_a_discount_that_favours_popular_items(discount: float) -> None:
    with pytest.raises(ValueError, match="popularity_discount"):
        popularity_weights(torch.tensor([1]), discount)
