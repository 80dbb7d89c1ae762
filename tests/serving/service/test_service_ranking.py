"""Lists of an export: by hand, against a naive ranking, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from export_folders import random_export, small_export
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.serving.exported import read
from recbole_hetcomp.serving.service.ranking import Ranker, best


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Ranker:
    return Ranker(read(small_export(tmp_path_factory.mktemp("exports") / "small")))


def names(ranker: Ranker, rows: Any) -> list[str]:
    return [ranker.items[row] for row in rows]


def test_a_users_list_leaves_out_what_the_user_has_ties_to_the_smaller_row(small):
    ann = small.of_user(small.user_row("ann"), 3)
    assert names(small, ann.rows) == ["w", "z", "x"]
    assert ann.scores.tolist() == [3, 2, 1]
    assert names(small, small.of_user(small.user_row("7"), 4).rows) == ["x", "y", "z", "w"]


def test_a_list_is_shorter_where_no_more_are_left(small):
    bob = small.user_row("bob")
    assert names(small, small.of_user(bob, 4).rows) == ["y", "z"]
    assert names(small, small.of_user(bob, 4, small.item_rows(["y", "unheard of", "y"])).rows) == ["z"]
    assert len(small.of_user(bob, 4, small.item_rows(["y", "z"])).rows) == 0


def test_what_is_popular(small):
    assert names(small, small.popular(3).rows) == ["y", "z", "w"]
    assert small.popular(3).scores.tolist() == [5, 5, 2]
    assert names(small, small.popular(2, small.item_rows(["y", "y", "w"])).rows) == ["z", "x"]
    assert names(small, small.popular(9).rows) == ["y", "z", "w", "x"]


def test_items_alike_by_their_cosine(small):
    alike = small.similar(small.item_row("y"), 9)  # y and z point the same way
    assert names(small, alike.rows) == ["z", "w", "x"]
    np.testing.assert_allclose(alike.scores, [1, 12 / np.sqrt(18 * 10), 15 / np.sqrt(18 * 17)], rtol=1e-6)


def test_a_vector_of_zeros_is_like_nothing(tmp_path):
    ranker = Ranker(read(small_export(tmp_path / "zeros", items=[[0, 0], [1, 1], [-1, 1], [2, 2]])))
    assert ranker.similar(0, 3).scores.tolist() == [0, 0, 0]
    assert names(ranker, ranker.similar(1, 3).rows) == ["w", "x", "z"]


def test_the_ensembles_list_ends_where_it_is_padded(small, tmp_path):
    assert names(small, small.of_ensemble(0, 5)) == ["z", "x"]
    assert names(small, small.of_ensemble(2, 2)) == ["w", "y"]
    assert Ranker(read(small_export(tmp_path / "without", ensemble=None))).of_ensemble(0, 5) is None


def test_what_is_not_known_has_no_row(small):
    assert small.user_row("nobody") is None
    assert small.item_row("nothing") is None
    assert small.item_rows(["nothing", "z"]).tolist() == [2]


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(st.integers(-3, 3) | st.just(-np.inf), max_size=40).map(lambda s: np.array(s, np.float32)),
    k=st.integers(1, 50),
)
def test_the_best_rows_are_those_of_a_full_sort(scores, k):
    order = sorted((row for row in range(len(scores)) if scores[row] > -np.inf), key=lambda row: (-scores[row], row))
    assert best(scores, k).tolist() == order[:k]


def test_lists_of_a_larger_export_are_the_naive_ones(tmp_path):
    exported = read(random_export(tmp_path / "random"))
    ranker = Ranker(exported)
    scores = exported.users.astype(np.float64) @ exported.items.T.astype(np.float64)
    for row in range(len(ranker.users)):
        had = set(ranker.history(row).tolist())
        order = [item for item in np.argsort(-scores[row], kind="stable").tolist() if item not in had]
        assert ranker.of_user(row, 20).rows.tolist() == order[:20]
        assert not had & set(ranker.of_user(row, 300).rows.tolist())


def test_what_happens_to_the_folder_later_changes_nothing(tmp_path):
    folder = random_export(tmp_path / "export")
    ranker = Ranker(read(folder))
    before = ranker.of_user(3, 10).rows.tolist()
    for file in folder.iterdir():
        file.write_bytes(b"\0" * file.stat().st_size)
    assert ranker.of_user(3, 10).rows.tolist() == before


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"users": [[1, np.nan], [0, 1], [0, 0]]}, "user vectors hold what is no finite number"),
        ({"items": [[1, 4], [3, 3], [np.inf, 2], [3, 1]]}, "item vectors hold what is no finite number"),
        ({"seen": [[1], [0, 4], []]}, "rows of items that users have are not all among 4 items"),
        ({"seen": [[-1], [0, 3], []]}, "rows of items that users have"),
        ({"ensemble": [[4], [0], [1]]}, "rows of the ensemble are not all among 4 items"),
        ({"user_ids": ["ann", "ann", "7"]}, "of 3 user ids only 2 are different"),
        ({"item_ids": ["x", "y", "x", "w"]}, "of 4 item ids only 3 are different"),
    ],
)
def test_what_no_request_may_meet_is_refused(how, said, tmp_path):
    with pytest.raises(DamagedFileError, match=said):
        Ranker(read(small_export(tmp_path / "export", **how)))
