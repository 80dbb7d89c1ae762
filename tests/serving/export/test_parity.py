"""What counts as the same list, against hand-made cases and a naive ranking; graph and index against it too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core import top_k
from recbole_hetcomp.serving.export.compressed import compress, decompress
from recbole_hetcomp.serving.export.parity import Agreement, ParityError, check, judge
from recbole_hetcomp.serving.export.rankers import of_vectors

SCORES = torch.tensor([[3.0, 2.0, 2.0, 1.0, -torch.inf]])


@pytest.mark.parametrize(
    ("other", "verdict", "overlap"),
    [
        ([0, 1, 2], 0, 1.0),
        ([0, 2, 1], 1, 1.0),  # a tie
        ([0, 1, 3], 2, 2 / 3),
        ([1, 0, 2], 2, 1.0),  # the order matters
        ([0, 1, 1], 2, 2 / 3),  # an item twice
        ([0, 1, -1], 2, 2 / 3),  # too short
        ([0, 1, 4], 2, 2 / 3),  # no candidate
    ],
)
def test_verdicts(other, verdict, overlap):
    found, share = judge(SCORES, top_k(SCORES, 3), torch.tensor([other]))
    assert found.tolist() == [verdict]
    assert share.tolist() == pytest.approx([overlap])


def test_a_tie_at_the_end_may_be_cut_either_way():
    found, share = judge(SCORES, top_k(SCORES, 2), torch.tensor([[0, 2]]))
    assert found.tolist() == [1]
    assert share.tolist() == [0.5]


def test_a_user_without_candidates_agrees_with_an_empty_list_alone():
    nothing = torch.full((1, 3), -torch.inf)
    empty = top_k(nothing, 2)
    assert judge(nothing, empty, torch.tensor([[-1, -1]]))[0].tolist() == [0]
    assert judge(nothing, empty, torch.tensor([[-1, -1]]))[1].tolist() == [1.0]


def test_the_worst_is_named():
    check({"a": Agreement(9, 1, 0, 1.0)}, 5)
    with pytest.raises(ParityError, match="top 5 differ from the model's beyond ties: b for 2 of 10 users"):
        check({"a": Agreement(9, 1, 0, 1.0), "b": Agreement(8, 0, 2, 0.9)}, 5)


def naive(users, items, seen, k):
    lists = []
    for row, own in zip(users @ items.T, seen):
        order = sorted((-score, place) for place, score in enumerate(row.tolist()) if place not in own)
        best = [place for _, place in order[:k]]
        lists.append(best + [-1] * (k - len(best)))
    return lists


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_each_runtime_ranks_as_a_naive_loop(data, tmp_path_factory):
    pytest.importorskip("faiss")
    pytest.importorskip("onnxruntime")
    from recbole_hetcomp.serving.export.index import EXACT, IndexRanker, write_index
    from recbole_hetcomp.serving.export.onnx_model import OnnxRanker, write_graph

    draw = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    n_users, n_items = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 12))
    k, most = data.draw(st.integers(1, n_items)), data.draw(st.integers(0, n_items))
    users = draw.integers(-3, 4, (n_users, 3)).astype(np.float32)  # whole numbers: many ties, no rounding
    items = draw.integers(-3, 4, (n_items, 3)).astype(np.float32)
    own = [draw.permutation(n_items)[: draw.integers(0, most + 1)].tolist() for _ in range(n_users)]
    seen = np.full((n_users, most), -1, dtype=np.int64)
    for row, listed in enumerate(own):
        seen[row, : len(listed)] = sorted(listed)
    rows = np.arange(n_users, dtype=np.int64)
    wanted = naive(users, items, own, k)
    place = tmp_path_factory.mktemp("runtimes")
    write_graph(place / "graph.onnx", users, items)
    write_index(place / "items.faiss", EXACT, items)
    assert of_vectors(users, items)(rows, seen, k).tolist() == wanted
    assert OnnxRanker(place / "graph.onnx")(rows, seen, k).tolist() == wanted
    scores = torch.from_numpy(users @ items.T)
    for row, listed in enumerate(own):
        scores[row, listed] = -torch.inf
    found = torch.from_numpy(IndexRanker(place / "items.faiss", users)(rows, seen, k))
    assert (judge(scores, torch.tensor(wanted), found)[0] < 2).all()  # an index breaks ties as it likes


@pytest.mark.parametrize(("precision", "bound"), [("float16", 1e-3), ("int8", 1 / 254)])
def test_compressed_vectors_are_near(precision, bound):
    table = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    table[3] = 0
    users, items = decompress(compress(precision, table, table[:20]))
    assert users.shape == (40, 7)
    assert np.abs(users - table).max() <= bound * np.abs(table).max() + 1e-7
    assert np.array_equal(items, users[:20])


def test_what_float16_cannot_hold_is_refused():
    large = np.full((1, 2), 1e6, dtype=np.float32)
    with pytest.raises(ValueError, match="float16 ends at"):
        compress("float16", large, large)
