"""What a student's own list is taught: against a naive oracle, by hand, at the edges, and by its gradient."""

from __future__ import annotations

import baseline_oracles as oracle
import pytest
import torch
from draws import normal, padded
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core import disagreement
from recbole_hetcomp.core import own_list_loss as loss_of_ranks
from recbole_hetcomp.core.rankings import PAD, ranks_in

N_ITEMS, WIDTH = 12, 5
LISTS = st.lists(st.permutations(range(N_ITEMS)).flatmap(lambda all_: st.integers(0, WIDTH).map(lambda n: all_[:n])),
                 min_size=2, max_size=2)  # fmt: skip


def own_list_loss(scores: torch.Tensor, own: torch.Tensor, taught: torch.Tensor, T: float) -> torch.Tensor:
    return loss_of_ranks(scores, own, ranks_in(taught, own, absent=PAD), T)


@settings(deadline=None)
@given(LISTS, st.integers(0, 99))
def test_it_is_the_cross_entropy_over_the_own_list_of_what_the_teachers_list_of_it(lists, seed):
    own, taught = lists
    f = normal(seed, N_ITEMS)
    found = own_list_loss(f[padded([own], WIDTH).clamp(min=0)], padded([own], WIDTH), padded([taught], WIDTH), 4.0)
    assert found.item() == pytest.approx(oracle.cross_entropy(f.tolist(), own, taught, T=4.0, tau=1.0), rel=1e-6)
    share = len(set(taught) - set(own)) / len(taught) if taught else 0.0
    rank = ranks_in(padded([taught], WIDTH), padded([own], WIDTH), absent=PAD)
    assert disagreement(rank, padded([taught], WIDTH)).item() == pytest.approx(share)
    first = padded([taught[:2]], 2)  # of the first two alone
    share = len(set(taught[:2]) - set(own)) / len(taught[:2]) if taught else 0.0
    assert disagreement(rank, first).item() == pytest.approx(share)


def test_it_falls_as_the_taught_items_of_the_list_rise_in_it():
    own, taught = torch.tensor([[3, 1, 2]]), torch.tensor([[2, 9, 1]])
    worst, best = (own_list_loss(torch.tensor([scores]), own, taught, 20.0) for scores in ([2.0, 1, 0], [0.0, 1, 2]))
    assert float(best) < float(worst)


@pytest.mark.parametrize(("own", "taught"), [([], [1, 2]), ([1, 2], []), ([1, 2], [3, 4]), ([], [])])
def test_nothing_in_both_lists_is_no_loss_and_no_gradient(own, taught):
    scores = normal(0, 1, 3).requires_grad_()
    loss = own_list_loss(scores, padded([own], 3), padded([taught], 3), 20.0)
    assert float(loss.detach()) == 0.0
    assert not torch.autograd.grad(loss.sum(), scores)[0].any()


@pytest.mark.parametrize(("first", "T"), [(101, 1.0), (1800, 20.0), (200, 0.5)])
def test_a_list_whose_items_the_teachers_rank_low_has_a_target_of_mass_one(first, T):
    taught = torch.arange(first, -1, -1)[None]  # the own list holds the item of that rank, and the one before
    one = own_list_loss(torch.zeros(1, 2), torch.tensor([[0, 9999]]), taught, T)
    assert float(one) == pytest.approx(torch.log(torch.tensor(2.0)).item())
    both = own_list_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 0]]), taught, T).item()
    assert both == pytest.approx(oracle.cross_entropy([0.0, 1.0], [1, 0], [1, 0], T=T, tau=1.0), rel=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    own, taught = padded([[4, 2, 7, 1], [5, 6]], 4), padded([[1, 9, 4], [6, 5, 2]], 3)
    scores = normal(1, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: own_list_loss(f, own, taught, 3.0), (scores,))


def test_scores_that_differ_by_hundreds_stay_finite():
    scores = torch.tensor([[900.0, -900.0, 0.0]], requires_grad=True)
    loss = own_list_loss(scores, torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3]]), 20.0)
    assert 800 < float(loss.detach()) < 1800
    assert torch.isfinite(torch.autograd.grad(loss.sum(), scores)[0]).all()
