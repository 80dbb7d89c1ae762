"""What is compared with what, and how much of it can be."""

from __future__ import annotations

import pandas as pd
import pytest
from benchmark_output import write_benchmark

from recbole_hetcomp.comparison.report.files import Results, read_results
from recbole_hetcomp.comparison.report.pairs import best_other, compare, conditions
from recbole_hetcomp.comparison.statistics import paired_over_seeds, paired_over_users

MAIN = ["recall@50", "ndcg@50"]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("benchmark")
    write_benchmark(folder, backbones=("LightGCN", "BPR"), dimensions=(16, 6), seeds=(3, 4), n_users=30)
    return read_results(folder)


def edited(results: Results, **changes) -> Results:
    return Results(**{**vars(results), **changes})


def test_conditions_are_in_order(results):
    found = [(one.backbone, one.dimension) for one in conditions(results.runs)]
    assert found == [("LightGCN", 6), ("LightGCN", 16), ("BPR", 6), ("BPR", 16)]


def test_comparisons_are_those_of_the_statistics(results):
    condition = conditions(results.runs)[2]
    found = compare(results, condition, MAIN, 99)
    own = condition.students(results.per_user)
    others = [name for name in dict.fromkeys(own["method"]) if not name.startswith("HetComp")]
    expected = paired_over_users(own, "recall@50", "HetComp", others, resamples=99)
    shown = found.users[(found.users["metric"] == "recall@50") & (found.users["family"] == "methods")]
    pd.testing.assert_frame_equal(shown.drop(columns="family").reset_index(drop=True), expected, check_like=True)
    expected = paired_over_seeds(
        condition.students(results.runs), "ndcg@50", "HetComp", others, tests=("t", "randomisation"), resamples=99
    )
    shown = found.seeds[(found.seeds["metric"] == "ndcg@50") & (found.seeds["family"] == "methods")]
    pd.testing.assert_frame_equal(shown.drop(columns="family").reset_index(drop=True), expected, check_like=True)
    assert set(found.users["family"]) == {"methods", "ablations", "ensemble"}
    assert found.notes == ()


def test_ablations_and_hetcomp_are_no_others(results):
    students = conditions(results.runs)[0].students(results.runs)
    means = students.groupby("method")["recall@50"].mean().drop("HetComp")
    means = means[[name for name in means.index if "(" not in name]]
    assert best_other(students, "recall@50") == means.idxmax()
    assert best_other(students[students["method"].str.startswith("HetComp")], "recall@50") is None


def test_pairs_are_made_over_common_seeds_and_users(results):
    condition = conditions(results.runs)[2]
    users = results.per_user
    lacking = (users["method"] == "RD") & (users["seed"] == 4)
    left = (users["method"] == "CD") & (users["user"].isin(["u1", "u2"]))
    runs = results.runs
    partial = edited(
        results, per_user=users[~lacking & ~left], runs=runs[~((runs["method"] == "RD") & (runs["seed"] == 4))]
    )
    found = compare(partial, condition, MAIN, 99)
    assert found.find("recall@50", "CD")["n"] == 28
    assert found.find("recall@50", "RD")["n"] == 30
    own = condition.students(users)
    pair = own[(own["seed"] == 3) & own["method"].isin(["RD", "HetComp"])].groupby("method")["recall@50"].mean()
    assert found.find("recall@50", "RD")["difference"] == pytest.approx(pair["HetComp"] - pair["RD"])
    assert "HetComp and CD: 2 users are left out, who are not evaluated with every seed." in found.notes
    assert "HetComp and RD are not tested over seeds: it needs 2 or more that both have." in found.notes


def test_a_method_without_users_values_is_named(results):
    condition = conditions(results.runs)[2]
    found = compare(edited(results, per_user=results.per_user[results.per_user["method"] != "RD"]), condition, MAIN, 99)
    assert found.find("recall@50", "RD") is None
    assert any(
        note.startswith("HetComp and RD are not compared over users: no values of method 'RD'") for note in found.notes
    )


def test_without_hetcomp_nothing_is_compared(results):
    partial = edited(results, runs=results.runs[results.runs["method"] != "HetComp"])
    found = compare(partial, conditions(results.runs)[0], MAIN, 99)
    assert found.users.empty
    assert found.notes == ("HetComp was not run, so nothing is compared with it.",)
