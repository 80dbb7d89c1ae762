"""A leaderboard of real runs: the runs' numbers, what is comparable, and what is said of the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_hetcomp import cli
from recbole_hetcomp.deployment.leaderboard import leaderboard
from recbole_hetcomp.teachers.importing import TargetData


@pytest.fixture(scope="module")
def results(finished_run, tmp_path_factory):
    """One run, the same again, and runs that cannot be compared with it."""
    folder = tmp_path_factory.mktemp("leaderboard") / "results" / "ml-100k"
    content = json.loads((finished_run.results / "results.json").read_text())
    other = {**content, "data_fingerprint": "0" * 16, "run": "HetComp-other"}
    gone = {**content, "run": "HetComp-gone"}
    bare_row = {"name": "HetComp", "role": "student", "parameters": 1, "valid": {}, "seconds": 0.0}
    bare = {**content, "run": "HetComp-bare", "rows": [bare_row]}
    for name, one in (("a", content), ("b", other), ("c", gone), ("d", bare)):
        (folder / name).mkdir(parents=True)
        (folder / name / "results.json").write_text(json.dumps(one))
    foreign = [{**content, "rows": []}, {**content, "rows": ["a"]}, {**content, "settings": None}, [1]]
    foreign += [{**content, "rows": [{"name": "HetComp", "role": "student", "recall@50": 1.0}]}]
    for number, text in enumerate(("{", *map(json.dumps, foreign))):
        (folder / f"foreign-{number}").mkdir()
        (folder / f"foreign-{number}" / "results.json").write_text(text)
    damaged = folder / "f" / "saved"
    damaged.mkdir(parents=True)
    where = {**content["settings"], "checkpoint_dir": str(damaged)}
    for run, state in (("short", {}), ("list", None)):
        torch.save({"config": {}, "state_dict": state} if run == "short" else [1], damaged / f"ml-100k-{run}.pth")
        (folder / run).mkdir()
        (folder / run / "results.json").write_text(json.dumps({**content, "run": run, "settings": where}))
    return folder.parent


@pytest.fixture(scope="module")
def store(finished_run, tmp_path_factory):
    """The store of that run alone, and an entry of other data: the shared store grows while tests run."""
    target = tmp_path_factory.mktemp("store") / "store"
    content = json.loads((finished_run.results / "results.json").read_text())
    kept = target / content["data_fingerprint"]
    source = next(path for path in Path(finished_run.settings["store_dir"]).glob("*/EASE-*"))
    for entry in source.parent.iterdir():
        if entry.name.split("-")[0] in ("BPR", "EASE", "NoKD") and not (kept / entry.name).exists():
            shutil.copytree(entry, kept / entry.name)
    shutil.copytree(source, target / ("0" * 16) / source.name)
    return target


@pytest.fixture(scope="module")
def board(store, results):
    target = TargetData.load("ml-100k", settings={"store_dir": str(store), "show_progress": False})
    return leaderboard(target, results)


def test_rows_have_the_runs_numbers(board, finished_run):
    expected = pd.read_csv(finished_run.results / "results.csv").set_index("name")
    table = board.table
    for role, name, pattern in (
        ("ensemble", "TeacherEnsemble", "TeacherEnsemble"),
        ("teacher", "EASE", "EASE"),
        ("student alone", "NoKD", "BPR alone 8"),
        ("student", "HetComp", "HetComp BPR 8"),
    ):
        rows = table[(table["role"] == role) & table["name"].str.startswith(pattern)]
        assert len(rows)
        metrics = ["recall@10", "recall@50", "ndcg@10", "ndcg@50"]
        close = np.isclose(rows[metrics].to_numpy(float), expected.loc[name, metrics].to_numpy(float), atol=1e-4)
        assert close.all(axis=1).any(), (name, rows[metrics], expected.loc[name, metrics])
        assert (rows["parameters"] == expected.loc[name, "parameters"]).any()


def test_the_best_come_first_and_one_of_them_is_on_the_front(board):
    assert board.metric == "recall@50"
    assert board.table[board.metric].is_monotonic_decreasing
    front = board.table[board.table["pareto"]]
    assert len(front)
    known = board.table.dropna(subset=["bytes", "p95_ms"])
    assert known["bytes"].idxmin() in front.index or (front["bytes"] <= known["bytes"].min()).any()


def test_costs_and_popularity_are_measured(board):
    table = board.table.set_index("of")
    whole = table.drop(index=["HetComp-gone", "short", "list"])
    assert (whole[["bytes", "p50_ms", "p95_ms", "averagepopularity@50"]] > 0).all(axis=None)
    students = whole[whole["role"] == "student"]
    assert (students["bytes"] == 4 * students["parameters"]).all()
    ensemble, teachers = whole[whole["role"] == "ensemble"], whole[whole["role"] == "teacher"]
    assert len(ensemble) == 1  # the same in every run
    assert ensemble["bytes"].iloc[0] > teachers["bytes"].max()
    assert table.loc["HetComp-gone", ["bytes", "p50_ms"]].isna().all()


def test_what_is_left_out_is_said(board):
    said = "\n".join(board.left_out)
    assert "run HetComp-other is of other data or of another split (0000000000000000)" in said
    assert "run HetComp-bare did not compute recall@50" in said
    assert "is no result of a run: JSONDecodeError" in said
    assert "is no result of a run: it has no rows" in said
    assert said.count("is no result of a run") == 6
    for run in ("short", "list"):
        assert f"Run {run} is in the table without its cost: its checkpoint" in said
    assert "HetComp-gone is in the table without its cost" in said
    assert "1 teachers of the store are of other data" in said
    assert not set(board.table["of"]) & {"HetComp-other", "HetComp-bare"}


def test_the_command(store, results, tmp_path, capsys):
    words = ["leaderboard", f"--results={results}", f"--store_dir={store}", "--metric=ndcg@10", "--no-time"]
    assert cli.main([*words, f"--to={tmp_path / 'out'}"]) == 0
    assert "| TeacherEnsemble" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert table["ndcg@10"].is_monotonic_decreasing
    assert table["p50_ms"].isna().all()
    assert (tmp_path / "out" / "leaderboard.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_to_list_and_no_such_metric(tmp_path, store, capsys):
    assert cli.main(["leaderboard", f"--results={tmp_path}", f"--store_dir={tmp_path / 'none'}"]) == 2
    assert "no model of ml-100k with this split was found" in capsys.readouterr().err
    assert cli.main(["leaderboard", f"--store_dir={store}", "--metric=ndcg@13"]) == 2
    assert "metric='ndcg@13' is not computed here" in capsys.readouterr().err


def test_a_folder_of_results_that_is_not_there_is_refused(store, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for name in ("none", "file"):
        assert cli.main(["leaderboard", f"--results={tmp_path / name}", f"--store_dir={store}"]) == 2
        assert f"{name} is no folder" in capsys.readouterr().err
