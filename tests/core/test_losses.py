"""The losses against hand-computed values, the oracle, their gradients, and what must hold of them."""

from __future__ import annotations

import math
from functools import partial

import oracles
import pytest
import torch
from draws import normal, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.losses import (
    coarse_loss,
    fine_loss,
    masked_logsumexp,
    plackett_luce_nll,
    rest_logsumexp,
)
from recbole_hetcomp.core.rankings import PAD

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=40, deadline=None)


class Problem:
    """Scores of all items, and ragged taught lists for every user, as tensors and as Python lists."""

    def __init__(self, seed: int, n_users: int, n_items: int, K: int, P: int, scale: float = 1.0) -> None:
        generator = seeded(seed)
        self.K = K
        self.scores = normal(seed + 1, n_users, n_items, scale=scale)
        self.observed: list[list[int]] = []
        self.pi_plus: list[list[int]] = []
        self.pi_minus: list[list[int]] = []
        self.excluded = torch.zeros(n_users, n_items, dtype=torch.bool)
        for user in range(n_users):
            order = torch.randperm(n_items, generator=generator).tolist()
            n_observed = int(torch.randint(0, n_items + 1, (), generator=generator))
            self.observed.append(order[:n_observed])
            self.pi_plus.append(order[: min(n_observed, P)])
            self.pi_minus.append(order[n_observed:][:K])
            self.excluded[user, self.observed[-1] + self.pi_minus[-1]] = True
        self.plus = self._padded(self.pi_plus, P)
        self.minus = self._padded(self.pi_minus, K)

    @staticmethod
    def _padded(lists: list[list[int]], width: int) -> torch.Tensor:
        return torch.tensor([row + [PAD] * (width - len(row)) for row in lists]).view(len(lists), width)

    def loss(self, function, scores: torch.Tensor) -> torch.Tensor:
        rest = rest_logsumexp(scores, self.excluded)
        listed = [scores.gather(1, items.clamp(min=0)) for items in (self.plus, self.minus)]
        return function(*listed, rest, self.plus != PAD, self.minus != PAD)

    def expected(self, name: str) -> list[float]:
        parts = zip(self.scores.tolist(), self.observed, self.pi_plus, self.pi_minus)
        if name == "coarse":
            return [oracles.coarse_loss(*user) for user in parts]
        how = {"place_decay": 3.0} if name == "decay" else {"behind_observed": name}
        return [oracles.fine_loss(*user, self.K, **how) for user in parts]


losses = pytest.mark.parametrize(
    ("name", "function"),
    [
        ("coarse", coarse_loss),
        ("untaught", partial(fine_loss, place_decay=None)),
        ("unobserved", partial(fine_loss, behind_observed="unobserved", place_decay=None)),
        ("decay", partial(fine_loss, place_decay=3.0)),
    ],
)
problems = {
    "seed": seeds,
    "n_items": st.integers(1, 25),
    "K": st.integers(1, 22),
    "P": st.integers(0, 3),
    "scale": st.sampled_from([0.1, 1.0, 10.0]),
}


@losses
@quick
@given(**problems)
def test_losses_agree_with_the_oracle(
    name: str, function, seed: int, n_items: int, K: int, P: int, scale: float
) -> None:
    problem = Problem(seed, 5, n_items, K, P, scale)
    found = problem.loss(function, problem.scores)
    assert found.shape == (5,)
    assert found.tolist() == pytest.approx(problem.expected(name), rel=1e-9, abs=1e-9)
    single = problem.loss(function, problem.scores.float())
    assert single.dtype == torch.float32
    assert single.tolist() == pytest.approx(problem.expected(name), rel=1e-5, abs=1e-4)


@losses
@settings(max_examples=15, deadline=None)
@given(**problems)
def test_gradients_agree_with_finite_differences(
    name: str, function, seed: int, n_items: int, K: int, P: int, scale: float
) -> None:
    problem = Problem(seed, 3, n_items, K, P, min(scale, 3.0))
    scores = problem.scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: problem.loss(function, x), (scores,))


@losses
@pytest.mark.parametrize("scale", [30.0, 1e3])
@pytest.mark.parametrize("seed", range(5))
def test_gradients_in_float32_stay_finite_and_close_to_float64(name: str, function, scale: float, seed: int) -> None:
    problem = Problem(seed, 16, 120, 100, 10, scale)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        scores = problem.scores.float().to(dtype).requires_grad_()
        loss = problem.loss(function, scores)
        assert loss.isfinite().all()
        (gradient,) = torch.autograd.grad(loss.sum(), scores)
        assert gradient.isfinite().all()
        gradients.append(gradient.double())
    assert torch.allclose(*gradients, rtol=1e-3, atol=2e-3)
    assert gradients[0].abs().max() <= 110  # no item can pull harder than once for each of K + P places


@pytest.mark.parametrize("scale", [1.0, 10.0, 30.0])
def test_gradient_of_a_ranking_is_that_of_the_loops(scale: float) -> None:
    scores = normal(4, 12, scale=scale, dtype=torch.float32)
    rest = normal(5, 3, scale=scale, dtype=torch.float32)
    leaf = scores.clone().requires_grad_()
    plackett_luce_nll(leaf[None], rest.logsumexp(0)[None]).sum().backward()
    expected = oracles.rank_loss_gradient(scores.tolist(), rest.tolist())
    assert leaf.grad is not None
    assert leaf.grad.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_hand_computed() -> None:
    # Two listed items of odds 3 and 2 before one of odds 1: 3/6 and 2/3.
    ranked = torch.tensor([[3.0, 2.0]]).log()
    assert plackett_luce_nll(ranked, torch.zeros(1)).item() == pytest.approx(math.log(2 * 3 / 2), abs=1e-6)
    coarse = coarse_loss(ranked[:, :1], ranked[:, 1:], torch.zeros(1))
    assert coarse.item() == pytest.approx(math.log(4 / 3) + math.log(3 / 2), abs=1e-6)
    # K = 2, no observed item: half of [first of odds 3 before 2 and 1, twice] = log 2.
    fine = fine_loss(torch.zeros(1, 0), ranked, torch.zeros(1))
    assert fine.item() == pytest.approx(math.log(2), abs=1e-6)


def test_the_lists_of_the_fine_loss_are_cut_at_half_and_a_tenth() -> None:
    scores, rest = normal(1, 1, 20), normal(2, 1)
    behind = [torch.cat((rest[:, None], scores[:, n:]), 1).logsumexp(1) for n in (10, 2)]
    expected = 0.5 * (plackett_luce_nll(scores[:, :10], behind[0]) + plackett_luce_nll(scores[:, :2], behind[1]))
    assert fine_loss(scores[:, :0], scores, rest, place_decay=None).item() == pytest.approx(expected.item(), abs=1e-12)


def test_places_that_decay_together_count_what_both_lists_do() -> None:
    scores, rest = torch.zeros(1, 20), torch.full((1,), -torch.inf)
    terms = [math.log(20 - place) for place in range(10)]
    weights = [math.exp(-place / 3.0) for place in range(10)]
    expected = 0.5 * (10 + 2) * sum(w * term for w, term in zip(weights, terms)) / sum(weights)
    assert fine_loss(scores[:, :0], scores, rest, place_decay=3.0).item() == pytest.approx(expected, rel=1e-6)
    # slow decay: the first half alike; fast: the first place alone
    slow, fast = (fine_loss(scores[:, :0], scores, rest, place_decay=T).item() for T in (1e9, 1e-9))
    assert slow == pytest.approx(0.6 * sum(terms), rel=1e-5)
    assert fast == pytest.approx(6 * terms[0], rel=1e-6)


@quick
@given(seed=seeds, shift=st.floats(-100, 100))
def test_a_constant_added_to_all_scores_changes_no_loss(seed: int, shift: float) -> None:
    problem = Problem(seed, 4, 20, 10, 2)
    for function in (coarse_loss, fine_loss):
        shifted = problem.loss(function, problem.scores + shift)
        assert torch.allclose(problem.loss(function, problem.scores), shifted, atol=1e-9)


@quick
@given(seed=seeds, length=st.integers(1, 20))
def test_a_ranking_is_likeliest_in_the_order_of_its_scores(seed: int, length: int) -> None:
    scores, rest = normal(seed, 1, length), normal(seed + 1, 1)
    best = plackett_luce_nll(scores.sort(dim=1, descending=True)[0], rest)
    assert best <= plackett_luce_nll(scores, rest) + 1e-12


def test_likelihoods_of_all_rankings_sum_to_one() -> None:
    scores = normal(0, 4)
    orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
    orders = orders[(orders.sort(1)[0] == torch.arange(4)).all(1)]  # the 24 permutations
    nll = plackett_luce_nll(scores[orders], torch.full((24,), -torch.inf, dtype=torch.float64))
    assert (-nll).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@losses
def test_nothing_to_learn_is_exactly_zero(name: str, function, dtype: torch.dtype) -> None:
    """Row 0: padding, empty rest. Row 1: padding. Row 2: one item, empty rest: it cannot but be first."""
    garbage = [torch.nan, torch.inf, -torch.inf, 5.0]
    observed = torch.tensor([[garbage[0]], [garbage[1]], [garbage[2]]], dtype=dtype).requires_grad_()
    unobserved = torch.tensor([garbage, garbage, [3.0, *garbage[:3]]], dtype=dtype).requires_grad_()
    rest = torch.tensor([-torch.inf, 1.0, -torch.inf], dtype=dtype).requires_grad_()
    valid = torch.zeros(3, 4, dtype=torch.bool)
    valid[2, 0] = True
    loss = function(observed, unobserved, rest, torch.zeros(3, 1, dtype=torch.bool), valid)
    assert loss.tolist() == [0.0, 0.0, 0.0]
    for gradient in torch.autograd.grad(loss.sum(), (observed, unobserved, rest)):
        assert (gradient[:2] == 0).all()
        assert gradient[2].abs().max() < 1e-6  # of a listed item, not of padding: rounding is allowed


@losses
def test_an_item_that_scores_far_below_all_others_is_still_above_nothing(name: str, function) -> None:
    unobserved = torch.tensor([[-1e6, 0.0, 0.0]], dtype=torch.float64).requires_grad_()
    valid, nothing = torch.tensor([[True, False, False]]), torch.tensor([-torch.inf], dtype=torch.float64)
    loss = function(unobserved[:, :0], unobserved, nothing, None, valid)
    assert loss.tolist() == [0.0]
    assert torch.autograd.grad(loss.sum(), unobserved)[0].abs().max() < 1e-6  # rounding


def test_a_mass_over_no_kept_place_is_minus_infinity_without_gradient() -> None:
    scores = torch.tensor([[1.0, 2.0], [3.0, torch.nan]]).requires_grad_()
    mass = masked_logsumexp(scores, torch.tensor([[False, False], [True, False]]))
    assert mass.tolist() == [-math.inf, 3.0]
    assert torch.autograd.grad(mass.sum(), scores)[0].tolist() == [[0.0, 0.0], [1.0, 0.0]]


@losses
def test_padding_changes_nothing(name: str, function) -> None:
    observed, unobserved, rest = normal(1, 3, 2), normal(2, 3, 20), normal(3, 3)
    wider = torch.cat((observed, normal(4, 3, 5)), dim=1)
    valid = torch.arange(7).expand(3, 7) < 2
    expected = function(observed, unobserved, rest)
    assert torch.allclose(function(wider, unobserved, rest, valid), expected, atol=1e-12)


@losses
def test_lists_of_no_length_and_batches_of_no_user(name: str, function) -> None:
    assert function(torch.zeros(2, 0), torch.zeros(2, 0), torch.zeros(2)).tolist() == [0.0, 0.0]
    assert function(torch.zeros(0, 1), torch.zeros(0, 3), torch.zeros(0)).shape == (0,)


def test_rest_over_all_some_and_no_items() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0]] * 3).requires_grad_()
    excluded = torch.tensor([[False] * 3, [True, False, True], [True] * 3])
    rest = rest_logsumexp(scores, excluded)
    assert rest.tolist() == [pytest.approx(math.log(sum(math.exp(s) for s in (1, 2, 3)))), 2.0, -math.inf]
    rest[:2].sum().backward()
    assert scores.grad is not None
    assert scores.grad[1].tolist() == [0.0, 1.0, 0.0]
    (gradient,) = torch.autograd.grad(rest_logsumexp(scores, excluded).sum(), scores)
    assert gradient[2].tolist() == [0.0, 0.0, 0.0]


def test_rest_whose_only_items_score_minus_infinity_sends_no_nan_back() -> None:
    scores = torch.tensor([[-torch.inf, 2.0]]).requires_grad_()
    rest = rest_logsumexp(scores, torch.tensor([[False, True]]))
    assert rest.item() == -math.inf
    (gradient,) = torch.autograd.grad(rest.sum(), scores)
    assert gradient.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("function", [coarse_loss, fine_loss])
def test_arguments_are_not_changed(function) -> None:
    arguments = [normal(1, 2, 3), normal(2, 2, 10), torch.tensor([-torch.inf, 0.0]).double()]
    copies = [argument.clone() for argument in arguments]
    function(*arguments)
    assert all(torch.equal(*pair) for pair in zip(arguments, copies))


@losses
def test_every_device_gives_the_same(name, function, device):
    problem = Problem(3, 6, 20, 8, 2)
    for field in ("scores", "excluded", "plus", "minus"):
        setattr(problem, field, getattr(problem, field).to(device))
    with torch.device("meta"):  # what is made without a device fails
        found = problem.loss(function, problem.scores)
    assert found.device == problem.scores.device
    assert found.tolist() == pytest.approx(problem.expected(name))
