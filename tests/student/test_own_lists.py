"""The students' own lists: when they are made, what they count, and what a checkpoint keeps of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.own_lists import OwnLists

LISTS = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.int32)
TAUGHT = torch.tensor([[2, 1, 5, 6], [4, 7, 8, 9], [1, 2, 3, 4]], dtype=torch.int32)  # lacking 0, 1/2 and 1
USERS = torch.arange(3)


class Zeros:
    """A student whose scores are all 0."""

    def scores_of(self, users: torch.Tensor, items: torch.Tensor, factors: Any = None) -> tuple[torch.Tensor, None]:
        return torch.zeros(items.shape), None


def own_lists(most: float, **given: Any) -> OwnLists:
    return OwnLists(HetCompSettings(**{"K": 4, **given}), most)


def loss(own: OwnLists, taught: torch.Tensor = TAUGHT) -> float:
    return float(own.loss(Zeros(), USERS, taught.long(), torch.ones(3, dtype=torch.bool)))


def test_a_user_counts_by_the_square_of_what_its_list_lacks():
    own = own_lists(3.0)
    assert loss(own) == 0.0  # before there are any
    own.lists = LISTS
    assert own.lacking(LISTS, TAUGHT).tolist() == [0.0, 0.5, 1.0]
    of_two = torch.log(torch.tensor(2.0)).item()  # the third user's list holds nothing of what is taught
    assert loss(own) == pytest.approx(3.0 * 0.5 * (2 + 1) * 0.5**2 * of_two)


def test_what_is_lacking_is_of_what_is_taught_now():
    own = own_lists(3.0)
    own.lists = LISTS
    moved = torch.stack((TAUGHT[0].flip(0), TAUGHT[1], TAUGHT[2]))  # the first user's curriculum has moved on
    assert own.lacking(LISTS, moved).tolist() == [1.0, 0.5, 1.0]
    assert loss(own, moved) > loss(own)


@pytest.mark.parametrize(("K", "places"), [(1, 0.5), (2, 1.0), (4, 1.5), (100, 30.0)])
def test_a_place_counts_as_in_the_fine_loss(K, places):
    assert own_lists(1.0, K=K).places == places


@pytest.mark.parametrize(
    ("given", "epochs", "made"),
    [
        ({"own_list_from": 0.5}, 20, [10, 15]),
        ({"own_list_from": 0.0, "own_list_every": 99}, 20, [0]),
        ({"own_list_from": 1.0}, 20, []),
        ({"own_list_from": 0.9}, 1, []),
        ({"own_list_from": 0.0}, 1, [0]),
    ],
)
def test_when_they_are_made(given, epochs, made):
    own, found = own_lists(3.0, **given), []
    for epoch in range(epochs):
        if own.due(epoch, epochs):
            own.lists = LISTS
            found.append(epoch)
    assert found == made
    assert own.ever_due(epochs) is bool(made)
    assert not own_lists(0.0, **given).ever_due(epochs)


def test_what_goes_on_has_the_weight_of_its_own_settings():
    own = own_lists(3.0)
    own.lists = LISTS
    for most in (3.0, 6.0, 0.0):  # as where a sweep's trial takes over another one's checkpoint
        other = own_lists(most)
        other.load_state_dict(own.state_dict())
        assert loss(other) == pytest.approx(most / 3.0 * loss(own))


def test_a_checkpoint_without_lists_is_gone_on_from():
    own = own_lists(3.0)
    own.load_state_dict(own_lists(3.0).state_dict())
    assert loss(own) == 0.0
