"""Seconds of training count the making of a model, in which RecBole's one-step models are fitted."""

from __future__ import annotations

import time

import pytest
from recbole.model.general_recommender import BPR, EASE

from recbole_hetcomp.comparison.cells import RunningCell
from recbole_hetcomp.comparison.folder import CellSetup
from recbole_hetcomp.comparison.grid import Cell

FIT = 0.6  # seconds that a model sleeps while it is made; its training takes less


@pytest.fixture
def slow(monkeypatch):
    """``slow(model)``: it takes a while to be made, once."""

    def make(model):
        original = model.__init__

        def initialise(self, *args):
            time.sleep(FIT)
            original(self, *args)

        monkeypatch.setattr(model, "__init__", initialise)

    return make


def seconds(run) -> dict[str, float]:
    return {name: row["seconds"] for name, row in run.rows.items()}


def test_a_teacher_that_is_fitted_when_made(tiny_run, tmp_path, slow):
    slow(EASE)
    more = {"teachers": ["EASE"], "store_dir": str(tmp_path / "store"), "epochs": 1, "compare_no_kd": False}
    found = seconds(tiny_run(tmp_path, **more))
    assert found["EASE"] >= FIT
    assert found["TeacherEnsemble"] == found["EASE"]


def test_a_student_and_the_student_alone(tiny_run, tmp_path, slow):
    slow(BPR)
    more = {"teachers": ["EASE"], "no_kd_config": {"epochs": 1, "eval_step": 1}, "epochs": 1, "eval_step": 1}
    found = seconds(tiny_run(tmp_path, **more, store_dir=str(tmp_path / "store")))
    assert found["HetComp"] >= FIT
    assert found["NoKD"] >= FIT


def test_a_baseline_of_a_benchmark(tmp_path, slow):
    slow(EASE)
    settings = {"epochs": 1, "eval_step": 1, "metrics": ["Recall", "NDCG"], "topk": [10], "valid_metric": "Recall@10"}
    cell = Cell("baseline", "EASE", "EASE", "ml-100k", "data", "EASE", None, 3, 3, settings, tuning=True)
    (tmp_path / "cell").mkdir()
    running = RunningCell(cell, CellSetup(str(tmp_path / "store"), None, 1), tmp_path / "cell")
    running.run()
    assert running.row["train_seconds"] >= FIT
