"""A vector of a user's items: recovered where the world is linear, what no order may change, rows without anything."""

from __future__ import annotations

import pytest
import torch
from draws import normal, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.student.closed_form import ClosedForm, some_rows
from recbole_hetcomp.teachers.ials import fitted_rows


def some_pairs(seed: int, n_users: int = 60, n_items: int = 40, each: int = 6) -> Ragged:
    """Users 1 … with some items of 1 … each; row 0 is padding."""
    draw = seeded(seed)
    users = torch.arange(1, n_users).repeat_interleave(each)
    return Ragged.from_pairs(users, torch.randint(1, n_items, (len(users),), generator=draw), n_users)


def row(pairs: Ragged, number: int) -> list[int]:
    return pairs.values[pairs.offsets[number] : pairs.offsets[number + 1]].tolist()


def test_features_are_least_squares_the_mean_the_number_and_one():
    pairs, other = some_pairs(0), normal(1, 40, 3)
    form = ClosedForm(other, 0.2, other.new_zeros(0))
    found = form.features(pairs)
    torch.testing.assert_close(found[:, :3], fitted_rows(pairs, other, 0.2, 0.03, 1.0))
    for user in range(1, 60):
        items = row(pairs, user)
        torch.testing.assert_close(found[user, 3:6], other[items].mean(0))
        assert found[user, 6].item() == pytest.approx(torch.tensor(1.0 + len(items)).log().item())
    assert found[0].tolist() == [0.0] * 7 + [1.0]  # nobody


def test_vectors_that_are_linear_in_what_the_items_say_are_recovered():
    pairs, other = some_pairs(0, each=9), normal(1, 40, 3)
    everyone = torch.ones(60, dtype=torch.bool)
    weight = ClosedForm.of(normal(3, 60, 2), other, pairs, everyone).unobserved_weight
    truth = normal(2, 8, 2)
    own = ClosedForm(other, weight, truth).vectors(pairs)
    known = torch.arange(60) < 50
    own_but_of_strangers = own.clone()
    own_but_of_strangers[50:] = 99.0  # never looked at
    found = ClosedForm.of(own_but_of_strangers, other, pairs, known).vectors(pairs)
    assert (found[50:] - own[50:]).norm() < 0.1 * own[50:].norm()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), asked=st.lists(st.lists(st.integers(1, 39), max_size=5), min_size=1, max_size=6))
def test_a_vector_depends_on_nobody_elses_items(seed, asked):
    form = ClosedForm.of(normal(seed, 60, 4), normal(seed + 1, 40, 4), some_pairs(seed), torch.ones(60).bool())
    owner = torch.tensor([number for number, items in enumerate(asked) for _ in items], dtype=torch.int64)
    values = torch.tensor([item for items in asked for item in items], dtype=torch.int64)
    together = form.vectors(Ragged.from_pairs(owner, values, len(asked)))
    for number, items in enumerate(asked):
        listed = torch.tensor(items, dtype=torch.int64)
        alone = form.vectors(Ragged.from_pairs(torch.zeros_like(listed), listed, 1))
        torch.testing.assert_close(together[number], alone[0])


def test_some_rows_are_those_rows():
    pairs = some_pairs(0)
    asked = torch.tensor([7, 0, 3])
    found = some_rows(pairs, asked)
    assert [row(found, number) for number in range(3)] == [row(pairs, 7), [], row(pairs, 3)]


def test_nobody_to_be_like_is_refused():
    with pytest.raises(ValueError, match="nothing to be like"):
        ClosedForm.of(normal(0, 60, 4), normal(1, 40, 4), some_pairs(0), torch.zeros(60).bool())
