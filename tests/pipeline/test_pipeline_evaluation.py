"""The saved student once more on the test split."""

from __future__ import annotations

import json

import pytest

from recbole_hetcomp.files import read_json
from recbole_hetcomp.pipeline.evaluation import EvaluationDiffersError, evaluate, largest_difference, main


def test_a_saved_student_has_its_tables_metrics(finished_run, tmp_path, capsys):
    told = json.loads((finished_run.results / "results.json").read_text(encoding="utf-8"))["rows"][-1]
    to = tmp_path / "evaluation.json"
    assert main([str(finished_run.checkpoint), str(finished_run.results / "results.json"), str(to)]) == 0
    found = read_json(to)
    assert (found["model"], found["dataset"], found["largest_difference"]) == ("HetComp", "ml-100k", 0)
    assert found["test"] == {name: told[name] for name in found["test"]}
    assert f"recall@50 {told['recall@50']:.4f}" in capsys.readouterr().out


def test_a_student_that_is_not_its_tables_is_refused(finished_run, tmp_path):
    results = finished_run.results / "results.json"
    told = json.loads(results.read_text(encoding="utf-8"))
    told["rows"][-1]["recall@50"] += 0.01
    (tmp_path / "other.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(EvaluationDiffersError, match=r"the saved student has recall@50 0\.\d+ on the test split"):
        evaluate(finished_run.checkpoint, tmp_path / "other.json")
    words = [str(finished_run.checkpoint), str(tmp_path / "other.json"), str(tmp_path / "evaluation.json")]
    assert main(words) == 1
    assert not (tmp_path / "evaluation.json").exists()


def test_a_metric_that_is_no_number_is_no_agreement():
    with pytest.raises(EvaluationDiffersError, match="ndcg@50 nan"):
        largest_difference({"recall@50": 0.5, "ndcg@50": float("nan")}, {"recall@50": 0.5, "ndcg@50": 0.5})


def test_a_damaged_student_is_named_in_a_line(finished_run, tmp_path, capsys):
    damaged = tmp_path / "student.pth"
    damaged.write_bytes(finished_run.checkpoint.read_bytes()[:1000])
    assert main([str(damaged), str(finished_run.results / "results.json"), str(tmp_path / "evaluation.json")]) == 1
    assert f"error: {damaged} is damaged" in capsys.readouterr().err
