"""Other ways than the method's to make one list of several: by hand, from their definitions, and as ranx has them."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.consensus import taught_observed, taught_unobserved
from recbole_hetcomp.core.rankings import PAD, Ragged
from recbole_hetcomp.lesson_settings import Consensus

FUSIONS = ("rrf", "borda", "combsum", "combmnz")
LISTS = [[5, 3, 8, 1], [3, 9], [8, 5, 3]]


def fused(fusion: str, lists: list[list[int]], weights: tuple[float, ...] | None = None, k: int = 10) -> list[int]:
    width = max(map(len, lists))
    rows = [torch.tensor([[one + [PAD] * (width - len(one))]]) for one in lists]
    chosen = Consensus(fusion=fusion, teacher_weights=weights, consistency_window=2)
    items, _ = taught_unobserved(rows, torch.zeros(1, len(lists), dtype=torch.int64), torch.tensor([0]), k, chosen)
    return [item for item in items[0].tolist() if item != PAD]


def naive(fusion: str, lists: list[list[int]], weights: tuple[float, ...]) -> list[int]:
    """From the definitions, in exact fractions; equal scores to the better best rank, then to the smaller id."""
    lists, weights = zip(*((one, weight) for one, weight in zip(lists, weights) if weight > 0))  # type: ignore[assignment]
    candidates = sorted({item for one in lists for item in one})
    scores = dict.fromkeys(candidates, Fraction(0))
    for one, weight in zip(lists, weights):
        w = Fraction(weight)
        missing = [item for item in candidates if item not in one]
        left = sum(range(1, len(missing) + 1))  # points that nobody in the list got
        for item in candidates:
            rank = one.index(item) if item in one else None
            if fusion == "rrf":
                scores[item] += 0 if rank is None else w / (60 + rank + 1)
            elif fusion == "borda":
                scores[item] += w * (Fraction(left, len(missing)) if rank is None else len(candidates) - rank)
            else:
                scores[item] += 0 if rank is None else w * (1 - Fraction(rank, len(one)))
    if fusion == "combmnz":
        scores = {item: score * sum(item in one for one in lists) for item, score in scores.items()}
    best = {item: min(one.index(item) for one in lists if item in one) for item in candidates}
    return sorted(candidates, key=lambda item: (-scores[item], best[item], item))


@pytest.mark.parametrize(
    ("fusion", "wanted"),
    [
        ("rrf", [3, 5, 8, 9, 1]),  # 3: 1/62 + 1/61 + 1/63
        ("combsum", [3, 5, 8, 9, 1]),  # 3: 3/4 + 1 + 1/3; 5: 1 + 2/3; 8: 1/2 + 1; 9: 1/2; 1: 1/4
        ("combmnz", [3, 5, 8, 9, 1]),
        (
            "borda",
            [3, 5, 8, 9, 1],
        ),  # of 5 points: 3: 4 + 5 + 3; 5: 5 + 2 + 4; 8: 3 + 2 + 5; 9: 1 + 4 + 1.5; 1: 2 + 2 + 1.5
    ],
)
def test_by_hand(fusion, wanted):
    assert fused(fusion, LISTS) == wanted


def test_they_differ():
    draws = torch.Generator().manual_seed(0)
    lists = [(torch.randperm(20, generator=draws)[:length] + 1).tolist() for length in (12, 6, 9, 3)]
    assert len({tuple(fused(fusion, lists, k=20)) for fusion in (*FUSIONS, "consensus")}) >= 4


def test_of_an_item_that_all_lists_have_the_count_decides():
    lists = [[1, 2], [3, 2], [4, 2]]  # 2 has 1/2 of each: 3/2; times 3 lists
    assert fused("combsum", lists)[0] == 2
    assert fused("combmnz", [[1, 2, 5, 6], [3, 5, 2, 7]])[:2] == [2, 5]


one_list = st.lists(st.integers(1, 12), min_size=1, max_size=6, unique=True)


@pytest.mark.parametrize("fusion", FUSIONS)
@settings(max_examples=60, deadline=None)
@given(lists=st.lists(one_list, min_size=3, max_size=3), weights=st.sampled_from([(1, 1, 1), (1, 0.5, 2), (0, 1, 1)]))
def test_as_defined(fusion, lists, weights):
    assert fused(fusion, lists, tuple(map(float, weights)), k=40) == naive(fusion, lists, weights)


@pytest.mark.parametrize("fusion", FUSIONS)
@settings(max_examples=30, deadline=None)
@given(orders=st.lists(st.permutations(range(5)), min_size=2, max_size=2))
def test_observed_items_are_ordered_likewise(fusion, orders):
    items = [4, 6, 8, 9, 11]
    observed = Ragged(torch.tensor([0, 5]), torch.tensor(items))
    ranks = [torch.tensor([order]) for order in orders]
    lists = [[items[place] for place in sorted(range(5), key=lambda n: order[n])] for order in orders]
    found = taught_observed(
        observed, ranks, torch.zeros(1, 2, dtype=torch.int64), torch.tensor([0]), 5, Consensus(fusion=fusion)
    )
    assert found[0].tolist() == naive(fusion, lists, (1.0, 1.0))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_user_without_lists_and_blocks_of_users(fusion):
    draws = torch.Generator().manual_seed(1)
    lists, other = (torch.stack([torch.randperm(40, generator=draws)[:6] for _ in range(9)])[None].int() for _ in "ab")
    lists[:, 4] = other[:, 4] = PAD
    v, users = torch.zeros(9, 2, dtype=torch.int64), torch.arange(9)
    chosen = Consensus(fusion=fusion)
    whole, _ = taught_unobserved([lists, other], v, users, 12, chosen)
    small, _ = taught_unobserved([lists, other], v, users, 12, chosen, budget=13)
    assert torch.equal(whole, small)
    assert (whole[4] == PAD).all()


@pytest.mark.slow  # numba compiles
@pytest.mark.parametrize(
    ("fusion", "method"), [("rrf", "rrf"), ("combsum", "sum"), ("combmnz", "mnz"), ("borda", "bordafuse")]
)
def test_as_ranx_has_them(fusion, method):
    ranx = pytest.importorskip("ranx")
    draws = torch.Generator().manual_seed(3)
    lists = [[(torch.randperm(30, generator=draws)[:8] + 1).tolist() for _ in range(20)] for _ in range(3)]
    runs = []
    for one in lists:
        scored = {f"u{u}": {f"i{item}": float(8 - rank) for rank, item in enumerate(row)} for u, row in enumerate(one)}
        runs.append(ranx.Run(scored))
    theirs = ranx.fuse(runs=runs, norm="rank" if method in ("sum", "mnz") else None, method=method)
    for user in range(20):
        mine = fused(fusion, [one[user] for one in lists], k=30)
        scores = theirs[f"u{user}"]
        ordered = [scores[f"i{item}"] for item in mine]
        assert ordered == pytest.approx(sorted(scores.values(), reverse=True))
