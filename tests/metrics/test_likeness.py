"""How alike lists are, against naive loops."""

from __future__ import annotations

import pytest
import torch
from draws import padded, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import discrepancy as naive_discrepancy

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.discrepancy import T_R
from recbole_hetcomp.metrics.likeness import likeness


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.permutations(range(9)), st.permutations(range(9)), st.integers(0, 9)), min_size=1, max_size=4
    ),
    st.integers(1, 9),
)
def test_likeness_against_loops(users, K_D):
    student = [row for row, _, _ in users]
    teacher = [row[:length] for _, row, length in users]
    if not any(teacher):
        teacher[0] = [3]
    found = likeness(padded(student, 9), padded(teacher, 9), K_D)
    taught = [u for u, row in enumerate(teacher) if row]
    shares = [len(set(student[u][:K_D]) & set(teacher[u][:K_D])) / len(teacher[u][:K_D]) for u in taught]
    distances = [naive_discrepancy(student[u], teacher[u], K_D, T_R) for u in taught]
    assert found[f"overlap@{K_D}"] == pytest.approx(sum(shares) / len(shares))
    assert found[f"discrepancy@{K_D}"] == pytest.approx(sum(distances) / len(distances))


def test_like_oneself():
    lists = torch.stack([torch.randperm(60, generator=seeded(u)) for u in range(4)])
    assert likeness(lists, lists) == {"overlap@50": 1.0, "discrepancy@50": 0.0}


def test_it_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match="the same users"):
        likeness(torch.zeros(2, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="lists no item"):
        likeness(torch.zeros(1, 3, dtype=torch.long), torch.full((1, 3), PAD))
    with pytest.raises(ValueError, match="K_D is 0"):
        likeness(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long), K_D=0)
