"""Draws of the rest, for a user or for a batch, against what they estimate."""

from __future__ import annotations

import math

import pytest
import torch
from draws import normal, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.losses import rest_logsumexp
from recbole_hetcomp.core.rankings import PAD, Ragged
from recbole_hetcomp.core.sampling import (
    draw_items,
    rest_size,
    sample_rest,
    sampled_rest_logsumexp,
    shared_rest_logsumexp,
)

seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=40, deadline=None)


@quick
@given(seed=seeds, n_items=st.integers(2, 20), S=st.integers(1, 30), first_item=st.integers(0, 1))
def test_draws_come_from_the_rest(seed: int, n_items: int, S: int, first_item: int) -> None:
    generator = seeded(seed)
    mask = torch.rand(6, n_items, generator=generator) < 0.7
    mask[:, -1] = False  # the rest is not empty
    excluded = Ragged.from_pairs(*mask.nonzero().T, n_users=6).padded(torch.arange(6))
    jumbled = torch.cat((excluded, excluded), dim=1)  # repeats, and padding in the middle
    jumbled = jumbled[:, torch.randperm(jumbled.shape[1], generator=generator)]
    drawn = sample_rest(jumbled, n_items, S, generator, first_item)
    assert drawn.shape == (6, S)
    assert drawn.min() >= first_item
    assert drawn.max() < n_items
    assert not mask.gather(1, drawn).any()
    sizes = (~mask[:, first_item:]).sum(1)
    assert torch.equal(rest_size(jumbled, n_items, first_item), sizes)


def test_draws_are_uniform_and_follow_the_generator() -> None:
    excluded = torch.tensor([[0, 3, 4, 9, PAD]])
    drawn = sample_rest(excluded, 10, 60_000, seeded(0))
    shares = drawn[0].bincount(minlength=10) / 60_000
    expected = torch.tensor([0, 1, 1, 0, 0, 1, 1, 1, 1, 0]) / 6
    assert torch.allclose(shares, expected, atol=0.01)
    assert torch.equal(drawn, sample_rest(excluded, 10, 60_000, seeded(0)))
    assert not torch.equal(drawn, sample_rest(excluded, 10, 60_000, seeded(1)))
    assert sample_rest(torch.zeros(2, 0).long(), 3, 50, seeded(0)).unique().tolist() == [0, 1, 2]


def test_drawing_from_an_empty_rest_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 excludes every item of 1 … 2"):
        sample_rest(torch.tensor([[1, PAD], [1, 2]]), 3, 4, seeded(0), first_item=1)
    with pytest.raises(ValueError, match="S is 0"):
        sample_rest(torch.tensor([[1]]), 3, 0, seeded(0))


def test_estimated_rest_is_right_on_average_and_exact_for_equal_scores() -> None:
    scores = normal(7, 1, 50)
    excluded = torch.arange(10)[None]
    drawn = sample_rest(excluded, 50, 200_000, seeded(1))
    size = rest_size(excluded, 50)
    estimate = sampled_rest_logsumexp(scores.gather(1, drawn), size)
    exact = rest_logsumexp(scores, torch.arange(50)[None] < 10)
    assert estimate.item() == pytest.approx(exact.item(), abs=0.02)
    assert sampled_rest_logsumexp(torch.ones(1, 3), size).item() == pytest.approx(1 + math.log(40), abs=1e-5)


def test_estimated_rest_of_no_item_is_empty() -> None:
    scores = torch.ones(2, 3).requires_grad_()
    estimate = sampled_rest_logsumexp(scores, torch.tensor([0, 6]))
    assert estimate.tolist() == [-math.inf, pytest.approx(1 + math.log(6))]
    (gradient,) = torch.autograd.grad(estimate.sum(), scores)
    assert gradient[0].tolist() == [0.0, 0.0, 0.0]
    assert gradient[1].sum().item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="0 columns"):
        sampled_rest_logsumexp(torch.zeros(2, 0), torch.tensor([1, 1]))


OUTSIDE = torch.tensor([[3, 0, 7, PAD], [PAD, 1, PAD, 2], [PAD, PAD, PAD, PAD]])
REST_SIZE = torch.tensor([7, 8, 10])


def exact_rest(scores: torch.Tensor) -> torch.Tensor:
    excluded = torch.zeros(3, 11, dtype=torch.bool).scatter_(1, OUTSIDE.clamp(min=0) + (OUTSIDE == PAD) * 10, True)
    return rest_logsumexp(scores, excluded[:, :10])


def test_a_draw_of_everything_is_exact() -> None:
    scores = normal(0, 3, 10)
    estimate = shared_rest_logsumexp(scores, torch.arange(10), OUTSIDE, REST_SIZE, 10)
    assert torch.allclose(estimate, exact_rest(scores), rtol=1e-12)


def test_shared_draws_are_right_on_average() -> None:
    scores, generator = normal(1, 3, 10), seeded(2)
    masses = []
    for _ in range(4000):
        drawn = draw_items(10, 5, generator)
        masses.append(shared_rest_logsumexp(scores[:, drawn], drawn, OUTSIDE, REST_SIZE, 10).exp())
    found, expected = torch.stack(masses), exact_rest(scores).exp()
    # A draw with no item of the rest counts as 0: at most (3/10)^5 of the draws of the first user.
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - expected).abs() < 5 * error + 0.0025 * expected).all()


def test_shared_draws_outside_the_rest_send_no_gradient() -> None:
    scores = normal(3, 3, 2).requires_grad_()
    estimate = shared_rest_logsumexp(scores, torch.tensor([3, 7]), OUTSIDE, REST_SIZE, 10)
    assert estimate[0] == -torch.inf
    estimate[1:].sum().backward()
    assert scores.grad is not None
    assert scores.grad[0].tolist() == [0.0, 0.0]
    assert torch.allclose(scores.grad[1:].sum(1), torch.ones(2, dtype=torch.float64))


def test_items_drawn_for_a_batch_are_distinct_uniform_and_follow_the_generator() -> None:
    drawn = draw_items(50, 20, seeded(0), first_item=1)
    assert torch.equal(drawn, draw_items(50, 20, seeded(0), first_item=1))
    assert torch.equal(drawn, drawn.unique())
    generator = seeded(1)
    counts = torch.bincount(torch.cat([draw_items(8, 4, generator, 1) for _ in range(5000)]), minlength=8)
    assert counts[0] == 0
    expected = 5000 * (1 - (6 / 7) ** 4)
    assert ((counts[1:] - expected).abs() < 5 * math.sqrt(expected)).all()


@pytest.mark.parametrize(
    ("arguments", "message"), [((5, 0), "S is 0; allowed: 1 or more"), ((1, 3), "n_items is 1; allowed: more than")]
)
def test_impossible_draws_are_refused(arguments: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_items(*arguments, seeded(0), first_item=1)
