"""IALS: its closed-form rows against the normal equations, what must hold of them, a short real training."""

from __future__ import annotations

import math

import pytest
import torch
from draws import normal, seeded
from hypothesis import given, settings
from hypothesis import strategies as st

import recbole_hetcomp
from recbole_hetcomp.core import Ragged
from recbole_hetcomp.teachers.ials import IALSSettings, default_unobserved_weight, fitted_rows


def naive_row(items: list[int], other: torch.Tensor, alpha: float, reg: float, nu: float) -> torch.Tensor:
    """(sum h h' + alpha H'H + lambda_u I)^-1 sum h, as the paper writes it."""
    if not items:
        return other.new_zeros(other.shape[1])
    chosen = other[items]
    weight = reg * (len(items) + alpha * len(other)) ** nu
    system = chosen.T @ chosen + alpha * other.T @ other + weight * torch.eye(other.shape[1], dtype=other.dtype)
    return torch.linalg.solve(system, chosen.sum(0))


def loss(by_user: Ragged, users: torch.Tensor, items: torch.Tensor, alpha: float, reg: float, nu: float) -> float:
    """What an epoch must not raise: the whole objective, from its definition."""
    scores = users @ items.T
    total = alpha * float(scores.square().sum())
    by_item = torch.zeros(len(items))
    for user in range(len(users)):
        listed = by_user.values[by_user.offsets[user] : by_user.offsets[user + 1]]
        by_item[listed] += 1
        total += float((1 - scores[user, listed]).square().sum())
        total += reg * (len(listed) + alpha * len(items)) ** nu * float(users[user].square().sum())
    for item in range(len(items)):
        total += reg * (float(by_item[item]) + alpha * len(users)) ** nu * float(items[item].square().sum())
    return total


def pairs_of(seed: int, n_users: int, n_items: int, n_pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = seeded(seed)
    return (
        torch.randint(0, n_users, (n_pairs,), generator=generator),
        torch.randint(0, n_items, (n_pairs,), generator=generator),
    )


def test_one_user_by_hand():
    # d = 1, H = (1, 2), the user has item 1: (4 + .5 * 5 + .1 * (1 + .5 * 2)) w = 2
    observed = Ragged.from_pairs(torch.tensor([0]), torch.tensor([1]), n_users=1)
    found = fitted_rows(observed, torch.tensor([[1.0], [2.0]]), 0.5, 0.1, 1.0)
    assert found.item() == pytest.approx(2 / 6.7)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    d=st.sampled_from([1, 3, 8]),
    n_pairs=st.integers(0, 120),
    alpha=st.sampled_from([1e-3, 0.1, 2.0]),
    nu=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_rows_solve_the_normal_equations_whether_long_or_short(seed, d, n_pairs, alpha, nu):
    users, items = pairs_of(seed, 9, 12, n_pairs)
    observed = Ragged.from_pairs(users, items, n_users=10)  # user 9 has nothing
    other = normal(seed + 1, 12, d).double()
    found = fitted_rows(observed, other, alpha, 0.03, nu)
    for user in range(10):
        listed = observed.values[observed.offsets[user] : observed.offsets[user + 1]].tolist()
        expected = naive_row(listed, other, alpha, 0.03, nu)
        torch.testing.assert_close(found[user], expected, rtol=1e-8, atol=1e-10)


def test_an_epoch_lowers_the_objective_and_rows_without_observations_are_zero():
    users, items = pairs_of(0, 30, 40, 300)
    by_user, by_item = Ragged.from_pairs(users, items, 31), Ragged.from_pairs(items, users, 41)
    how = (0.05, 0.02, 1.0)
    table = 0.1 * normal(1, 41, 6).double()
    before = math.inf
    for _ in range(4):
        own = fitted_rows(by_user, table, *how)
        table = fitted_rows(by_item, own, *how)
        after = loss(by_user, own, table, *how)
        assert after < before
        before = after
    assert not own[30].any()
    assert not table[40].any()


def test_float32_is_enough_where_all_observed_items_are_alike():
    observed = Ragged.from_pairs(torch.zeros(50, dtype=torch.int64), torch.arange(50), n_users=1)
    other = torch.ones(50, 4)
    found = fitted_rows(observed, other, 1e-4, 1e-4, 1.0)
    expected = naive_row(list(range(50)), other.double(), 1e-4, 1e-4, 1.0)
    torch.testing.assert_close(found[0].double(), expected, rtol=1e-3, atol=1e-5)


def test_all_pairs_together_count_a_few_times_as_much_as_the_observed_ones():
    assert default_unobserved_weight(60_000, 943, 1682) * 943 * 1682 == pytest.approx(3 * 60_000)


@pytest.mark.parametrize("name", ["unobserved_weight", "reg_weight"])
def test_a_weight_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=name):
        IALSSettings(**{name: 0.0})


def test_it_runs_alone_and_beats_popularity_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {"epochs": 4, "eval_step": 2, "embedding_size": 16, "show_progress": False, "metrics": ["Recall"], "topk": 10}
    how["valid_metric"] = "Recall@10"
    good = recbole_hetcomp.run("IALS", "ml-100k", config_dict=how)
    popular = recbole_hetcomp.run("Pop", "ml-100k", config_dict={**how, "epochs": 1, "eval_step": 1})
    assert good["test_result"]["recall@10"] > 1.3 * popular["test_result"]["recall@10"]
