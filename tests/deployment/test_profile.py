"""A profile of a real run: its rows, its numbers, its files, and what is refused."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch

from recbole_hetcomp import cli
from recbole_hetcomp.deployment.profile import profile
from recbole_hetcomp.files import read_json


@pytest.fixture(scope="module")
def found(finished_run):
    return profile(finished_run.checkpoint, batch=64, users=20, repeats=2)


def test_a_row_for_each_teacher_the_ensemble_and_the_student(found, finished_run):
    table = found.table()
    table = table[table["device"] == "cpu"].set_index("name")
    assert table.index.tolist() == ["BPR", "EASE", "TeacherEnsemble", "HetComp"]
    assert table["role"].tolist() == ["teacher", "teacher", "ensemble", "student"]
    results = pd.read_csv(finished_run.results / "results.csv").set_index("name")
    assert (table["parameters"] == results.loc[table.index, "parameters"]).all()
    assert table.loc["HetComp", "bytes"] == 4 * table.loc["HetComp", "parameters"]
    assert table.loc["TeacherEnsemble", "bytes"] == table.loc[["BPR", "EASE"], "bytes"].sum()
    assert (table[["p50_ms", "processor_ms", "users_per_second"]] > 0).all(axis=None)
    assert (table["p95_ms"] >= table["p50_ms"]).all()
    assert len(found.of("student", "cpu").speed.single) == 2 * 20


def test_ratios_are_the_ensembles_over_the_students(found):
    table, ratio = found.table().query("device == 'cpu'").set_index("role"), found.ratios("cpu")
    for name in ("parameters", "bytes", "p50_ms", "p95_ms", "processor_ms"):
        assert ratio[name] == pytest.approx(table.loc["ensemble", name] / table.loc["student", name])
    said = found.in_words()
    assert f"{ratio['parameters']:,.1f} times fewer parameters" in said[0]
    assert any("no time depends on weights" in line for line in said)
    assert not any("no BPR" in line for line in said)


def test_of_several_threads_one_tells_no_processor_time(finished_run, tmp_path):
    found = profile(finished_run.checkpoint, users=2, batch=8, repeats=1, threads=2)
    assert found.table()["processor_ms"].isna().all()
    assert "processor" not in found.in_words()[0]
    found.write(tmp_path)
    assert read_json(tmp_path / "profile.json")["ensemble_to_student"]["cpu"]["processor_ms"] is None


def test_without_the_store_it_says_that_teachers_count_alike(finished_run, tmp_path):
    found = profile(finished_run.checkpoint, users=2, batch=8, repeats=1, store_dir=str(tmp_path / "none"))
    assert any("The store has no BPR, EASE" in line for line in found.in_words())
    assert len(found.table().query("device == 'cpu'")) == 4


def test_a_teacher_of_weight_0_costs_nothing(tiny_run):
    run = tiny_run(teacher_weights=[1.0, 0.0], epochs=3, compare_no_kd=False)
    table = profile(run.checkpoint, users=2, batch=8, repeats=1).table().query("device == 'cpu'").set_index("name")
    assert table.loc["TeacherEnsemble", "bytes"] == table.loc["BPR", "bytes"]
    assert table.loc["EASE", "bytes"] > 0


def test_the_command_writes_table_and_picture(finished_run, tmp_path, capsys):
    words = ["profile", f"--checkpoint={finished_run.checkpoint}", "--users=5", "--batch=16", "--repeats=1", "--k=5"]
    assert cli.main([*words, f"--to={tmp_path / 'out'}"]) == 0
    said = capsys.readouterr().out
    assert "| TeacherEnsemble |" in said
    assert "times fewer parameters than the ensemble" in said
    written = pd.read_csv(tmp_path / "out" / "profile.csv")
    content = read_json(tmp_path / "out" / "profile.json")
    assert written["name"].tolist() == [row["name"] for row in content["rows"]]
    assert (content["k"], content["batch"], content["timed_users"], content["dataset"]) == (5, 16, 5, "ml-100k")
    assert content["ensemble_to_student"]["cpu"]["parameters"] > 1
    assert (tmp_path / "out" / "profile.png").read_bytes()[:4] == b"\x89PNG"
    assert {"cuda"} <= set(content["ensemble_to_student"]) or not torch.cuda.is_available()
    assert json.loads((tmp_path / "out" / "profile.json").read_text())["versions"]["torch"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--k=0"], "k=0 is not allowed: at least 1"),
        (["--users=0"], "users=0"),
        (["--repeats=-1"], "repeats=-1"),
        (["--threads=0"], "threads=0"),
        (["--checkpoint=gone.pth"], "gone.pth does not exist"),
    ],
)
def test_a_wrong_call(finished_run, words, said, capsys):
    assert cli.main(["profile", f"--checkpoint={finished_run.checkpoint}", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_is_no_student(tiny_run, capsys):
    checkpoint = tiny_run(model="TeacherEnsemble").checkpoint
    assert cli.main(["profile", f"--checkpoint={checkpoint}"]) == 2
    assert "holds TeacherEnsemble: a distilled student is needed" in capsys.readouterr().err
