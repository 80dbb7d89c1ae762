"""Top lists, ranks and ragged rows."""

from __future__ import annotations

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.rankings import (
    PAD,
    Ragged,
    lexsort,
    lists_at,
    observed_ranks,
    ranks_in,
    take_padded,
    top_k,
    user_blocks,
)

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=60, deadline=None)


def unpadded(row: torch.Tensor) -> list[int]:
    return [item for item in row.tolist() if item != PAD]


def test_top_k_orders_by_score_then_id() -> None:
    scores = torch.tensor([[0.5, 2.0, 0.5, 0.5, -1.0]])
    assert top_k(scores, 3).tolist() == [[1, 0, 2]]
    assert top_k(scores, 7).tolist() == [[1, 0, 2, 3, 4, PAD, PAD]]


@quick
@given(
    seed=seeds,
    n_items=st.integers(1, 30),
    k=st.integers(1, 40),
    levels=st.integers(1, 8),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_top_k_agrees_with_the_oracle_under_ties(
    seed: int, n_items: int, k: int, levels: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-levels, levels, (5, n_items), generator=generator).to(dtype)
    excluded = torch.rand(5, n_items, generator=generator) < 0.3
    lists = top_k(scores, k, excluded)
    assert lists.shape == (5, k)
    assert lists.dtype == torch.int64
    for row in range(5):
        banned = excluded[row].nonzero()[:, 0].tolist()
        best = oracles.top_k(scores[row].tolist(), k, banned)
        assert lists[row].tolist() == best + [PAD] * (k - len(best))


def test_top_k_treats_both_zeros_as_equal() -> None:
    assert top_k(torch.tensor([[0.0, -0.0, 0.0]]), 2).tolist() == [[0, 1]]
    assert top_k(torch.tensor([[-0.0, 0.0, -0.0, 0.0]]), 4).tolist() == [[0, 1, 2, 3]]


def test_top_k_leaves_out_minus_infinity_and_everything_excluded() -> None:
    scores = torch.tensor([[-torch.inf, 1.0], [3.0, 4.0]])
    excluded = torch.tensor([[False, False], [True, True]])
    assert top_k(scores, 2, excluded).tolist() == [[1, PAD], [PAD, PAD]]
    assert scores.tolist() == [[-torch.inf, 1.0], [3.0, 4.0]]  # arguments are not changed


def test_top_k_without_items_or_rows() -> None:
    assert top_k(torch.zeros(2, 0), 2).tolist() == [[PAD, PAD]] * 2
    assert top_k(torch.zeros(0, 3), 2).shape == (0, 2)


def test_top_k_refuses_nan_and_k_below_one() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top_k(torch.tensor([[1.0, torch.nan, 0.0]]), 1)
    with pytest.raises(ValueError, match="k is 0"):
        top_k(torch.zeros(1, 1), 0)


def test_top_k_puts_infinity_first() -> None:
    assert top_k(torch.tensor([[1.0, torch.inf, torch.inf]]), 2).tolist() == [[1, 2]]


@quick
@given(seed=seeds, length=st.integers(0, 12), looked_up=st.integers(0, 9), narrow=st.booleans())
def test_ranks_in_agrees_with_list_index(seed: int, length: int, looked_up: int, narrow: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    lists = torch.stack([torch.randperm(20, generator=generator)[:length] for _ in range(4)])
    filled = torch.randint(0, length + 1, (4, 1), generator=generator)
    lists = lists.masked_fill(torch.arange(length) >= filled, PAD)
    items = torch.randint(-1, 20, (4, looked_up), generator=generator)
    ranks = ranks_in(lists.int() if narrow else lists, items, absent=99)
    for row in range(4):
        listed = unpadded(lists[row])
        expected = [listed.index(item) if item in listed else 99 for item in items[row].tolist()]
        assert ranks[row].tolist() == expected


def test_ranks_of_a_list_in_itself_count_up() -> None:
    lists = torch.tensor([[8, 3, 5, PAD]])
    assert ranks_in(lists, lists, absent=4).tolist() == [[0, 1, 2, 4]]


@quick
@given(seed=seeds, n_items=st.integers(1, 12))
def test_observed_ranks_agree_with_the_oracle(seed: int, n_items: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 2, (4, n_items), generator=generator).float()
    mask = torch.rand(4, n_items, generator=generator) < 0.6
    observed = Ragged.from_pairs(*mask.nonzero().T, n_users=4).padded(torch.arange(4))
    ranks = observed_ranks(scores, observed)
    for row in range(4):
        items = unpadded(observed[row])
        padding = [PAD] * (observed.shape[1] - len(items))
        assert ranks[row].tolist() == oracles.observed_ranks(scores[row].tolist(), items) + padding


def test_observed_ranks_ignore_the_order_of_ids_and_what_padding_would_score() -> None:
    scores = torch.tensor([[torch.nan, 1.0, 1.0, 2.0]])
    assert observed_ranks(scores, torch.tensor([[2, 3, 1, PAD]])).tolist() == [[2, 0, 1, PAD]]
    with pytest.raises(ValueError, match="NaN"):
        observed_ranks(scores, torch.tensor([[0, 1]]))
    assert observed_ranks(scores, torch.zeros(1, 0, dtype=torch.int64)).shape == (1, 0)


def test_observed_ranks_of_a_user_of_whom_nothing_is_ranked_order_nothing() -> None:
    scores = torch.tensor([[-torch.inf, -torch.inf, 1.0], [-torch.inf, 0.5, 1.0], [0.0, 0.0, 0.0]])
    observed = torch.tensor([[0, 1], [0, 1], [PAD, PAD]])
    assert observed_ranks(scores, observed).tolist() == [[2, 2], [1, 0], [PAD, PAD]]


def test_ragged_rows_are_sorted_distinct_and_padded() -> None:
    observed = Ragged.from_pairs(torch.tensor([2, 0, 2, 2]), torch.tensor([5, 7, 3, 5]), n_users=4)
    assert observed.n_rows == 4
    assert observed.lengths().tolist() == [1, 0, 2, 0]
    assert observed.values.tolist() == [7, 3, 5]
    assert observed.padded(torch.tensor([2, 1, 0, 2])).tolist() == [[3, 5], [PAD, PAD], [7, PAD], [3, 5]]
    assert observed.padded(torch.tensor([1, 3])).shape == (2, 0)
    assert observed.padded(torch.tensor([0, 2]), fill=0).tolist() == [[7, 0], [3, 5]]
    assert take_padded(observed.values * 10, observed.positions(torch.tensor([0]))).tolist() == [[70]]


def test_ragged_without_pairs_or_users() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    observed = Ragged.from_pairs(none, none, n_users=3)
    assert observed.padded(torch.arange(3)).shape == (3, 0)
    assert observed.padded(none).shape == (0, 0)
    assert take_padded(none, torch.tensor([[PAD]])).tolist() == [[PAD]]


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [([3], [0], "user ids"), ([-1], [0], "user ids"), ([0], [-1], "item id"), ([0, 1], [0], "shapes")],
)
def test_ragged_refuses_bad_pairs(users: list[int], items: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ragged.from_pairs(torch.tensor(users), torch.tensor(items), n_users=3)


def test_lexsort_is_stable_and_the_first_key_decides() -> None:
    keys = torch.tensor([[1, 0, 1, 0]]), torch.tensor([[0, 5, 0, 4]])
    assert lexsort(*keys).tolist() == [[3, 1, 0, 2]]


def test_user_blocks_cover_everyone_once() -> None:
    for n_users, width, budget in [(0, 3, 5), (7, 3, 1), (7, 0, 2), (7, 2, 6), (7, 2, 1000)]:
        covered = [user for block in user_blocks(n_users, width, budget) for user in range(n_users)[block]]
        assert covered == list(range(n_users))
    with pytest.raises(ValueError, match="budget"):
        list(user_blocks(3, 1, 0))


def test_lists_at_takes_one_snapshot_a_user() -> None:
    trajectory = torch.arange(12, dtype=torch.int32).view(2, 3, 2)
    lists = lists_at(trajectory, torch.tensor([1, 0]), torch.tensor([2, 1]))
    assert lists.tolist() == [[10, 11], [2, 3]]
    assert lists.dtype == torch.int32
    assert lists_at(trajectory, torch.tensor([1]), torch.tensor([0]), length=1).tolist() == [[6]]
