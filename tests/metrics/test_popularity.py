"""Popularity and concentration, against naive loops and RecBole's own metrics."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from draws import padded, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.metrics.popularity import beyond_accuracy, profile_popularity


def naive(rows, popularity, n_items, profiles, k) -> dict[str, float]:
    cut = [row[:k] for row in rows]
    users = [u for u, row in enumerate(cut) if row]
    apr = [sum(popularity[i] for i in cut[u]) / len(cut[u]) for u in users]
    counts = Counter(item for row in cut for item in row)
    ordered = sorted([*counts.values(), *[0] * (n_items - len(counts))])
    gini = sum((2 * (place + 1) - n_items - 1) * count for place, count in enumerate(ordered))
    app = [sum(popularity[i] for i in profiles[u]) / len(profiles[u]) for u in users]
    return {
        f"averagepopularity@{k}": sum(apr) / len(apr),
        f"popularitylift@{k}": (sum(apr) - sum(app)) / sum(app),
        f"itemcoverage@{k}": len(counts) / n_items,
        f"giniindex@{k}": gini / (n_items * sum(ordered)),
    }


@st.composite
def recommendations(draw):
    n_items = draw(st.integers(2, 8))
    items = st.permutations(range(n_items))
    rows = draw(st.lists(st.tuples(items, st.integers(0, 6)).map(lambda x: x[0][: x[1]]), min_size=1, max_size=5))
    rows[0] = rows[0] or [0]
    popularity = draw(st.lists(st.integers(1, 9), min_size=n_items, max_size=n_items))
    profiles = [draw(st.lists(st.integers(0, n_items - 1), min_size=1, max_size=4, unique=True)) for _ in rows]
    return rows, popularity, n_items, profiles, draw(st.integers(1, 7))


@settings(max_examples=150, deadline=None)
@given(recommendations())
def test_against_loops(case):
    rows, popularity, n_items, profiles, k = case
    pairs = [(u, i) for u, profile in enumerate(profiles) for i in profile]
    observed = Ragged.from_pairs(*torch.tensor(pairs).T, n_users=len(rows))
    counts = torch.tensor(popularity)
    found = beyond_accuracy(padded(rows, n_items), counts, n_items, profile_popularity(observed, counts), k)
    assert found == pytest.approx(naive(rows, popularity, n_items, profiles, k))


def test_equal_to_recbole_where_it_measures_the_same():
    from recbole.evaluator.metrics import AveragePopularity, GiniIndex, ItemCoverage

    n_users, n_items, k = 40, 30, 10
    lists = torch.stack([torch.randperm(n_items, generator=seeded(u)) + 1 for u in range(n_users)])[:, :k]  # ids from 1
    lists[:25] = torch.arange(1, k + 1)
    popularity = torch.randint(1, 50, (n_items + 1,), generator=seeded(3))
    popularity[0] = 0  # RecBole's padding item
    config = {"topk": [k], "metric_decimal_place": 8}
    data = {
        "rec.items": lists,
        "data.num_items": n_items,
        "data.count_items": Counter(dict(enumerate(popularity.tolist()))),
    }
    expected = {}
    for metric in (AveragePopularity, GiniIndex, ItemCoverage):
        expected.update(metric(config).calculate_metric(data))
    assert beyond_accuracy(lists, popularity, n_items, k=k) == pytest.approx(expected, abs=1e-7)


def test_the_bounds():
    popularity = torch.tensor([8, 1, 1, 1])
    one_for_all = beyond_accuracy(torch.zeros(5, 1, dtype=torch.int32), popularity, 4, torch.full((5,), 2.0), k=1)
    assert one_for_all["popularitylift@1"] == 3.0
    assert one_for_all["giniindex@1"] == pytest.approx(3 / 4)  # (I - 1) / I
    even = beyond_accuracy(torch.arange(4)[:, None], popularity, 4, k=1)
    assert even["itemcoverage@1"] == 1.0
    assert even["giniindex@1"] == 0.0


def test_users_without_lists_or_profiles_do_not_count():
    popularity = torch.tensor([4, 2])
    lists = torch.tensor([[0, 1], [PAD, PAD], [1, PAD]])
    found = beyond_accuracy(lists, popularity, 2, torch.tensor([2.0, 4.0, math.nan]), k=2)
    assert found["averagepopularity@2"] == 2.5
    assert found["popularitylift@2"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"n_items": 0}, "n_items is 0"),
        ({"lists": torch.tensor([[0, 7]])}, "lists hold item 7; allowed: 0 … 2"),
        ({"lists": torch.tensor([[-3, 1]])}, "lists hold item -3"),
        ({"lists": torch.tensor([[PAD, PAD]])}, "no user has a recommended item"),
        ({"lists": torch.tensor([0, 1])}, "needed: \\[U, L\\]"),
        ({"profiles": torch.ones(4)}, "profiles has shape"),
        ({"profiles": torch.tensor([math.nan])}, "no meaning"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    given = {"lists": torch.tensor([[0, 1]]), "popularity": torch.tensor([3, 2, 1]), "n_items": 3, "k": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        beyond_accuracy(**given)
