"""Dropout of rows that are mostly zero: torch's distribution, drawn for what is not zero alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from recbole_hetcomp.recbole_bridge import sparse_dropout
from recbole_hetcomp.recbole_bridge.sparse_dropout import SparseDropout, dropout_for, dropout_of_rows


@pytest.fixture
def rows(monkeypatch) -> torch.Tensor:
    """A batch that counts as large, a tenth of it not zero."""
    monkeypatch.setattr(sparse_dropout, "LARGE", 1000)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(200, 500, generator=generator) * (torch.rand(200, 500, generator=generator) < 0.1)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_what_stays_is_scaled_and_what_was_zero_stays_zero(rows, p):
    torch.manual_seed(1)
    dropped = dropout_of_rows(rows, p, training=True)
    kept = dropped != 0
    assert dropped.shape == rows.shape
    assert not (kept & (rows == 0)).any()
    torch.testing.assert_close(dropped[kept], rows[kept] / (1 - p))
    count = int((rows != 0).sum())
    assert int(kept.sum()) / count == pytest.approx(1 - p, abs=5 * (p * (1 - p) / count) ** 0.5)  # 5 s.d.
    assert not torch.equal(dropped, dropout_of_rows(rows, p, training=True))  # drawn anew


def test_only_what_is_not_zero_is_drawn(rows):
    torch.manual_seed(1)
    dropout_of_rows(rows, 0.5, training=True)
    after = torch.rand(1)
    torch.manual_seed(1)
    F.dropout(torch.ones(int((rows != 0).sum())), 0.5)
    assert torch.equal(after, torch.rand(1))


def test_it_is_torchs_own_where_nothing_is_gained(rows):
    dense = torch.rand(200, 500)
    with_gradient = rows.clone().requires_grad_()
    for case in (dense, rows[:1], with_gradient):
        torch.manual_seed(1)
        found = dropout_of_rows(case, 0.5, training=True)
        torch.manual_seed(1)
        assert torch.equal(found, F.dropout(case, 0.5))
    assert dropout_of_rows(rows, 0.5, training=False) is rows


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything_may_be_dropped(rows, p):
    assert torch.equal(dropout_of_rows(rows, p, training=True), rows * (1 - p))


def test_a_probability_that_is_none_is_refused(rows):
    with pytest.raises(ValueError, match="between 0 and 1"):
        dropout_of_rows(rows, 1.5, training=True)


def test_rows_need_not_be_contiguous(rows):
    assert dropout_of_rows(rows.T, 0.5, training=True).shape == (500, 200)


def test_who_calls_torch_gets_it_too(rows):
    layers = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    torch.manual_seed(1)
    expected = dropout_of_rows(rows, 0.5, training=True)
    with SparseDropout():
        for call in (lambda: F.dropout(rows), lambda: F.dropout(rows, 0.5, True), lambda: layers(rows)):
            torch.manual_seed(1)
            assert torch.equal(call(), expected)
        assert F.dropout(rows, training=False) is rows
        changed = rows.clone()
        assert F.dropout(changed, 0.5, inplace=True) is changed
    torch.manual_seed(1)
    assert not torch.equal(F.dropout(rows), expected)


def test_autoencoders_train_with_it_and_no_one_else():
    from recbole.model.general_recommender import BPR, MultiVAE

    class Wrapping(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    bare = [kind.__new__(kind) for kind in (MultiVAE, BPR)]
    for model in bare:
        nn.Module.__init__(model)
    assert isinstance(dropout_for(bare[0]), SparseDropout)
    assert isinstance(dropout_for(Wrapping(bare[0])), SparseDropout)  # a student's backbone
    assert not isinstance(dropout_for(bare[1]), SparseDropout)
