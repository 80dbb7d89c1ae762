"""Reading a benchmark's folder: what is refused, what is said to be missing."""

from __future__ import annotations

import pandas as pd
import pytest
from benchmark_output import METRICS, write_benchmark

from recbole_hetcomp.comparison.report.files import read_results


@pytest.fixture
def folder(tmp_path):
    write_benchmark(tmp_path, dimensions=(6,), seeds=(1, 2), n_users=12, ablations=False)
    return tmp_path


def change(folder, name, edit):
    table = edit(pd.read_parquet(folder / name))
    table.to_parquet(folder / name, index=False)


def test_a_whole_folder(folder):
    results = read_results(folder)
    assert results.missing == ()
    assert results.metrics == METRICS
    assert [name.split("@")[0] for name in results.beyond] == [
        "averagepopularity",
        "popularitylift",
        "itemcoverage",
        "giniindex",
        "overlap",
        "discrepancy",
    ]
    assert results.valid_metric == "recall@50"
    assert set(results.trials.values()) == {12}


def test_csv_and_parquet_say_the_same(folder):
    first = read_results(folder).runs
    (folder / "runs.parquet").unlink()
    pd.testing.assert_frame_equal(read_results(folder).runs, first, check_exact=False)


def test_no_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither runs\.parquet nor runs\.csv"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("runs.parquet", lambda t: t.drop(columns="seed"), "runs has no column 'seed'"),
        ("runs.parquet", lambda t: t.replace({"role": {"teacher": "tutor"}}), "role 'tutor'; allowed: teacher"),
        ("runs.parquet", lambda t: pd.concat([t, t[:1]]), "two rows for method BPR"),
        ("per_user.parquet", lambda t: t.drop(columns="user"), r"per_user\.parquet has no column 'user'"),
        ("curves.parquet", lambda t: t.drop(columns="epoch"), r"curves\.parquet has no column 'epoch'"),
    ],
)
def test_wrong_tables_are_named(folder, name, edit, message):
    change(folder, name, edit)
    with pytest.raises(ValueError, match=message):
        read_results(folder)


def test_what_is_missing_is_said(folder):
    for name in ("per_user.parquet", "curves.parquet", "plan.yaml"):
        (folder / name).unlink()
    gone = [f"{measure}@50" for measure in ("averagepopularity", "popularitylift", "itemcoverage", "giniindex")]
    change(
        folder,
        "runs.parquet",
        lambda t: t[(t["role"] == "student") & ~((t["method"] == "RD") & (t["seed"] == 2))].drop(
            columns=[*gone, "overlap@50", "discrepancy@50", "latency_ms", "settings"]
        ),
    )
    pd.DataFrame({"cell": ["RD, seed 2"], "key": ["x"], "error": ["out of memory"]}).to_csv(folder / "failures.csv")
    said = " ".join(read_results(folder).missing)
    for part in (
        "no teacher",
        "no ensemble",
        "no recommender",
        "per_user.parquet",
        "curves.parquet",
        "No measure beside accuracy",
        "Not measured: latency_ms.",
        "plan.yaml",
        "with which settings",
        "RD on citeulike-t, BPR of dimension 6: no seed 2.",
        "Failed: RD, seed 2: out of memory",
    ):
        assert part in said


def test_a_plan_without_its_command_is_said(folder):
    (folder / "plan.yaml").write_text("plan: {dataset: citeulike-t}\n")
    assert any("with which command" in sentence for sentence in read_results(folder).missing)


def test_one_seed_is_said(tmp_path):
    write_benchmark(tmp_path, dimensions=(6,), seeds=(1,), n_users=5, ablations=False)
    assert any("one seed" in sentence for sentence in read_results(tmp_path).missing)
