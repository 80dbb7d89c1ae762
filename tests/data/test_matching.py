"""Rows at the places of their ids: by hand, against a naive loop, and what no order of ids may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recbole_hetcomp.data.matching import Matching, neighbour_means, rows_before


def matching(users: list[int], items: list[int], before: tuple[int, int], pairs: list[tuple[int, int]]) -> Matching:
    shape = len(users), len(items)
    left, right = zip(*pairs) if pairs else ((), ())
    ones = csr_matrix((np.ones(len(pairs), dtype=np.float32), (left, right)), shape)
    return Matching(
        {"user": torch.tensor(users), "item": torch.tensor(items)}, dict(zip(("user", "item"), before)), ones
    )


def test_ids_are_matched_as_text_and_padding_stays_padding():
    assert rows_before(["[PAD]", 3, "x", "1"], ["[PAD]", "1", "2", "3"]).tolist() == [0, 3, -1, 1]
    assert rows_before(["[PAD]", "a"], ["[PAD]"]).tolist() == [0, -1]


def naive_means(table: np.ndarray, new: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    known = [row for row in range(1, len(table)) if not new[row]]
    found = []
    for row in np.flatnonzero(new):
        seen = []
        for partner in np.flatnonzero(pairs[row]):
            others = [table[other] for other in known if pairs[other, partner]]
            if others:
                seen.append(np.mean(others, axis=0))
        found.append(np.mean(seen or [table[other] for other in known], axis=0))
    return np.array(found)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 9), m=st.integers(1, 6), share=st.sampled_from([0.0, 0.2, 0.6]))
def test_means_of_neighbours_are_those_of_a_loop(seed, n, m, share):
    draw = np.random.default_rng(seed)
    pairs = (draw.random((n, m)) < share).astype(np.float32)
    pairs[0] = 0.0
    new = draw.random(n) < 0.5
    new[[0, 1]] = False
    new[2] = True
    table = draw.normal(size=(n, 2))
    found = neighbour_means(table, new, csr_matrix(pairs))
    np.testing.assert_allclose(found, naive_means(table, new, pairs), rtol=1e-6, atol=1e-9)


def test_both_dimensions_of_a_table_of_users_and_items_are_moved():
    one = matching([0, 2, 1], [0, 1, 3, 2], (3, 4), [(1, 1)])
    before = torch.arange(12.0).view(3, 4)
    axes = one.axes("table", before.shape, (3, 4))
    assert axes == ["user", "item"]
    expected = before[[0, 2, 1]][:, [0, 1, 3, 2]]
    assert torch.equal(one.moved(before, torch.zeros(3, 4), axes), expected)


def test_a_new_row_stands_where_its_neighbours_stand():
    one = matching([0, 1, 2, -1], [0, 1], (3, 2), [(1, 1), (2, 1), (3, 1)])
    before = torch.tensor([[9.0], [1.0], [3.0]])
    found = one.moved(before, torch.zeros(4, 1, dtype=torch.float64), ["user", None])
    assert found.tolist() == [[9.0], [1.0], [3.0], [2.0]]
    assert found.dtype == torch.float64


def test_what_is_no_dimension_of_users_or_items_stays():
    one = matching([0, 1], [0, 1, -1], (2, 2), [])
    assert one.axes("weight", (5, 7), (5, 7)) == [None, None]
    value = normal(0, 5, 7)
    assert torch.equal(one.moved(value, torch.zeros(5, 7, dtype=torch.float64), [None, None]), value)


def test_as_many_users_as_items_are_told_apart_by_name():
    one = matching([0, 2, 1], [0, 1, 2], (3, 3), [])
    assert one.axes("user_embedding.weight", (3, 8), (3, 8)) == ["user", None]
    assert one.axes("item_embedding.weight", (3, 8), (3, 8)) == ["item", None]
    with pytest.raises(ValueError, match="its name says neither"):
        one.axes("table.weight", (3, 8), (3, 8))


@pytest.mark.parametrize(("before", "today"), [((3, 8), (3, 9)), ((3, 8), (3,)), ((4, 8), (3, 8))])
def test_another_models_shapes_are_refused(before, today):
    with pytest.raises(ValueError, match="dimension"):
        matching([0, 1, 2], [0, 1, 2, 3, 4], (3, 5), []).axes("table", before, today)


def test_in_words():
    assert matching([0, 1, -1], [0, 1], (2, 2), []).in_words() == "1 of 2 users and 1 of 1 items"
