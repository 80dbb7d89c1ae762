"""Paired tests: hand-computed cases, a naive oracle of the randomisation test and of Holm, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recbole_hetcomp.comparison.statistics import effect_size, paired_over_seeds, paired_over_users


def frame(**methods: list[list[float]]) -> pd.DataFrame:
    """Values [seeds][users] of each method."""
    return pd.DataFrame(
        [
            {"method": name, "seed": seed, "user": user + 1, "recall@50": value}
            for name, seeds in methods.items()
            for seed, users in enumerate(seeds)
            for user, value in enumerate(users)
        ]
    )


def test_a_case_by_hand():
    values = frame(HetComp=[[3.0, 5.0, 4.0, 8.0]], NoKD=[[2.0, 3.0, 1.0, 4.0]])  # differences 1 2 3 4
    row = paired_over_users(values, "recall@50", "HetComp", ["NoKD"], interval="t").iloc[0]
    deviation = math.sqrt(5 / 3)
    assert (row["n"], row["mean"], row["other_mean"], row["difference"], row["relative"]) == (4, 5.0, 2.5, 2.5, 1.0)
    assert row["d_z"] == pytest.approx(2.5 / deviation)
    half = 3.1824463052842638 * deviation / 2  # t of 3 degrees of freedom at .975
    assert (row["low"], row["high"]) == pytest.approx((2.5 - half, 2.5 + half))
    assert row["p_t"] == pytest.approx(2 * stats.t.sf(2.5 / (deviation / 2), 3))
    assert row["p_wilcoxon"] == row["p_randomisation"] == 2 / 2**4
    assert (row["better"], row["equal"], row["worse"]) == (1.0, 0.0, 0.0)


def test_wilcoxon_ranks_the_differences_of_0_too():
    values = frame(A=[[0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]], B=[[0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]])
    row = paired_over_users(values, "recall@50", "A", ["B"], interval="t").iloc[0]
    positive = 3 + 4 + 6 + 7  # ranks 1 and 2 are those of the zeros, which then go
    mean, variance = (7 * 8 - 2 * 3) / 4, (7 * 8 * 15 - 2 * 3 * 5) / 24
    assert row["p_wilcoxon"] == pytest.approx(2 * stats.norm.sf((positive - mean) / math.sqrt(variance)))
    assert (row["better"], row["equal"], row["worse"]) == (4 / 7, 2 / 7, 1 / 7)


def test_users_stay_the_unit_when_seeds_are_added():
    once = frame(A=[[0.1, 0.5, 0.3]], B=[[0.2, 0.1, 0.1]])
    thrice = frame(A=[[0.1, 0.5, 0.3]] * 3, B=[[0.2, 0.1, 0.1]] * 3)
    first, second = (paired_over_users(values, "recall@50", "A", ["B"]) for values in (once, thrice))
    assert second["n"].item() == 3
    pd.testing.assert_frame_equal(first, second)


def sign_flip_p(d: list[float]) -> float:
    """Share of all sign flips whose sum is on one side as far out, doubled."""
    sums = [sum(s * x for s, x in zip(signs, d)) for signs in itertools.product((1, -1), repeat=len(d))]
    low = sum(total <= sum(d) + 1e-9 for total in sums) / len(sums)
    high = sum(total >= sum(d) - 1e-9 for total in sums) / len(sums)
    return min(1.0, 2 * min(low, high))


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 8).flatmap(lambda n: st.lists(st.lists(st.integers(-6, 6), min_size=n, max_size=n), min_size=12)))
def test_the_randomisation_test_goes_through_all_flips(differences):
    others = {f"m{place}": [[-float(x) for x in d]] for place, d in enumerate(differences)}
    zero = [[0.0] * len(differences[0])]
    table = paired_over_users(frame(A=zero, **others), "recall@50", "A", list(others), interval="t")
    assert list(table["p_randomisation"]) == pytest.approx([sign_flip_p([float(x) for x in d]) for d in differences])


def test_drawn_flips_are_as_good_as_all_of_them():
    d = np.random.default_rng(8).normal(0.35, 1, 13)
    values = frame(A=[list(d)], B=[[0.0] * 13])
    all_flips = paired_over_users(values, "recall@50", "A", ["B"], resamples=2**13)["p_randomisation"].item()
    drawn = paired_over_users(values, "recall@50", "A", ["B"], resamples=2**13 - 1)["p_randomisation"].item()
    assert all_flips == pytest.approx(sign_flip_p(list(d)))
    assert drawn != all_flips
    assert drawn == pytest.approx(all_flips, abs=4 * 2 * math.sqrt(0.25 * 0.75 / 2**13))


def naive_holm(p_values: list[float]) -> list[float]:
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, running = [0.0] * len(p_values), 0.0
    for step, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[place]))
        corrected[place] = running
    return corrected


def test_holm_is_over_the_others_of_a_call():
    random = np.random.default_rng(5)
    names = ["B", "C", "D", "E"]
    values = {name: [list(random.normal(shift, 1, 30))] for name, shift in zip(names, (0, 0.3, 0.5, 1.0))}
    values["A"] = [list(random.normal(0, 1, 30))]
    table = paired_over_users(frame(**values), "recall@50", "A", names)
    for test in ("t", "wilcoxon", "randomisation"):
        assert list(table[f"p_{test}_holm"]) == pytest.approx(naive_holm(list(table[f"p_{test}"])))
    assert list(table["other"]) == names


def test_the_tests_agree_with_each_other_and_the_intervals_too():
    random = np.random.default_rng(2)
    base = random.beta(1, 4, 600)
    values = frame(A=[list(base + random.normal(0.006, 0.06, 600))], B=[list(base)])
    bca = paired_over_users(values, "recall@50", "A", ["B"]).iloc[0]
    student = paired_over_users(values, "recall@50", "A", ["B"], interval="t").iloc[0]
    assert bca["p_randomisation"] == pytest.approx(bca["p_t"], abs=0.01)
    assert (bca["low"], bca["high"]) == pytest.approx((student["low"], student["high"]), abs=4e-4)
    again = paired_over_users(values, "recall@50", "A", ["B"]).iloc[0]
    assert bca.equals(again)


def test_a_false_alarm_is_as_rare_as_promised():
    random = np.random.default_rng(11)
    draws = {f"m{number}": [list(random.normal(0, 1, 25))] for number in range(1000)}  # all without a true difference
    table = paired_over_users(
        frame(A=[[0.0] * 25], **draws), "recall@50", "A", list(draws), tests=["t", "wilcoxon"], interval="t"
    )
    for test in ("t", "wilcoxon"):  # 50 expected, s.d. 6.9: outside with probability 1e-4
        assert 23 <= (table[f"p_{test}"] < 0.05).sum() <= 77
        assert (table[f"p_{test}_holm"] < 0.05).sum() <= 3  # one or more in 5 % of such families
    missed = ((table["low"] > 0) | (table["high"] < 0)).sum()
    assert missed == (table["p_t"] < 0.05).sum()  # the interval is the test's


def test_equal_methods_cannot_be_told_apart():
    row = paired_over_users(frame(A=[[0.2, 0.4]], B=[[0.2, 0.4]]), "recall@50", "A", ["B"]).iloc[0]
    assert (row["p_t"], row["p_wilcoxon"], row["p_randomisation"], row["d_z"]) == (1, 1, 1, 0)
    assert (row["low"], row["high"], row["equal"]) == (0, 0, 1)


def test_a_constant_difference_has_no_spread():
    row = paired_over_users(frame(A=[[2.0, 3.0, 4.0]], B=[[1.0, 2.0, 3.0]]), "recall@50", "A", ["B"]).iloc[0]
    assert (row["p_t"], row["d_z"], row["low"], row["high"]) == (0.0, math.inf, 1.0, 1.0)
    assert effect_size(np.array([-1.0, -1.0])) == -math.inf


def runs(**methods: list[float]) -> pd.DataFrame:
    rows = [{"method": m, "seed": seed, "ndcg@50": v} for m, values in methods.items() for seed, v in enumerate(values)]
    return pd.DataFrame(rows)


def test_over_seeds():
    table = paired_over_seeds(runs(A=[3.0, 5.0, 4.0], B=[1.0, 2.0, 3.0], C=[4.0, 5.5, 5.0]), "ndcg@50", "A", ["B", "C"])
    assert list(table["unit"]) == ["seeds"] * 2
    assert list(table["difference"]) == pytest.approx([2.0, -2.5 / 3])
    assert list(table["p_randomisation"]) == [0.25, 0.25]  # the least that three seeds allow
    assert table["p_t"][0] == pytest.approx(stats.ttest_rel([3, 5, 4], [1, 2, 3]).pvalue)
    assert set(table["interval"]) == {"t"}


def test_one_seed_is_not_enough():
    with pytest.raises(ValueError, match="needs 2 or more: A has seed 0 only"):
        paired_over_seeds(runs(A=[1.0], B=[2.0]), "ndcg@50", "A", ["B"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[~((f.method == "B") & (f.user == 2))], "B has no user 2, which another method has"),
        (lambda f: f[~((f.method == "B") & (f.seed == 1))], "B has no seed 1, which A has"),
        (lambda f: f[~((f.method == "A") & (f.seed == 0))], "A has no seed 0, which B has"),
        (lambda f: f[~((f.user == 3) & (f.seed == 1))], "A lacks a seed of user 3"),
        (lambda f: pd.concat([f, f[:1]]), "two values for method A, user 1, seed 0"),
        (lambda f: f.assign(**{"recall@50": f["recall@50"].where(f.user != 1)}), "recall@50 is nan for method A"),
        (lambda f: f.drop(columns="recall@50"), "column 'recall@50' is missing"),
        (lambda f: f[f.method != "B"], "no values of method 'B'; there are: A"),
        (lambda f: f.assign(dimension=f.user), "A has several values of dimension: 1, 2, 3; choose one first"),
    ],
)
def test_what_cannot_be_paired_is_named(change, message):
    values = frame(A=[[0.1, 0.2, 0.3]] * 2, B=[[0.2, 0.2, 0.1]] * 2)
    with pytest.raises(ValueError, match=message):
        paired_over_users(change(values), "recall@50", "A", ["B"])


def test_an_other_that_was_made_once_may_have_other_seeds():
    values = pd.concat([frame(A=[[0.1, 0.2, 0.4]] * 2), frame(TeacherEnsemble=[[0.2, 0.2, 0.1]])])
    table = paired_over_users(values, "recall@50", "A", ["TeacherEnsemble"], same_seeds=False)
    assert table["n"].item() == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tests": ["z"]}, "tests is"),
        ({"tests": []}, "tests is"),
        ({"interval": "basic"}, "interval is 'basic'; allowed: bca, t"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"resamples": 3}, "resamples is 3"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        paired_over_users(frame(A=[[0.1, 0.2]], B=[[0.2, 0.2]]), "recall@50", "A", ["B"], **settings)


@pytest.mark.parametrize("others", [[], ["A"], ["B", "B"]])
def test_others_are_others(others):
    with pytest.raises(ValueError, match="others is"):
        paired_over_users(frame(A=[[0.1, 0.2]], B=[[0.2, 0.2]]), "recall@50", "A", others)
