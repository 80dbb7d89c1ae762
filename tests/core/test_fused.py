"""The fused loss against the oracle, the plain path and finite differences."""

from __future__ import annotations

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.fused import fused_listwise_loss
from recbole_hetcomp.core.fused_rest import fused_rest_logsumexp
from recbole_hetcomp.core.losses import rest_logsumexp, weighted_loss
from recbole_hetcomp.core.rankings import PAD
from recbole_hetcomp.core.sampling import draw_items, shared_rest_logsumexp

WEIGHTS = (0.3, 0.7)


class Batch:
    """Factors and ragged taught lists of a batch; item 0 is padding."""

    def __init__(
        self, seed: int, n_users: int = 70, n_items: int = 90, scale: float = 1.0, K: int = 20, P: int = 2, d: int = 3
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.K = K
        self.how = {"behind_observed": ("untaught", "unobserved")[seed % 2], "place_decay": (None, 3.0)[seed // 2 % 2]}
        self.users = torch.randn(n_users, d, generator=generator, dtype=torch.float64) * scale
        self.items = torch.randn(n_items, d, generator=generator, dtype=torch.float64)
        self.fine = torch.rand(n_users, generator=generator) < 0.5
        self.history: list[list[int]] = []
        self.unobserved: list[list[int]] = []
        for _ in range(n_users):
            order = (torch.randperm(n_items - 1, generator=generator) + 1).tolist()
            n_observed = int(torch.randint(0, n_items, (), generator=generator))
            self.history.append(order[:n_observed])
            self.unobserved.append(order[n_observed:][:K])
        self.observed = [row[:P] for row in self.history]
        self.lists = (self._padded(self.observed), self._padded(self.unobserved, K), self._padded(self.history))

    @staticmethod
    def _padded(rows: list[list[int]], width: int = 0) -> torch.Tensor:
        width = max(width, *map(len, rows), 0)
        padded = [row + [PAD] * (width - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).view(len(rows), width)

    def fused(self, users: torch.Tensor, items: torch.Tensor, budget: int | None = None) -> torch.Tensor:
        how = {"first_item": 1, "budget": budget, **self.how}
        return fused_listwise_loss(users, items, *self.lists, self.fine, *WEIGHTS, **how)

    def plain(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        observed, unobserved, history = self.lists
        excluded = torch.zeros(len(users), len(items) + 1, dtype=torch.bool)
        outside = torch.cat((unobserved, history), dim=1)
        excluded.scatter_(1, outside.masked_fill(outside == PAD, len(items)), True)
        excluded[:, 0] = True
        taught = torch.cat((observed, unobserved), dim=1)
        scores = users @ items.T
        rest = rest_logsumexp(scores, excluded[:, :-1])
        listed = scores.gather(1, taught.clamp(min=0))
        return weighted_loss(listed, rest, taught != PAD, observed.shape[1], self.fine, *WEIGHTS, **self.how)

    def expected(self) -> float:
        total = 0.0
        scores = (self.users @ self.items.T)[:, 1:].tolist()
        for user, row in enumerate(scores):
            history, plus, minus = (
                [item - 1 for item in items[user]] for items in (self.history, self.observed, self.unobserved)
            )
            if self.fine[user]:
                total += WEIGHTS[1] * oracles.fine_loss(row, history, plus, minus, self.K, **self.how)
            else:
                total += WEIGHTS[0] * oracles.coarse_loss(row, history, plus, minus)
        return total


def gradients(function, *factors: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    leaves = [factor.clone().requires_grad_() for factor in factors]
    value = function(*leaves)
    return value.detach(), list(torch.autograd.grad(value * 2, leaves))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), scale=st.sampled_from([0.1, 1.0, 10.0]), budget=st.integers(1, 4000))
def test_value_is_that_of_the_oracle_whatever_the_blocks(seed: int, scale: float, budget: int) -> None:
    batch = Batch(seed, n_users=5, n_items=30, scale=scale)
    assert float(batch.fused(batch.users, batch.items, budget)) == pytest.approx(batch.expected(), rel=1e-9)


@pytest.mark.parametrize("budget", [None, 64 * 90, 4000, 50, 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_value_and_gradients_are_those_of_the_plain_path(
    budget: int | None, dtype: torch.dtype, tolerance: float
) -> None:
    batch = Batch(0, scale=3.0)
    factors = batch.users.to(dtype), batch.items.to(dtype)
    value, found = gradients(lambda *leaves: batch.fused(*leaves, budget=budget), *factors)
    expected_value, expected = gradients(batch.plain, *factors)
    assert value.dtype == dtype
    assert float(value) == pytest.approx(float(expected_value), rel=tolerance)
    for ours, theirs in zip(found, expected):
        assert ours.dtype == dtype
        assert float((ours - theirs).norm()) <= tolerance * float(theirs.norm())


@pytest.mark.parametrize("budget", [None, 64 * 90, 50, 1])
@pytest.mark.parametrize("S", [1, 20, 2000])
def test_a_sampled_rest_is_that_of_the_plain_estimate(budget: int | None, S: int) -> None:
    batch = Batch(4, scale=3.0)
    drawn = draw_items(90, S, torch.Generator().manual_seed(0), first_item=1)
    outside = torch.cat((batch.lists[1], batch.lists[2]), dim=1)
    size = 89 - (outside != PAD).sum(dim=1)

    def fused(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        how = {"first_item": 1, "budget": budget, "sample": (drawn, size)}
        return fused_listwise_loss(users, items, *batch.lists, batch.fine, *WEIGHTS, **how)

    def plain(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        taught = torch.cat(batch.lists[:2], dim=1)
        scores = users @ items.T
        rest = shared_rest_logsumexp(scores[:, drawn], drawn, outside, size, 90)
        listed = scores.gather(1, taught.clamp(min=0))
        return weighted_loss(listed, rest, taught != PAD, batch.lists[0].shape[1], batch.fine, *WEIGHTS)

    value, found = gradients(fused, batch.users, batch.items)
    expected_value, expected = gradients(plain, batch.users, batch.items)
    assert float(value) == pytest.approx(float(expected_value), rel=1e-12)
    for ours, theirs in zip(found, expected):
        assert float((ours - theirs).norm()) <= 1e-12 * float(theirs.norm())


@pytest.mark.parametrize("budget", [None, 10])
def test_gradients_agree_with_finite_differences(budget: int | None) -> None:
    batch = Batch(1, n_users=4, n_items=12, K=10)
    factors = batch.users.requires_grad_(), batch.items.requires_grad_()
    assert torch.autograd.gradcheck(lambda *leaves: batch.fused(*leaves, budget=budget), factors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_on_in_single(dtype: torch.dtype) -> None:
    batch = Batch(2)
    factors = batch.users.to(dtype), batch.items.to(dtype)
    value, found = gradients(batch.fused, *factors)
    _, expected = gradients(batch.fused, *(factor.float() for factor in factors))
    assert value.dtype == dtype
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs.to(dtype))  # rounded once, at the end
    outside = torch.cat(batch.lists[1:], dim=1)
    single = tuple(factor.float() for factor in factors)
    assert torch.equal(fused_rest_logsumexp(*factors, outside), fused_rest_logsumexp(*single, outside).to(dtype))
    _, found = gradients(lambda *leaves: fused_rest_logsumexp(*leaves, outside).sum(), *factors)
    _, expected = gradients(lambda *leaves: fused_rest_logsumexp(*leaves, outside).sum(), *single)
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs.to(dtype))


def test_scores_of_any_size_leave_gradients_finite_and_right() -> None:
    batch = Batch(3, scale=300.0)
    _, expected = gradients(batch.plain, batch.users, batch.items)
    _, found = gradients(batch.fused, batch.users.float(), batch.items.float())
    for ours, theirs in zip(found, expected):
        assert float((ours - theirs).norm()) <= 1e-4 * float(theirs.norm())


@pytest.mark.parametrize("budget", [None, 10])
def test_a_batch_of_no_user_and_a_rest_of_no_item(budget: int | None) -> None:
    nobody = Batch(4, n_users=0)
    value, found = gradients(lambda *leaves: nobody.fused(*leaves, budget=budget), nobody.users, nobody.items)
    assert value == 0
    assert not found[1].any()
    full = Batch(5, n_users=2, n_items=8, K=7)
    full.history, full.unobserved, full.observed = [[], []], [[1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1]], [[], []]
    full.lists = tuple(map(full._padded, (full.observed, full.unobserved, full.history)))
    value, found = gradients(lambda *leaves: full.fused(*leaves, budget=budget), full.users, full.items)
    expected_value, expected = gradients(full.plain, full.users, full.items)
    assert float(value) == pytest.approx(float(expected_value), rel=1e-12)
    for ours, theirs in zip(found, expected):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_nothing_the_size_of_batch_by_catalogue_is_kept_for_the_backward_pass() -> None:
    batch = Batch(6, n_users=300, n_items=400)
    users = batch.users.clone().requires_grad_()
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        batch.fused(users, batch.items).backward()
    assert 0 < max(kept) <= 300 * 22  # a block's taught items; the catalogue would be 300 * 400


def test_no_gradient_is_worked_out_where_none_is_wanted() -> None:
    batch = Batch(7)
    value = batch.fused(batch.users, batch.items)
    assert not value.requires_grad
    assert float(value) == pytest.approx(batch.expected(), rel=1e-9)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("budget", [None, 13000, 3000, 200])
def test_the_rest_alone_and_its_gradients_are_those_of_the_plain_path(budget: int | None, drawn: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(70, 5, dtype=torch.float64, generator=generator).requires_grad_()
    items = torch.randn(400, 5, dtype=torch.float64, generator=generator).requires_grad_()
    outside = torch.randint(-1, 400, (70, 9), generator=generator)  # padding and repeats
    outside[3] = PAD
    excluded = torch.zeros(70, 401, dtype=torch.bool).scatter_(1, outside.masked_fill(outside == PAD, 400), True)
    excluded[:, 0] = True
    scores, size = users @ items.T, (~excluded[:, :400]).sum(dim=1)
    if drawn:
        chosen = draw_items(400, 90, generator, first_item=1)
        expected = shared_rest_logsumexp(scores[:, chosen], chosen, outside, size, 400)
        sample = chosen, size
    else:
        expected, sample = rest_logsumexp(scores, excluded[:, :400]), None
    found = fused_rest_logsumexp(users, items, outside, 1, budget, sample)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(70, dtype=torch.float64, generator=generator)
    theirs = torch.autograd.grad((weight * expected).sum(), (users, items))
    for _ in range(2):  # the first pass uses nothing up
        ours = torch.autograd.grad((weight * found).sum(), (users, items), retain_graph=True)
        for one, other in zip(ours, theirs):
            torch.testing.assert_close(one, other)


def test_an_empty_rest_has_no_mass_and_no_gradient() -> None:
    users, items = torch.ones(1, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    rest = fused_rest_logsumexp(users, items, torch.tensor([[1, 2]]), first_item=1)
    assert rest.tolist() == [float("-inf")]
    gradients = torch.autograd.grad(rest.sum(), (users, items))
    assert [gradient.tolist() for gradient in gradients] == [[[0.0, 0.0]], [[0.0, 0.0]] * 3]


def test_every_device_gives_the_same(device):
    batch = Batch(5)
    expected = batch.fused(batch.users, batch.items)
    batch.lists, batch.fine = tuple(part.to(device) for part in batch.lists), batch.fine.to(device)
    users, items = (part.to(device).requires_grad_() for part in (batch.users, batch.items))
    with torch.device("meta"):  # what is made without a device fails
        found = batch.fused(users, items)
        gradients = torch.autograd.grad(found, [users, items])
    assert {part.device for part in (found, *gradients)} == {users.device}
    torch.testing.assert_close(found.cpu(), expected)
