"""The best student within a budget: what does not fit is not trained, and validation chooses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import recbole_hetcomp
from recbole_hetcomp import cli
from recbole_hetcomp.deployment.cost import Cost
from recbole_hetcomp.deployment.selection import Budget, Candidate, Choice, Distilled, Selection

ROW = 4 * (943 + 1 + 1682 + 1)  # bytes of a dimension of matrix factorisation on ml-100k


@pytest.fixture(scope="module")
def chosen(finished_run, tiny_settings, tmp_path_factory, working_in):
    """A sweep in which one size is too large; what it trained, and what the same command then does."""
    folder = tmp_path_factory.mktemp("select")
    given = {**tiny_settings(folder), "store_dir": finished_run.settings["store_dir"], "epochs": 3, "eval_step": 3}
    given.pop("result_dir")
    trained = {path.name for path in Path(given["store_dir"]).glob("*/*")}
    said: list[str] = []
    with working_in(folder):
        selection = Selection("HetComp", "ml-100k", (), given, Budget(max_bytes=5 * ROW), ("BPR",), (2, 5, 6))
        candidates = selection.candidates()
        choice = selection.choose(candidates, folder / "out", said.append)
        before = {file: file.stat().st_mtime_ns for file in (folder / "checkpoints").glob("*.pth")}
        again = selection.choose(candidates, folder / "out", said.append)
        after = {file: file.stat().st_mtime_ns for file in (folder / "checkpoints").glob("*.pth")}
        choice.write(folder / "out")
        damaged = folder / "out" / "BPR-2" / "results.json"
        damaged.write_text(json.dumps({**json.loads(damaged.read_text()), "rows": [{"role": "student"}]}))
        mended = selection.choose(candidates, folder / "out", said.append)
        rewritten = {file: file.stat().st_mtime_ns for file in (folder / "checkpoints").glob("*.pth")}
    new = {path.name for path in Path(given["store_dir"]).glob("*/*")} - trained
    return SimpleNamespace(
        folder=folder, choice=choice, again=again, before=before, after=after, new=new, said=said,
        mended=mended, rewritten=rewritten,
    )  # fmt: skip


def test_what_is_too_large_is_known_beforehand_and_not_trained(chosen):
    table = chosen.choice.table().set_index("dimension")
    assert table["bytes"].to_dict() == {2: 2 * ROW, 5: 5 * ROW, 6: 6 * ROW}
    assert table["not trained"].to_dict() == {2: "", 5: "", 6: "too large"}
    assert np.isnan(table.loc[6, "valid_recall@50"])
    assert not (chosen.folder / "out" / "BPR-6").exists()
    assert not chosen.new  # the teachers are those of the store


def test_validation_chooses_and_the_checkpoint_is_that_student(chosen):
    best, table = chosen.choice.best, chosen.choice.table()
    assert best.valid == table["valid_recall@50"].max()
    assert table.loc[table["chosen"], "name"].tolist() == [best.candidate.name]
    model = recbole_hetcomp.load_data_and_model(str(best.checkpoint))[1]
    assert model.backbone.user_embedding.weight.shape[1] == best.candidate.dimension
    content = json.loads((chosen.folder / "out" / best.candidate.name.replace(" ", "-") / "results.json").read_text())
    assert content["rows"][-1]["valid"]["recall@50"] == pytest.approx(best.valid)


def test_the_same_again_trains_nothing(chosen):
    assert len(chosen.before) == 2
    assert chosen.before == chosen.after
    assert [one.valid for one in chosen.again.distilled] == [one.valid for one in chosen.choice.distilled]


def test_a_damaged_result_is_made_again_and_no_other(chosen):
    assert sum(chosen.rewritten[file] != written for file, written in chosen.after.items()) == 1
    assert [one.valid for one in chosen.mended.distilled] == [one.valid for one in chosen.choice.distilled]


def test_the_table_and_the_picture_are_written(chosen):
    table = pd.read_csv(chosen.folder / "out" / "select.csv")
    assert table["pareto"].tolist()[0]  # the smallest that was trained
    assert (chosen.folder / "out" / "select.png").read_bytes()[:4] == b"\x89PNG"


def test_of_equals_the_smallest(tmp_path):
    students = [Candidate("BPR", d, Cost(d, 1.0, 1.0), "") for d in (8, 4, 6)]
    trained = tuple(Distilled(one, score, tmp_path) for one, score in zip(students, (0.3, 0.3, 0.2)))
    assert Choice("ndcg@50", True, Budget(9), tuple(students), trained).best.candidate.dimension == 4
    assert Choice("loss", False, Budget(9), tuple(students), trained).best.candidate.dimension == 6


def test_a_budget_decides():
    assert Budget(max_ms=2.0).problem(Cost(10**9, 1.0, 2.0)) == ""
    assert Budget(max_ms=2.0).problem(Cost(1, 1.0, 2.1)) == "too slow"
    assert Budget(max_bytes=10, max_ms=2.0).problem(Cost(11)) == "too large"
    assert Budget(max_bytes=10, max_ms=2.0).problem(Cost(10)) == ""


def test_the_command(finished_run, tiny_settings, tmp_path, capsys):
    given = {**tiny_settings(tmp_path), "store_dir": finished_run.settings["store_dir"], "epochs": 1, "eval_step": 1}
    given.pop("result_dir")
    words = [
        f"--{name}={json.dumps(value) if isinstance(value, (dict, list)) else value}" for name, value in given.items()
    ]
    options = ["--max-bytes=100000", "--dimensions=3", f"--to={tmp_path / 'out'}"]
    assert cli.main(["select", *options, *words]) == 0
    said = capsys.readouterr().out
    assert "best within the budget, by validation recall@50" in said
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.pth")
    assert f"checkpoint: {checkpoint}" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is no budget"),
        (["--max-bytes=-1"], "max_bytes=-1"),
        (["--max-ms=nan"], "max_ms=nan"),
        (["--max-bytes=9", "--dimensions=4,x"], "dimensions names 'x'"),
        (["--max-bytes=9", "--dimensions=0"], "dimensions=[0]"),
        (["--max-bytes=9", "--dimensions="], "one of each at least"),
        (["--max-bytes=9", "--backbones=BPRR"], "unknown student_backbone 'BPRR'"),
        (["--max-bytes=9", "--embedding_size=4"], "embedding_size=4 is not allowed here"),
        (["--max-bytes=9", "--model=BPR"], "model='BPR' is not allowed: a method that distils"),
        (["--max-bytes=9", "--dimensions=4,2"], "no student fits the budget: the smallest, BPR 2, has 21,016 bytes"),
        (["--max-ms=1e-9", "--dimensions=2"], "no student fits the budget"),
    ],
)
def test_a_wrong_call_trains_nothing(words, said, capsys, tmp_path):
    assert cli.main(["select", "--teachers=[BPR,EASE]", f"--to={tmp_path / 'out'}", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
