"""One cell: the same numbers as RecBole's run_recbole, per user and on the mean, and no test in a trial."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.quick_start import run_recbole
from recbole.trainer import Trainer

from recbole_hetcomp.comparison.cells import RunningCell, main
from recbole_hetcomp.comparison.folder import CELL, ERROR, PER_USER, CellSetup
from recbole_hetcomp.comparison.grid import Cell
from recbole_hetcomp.files import read_json, write_json
from recbole_hetcomp.metrics.per_user import is_per_user
from recbole_hetcomp.recbole_bridge.property_files import read_properties
from recbole_hetcomp.serving.costs import stored_bytes

SETTINGS = {
    **read_properties("overall"), "metrics": ["Recall", "NDCG", "Hit", "Precision", "MRR", "MAP"],
    "epochs": 2, "eval_step": 1, "seed": 3,
}  # fmt: skip


def cell_of(role: str, model: str, tuning: bool = False, split_seed: int = 3, **more: object) -> Cell:
    settings = {**SETTINGS, **more}
    return Cell(role, model, model, "ml-100k", "data", "BPR", None, 3, split_seed, settings, tuning)


def work(folder, cell: Cell) -> RunningCell:
    (folder / "cell").mkdir()
    made = RunningCell(cell, CellSetup(str(folder / "store"), None, 1), folder / "cell")
    made.run()
    return made


@pytest.mark.parametrize("model", ["BPR", "EASE"])
def test_a_baseline_is_what_run_recbole_gives(tmp_path, model):
    done = work(tmp_path, cell_of("baseline", model))
    plain = run_recbole(model=model, dataset="ml-100k", config_dict={**SETTINGS, "show_progress": False})
    found = {name: done.row[name] for name in plain["test_result"]}
    assert found == pytest.approx(dict(plain["test_result"]), abs=2e-6)
    for name, value in plain["best_valid_result"].items():
        assert done.row[f"valid_{name}"] == pytest.approx(value, abs=2e-6)


def test_a_student_is_what_run_recbole_gives(tmp_path):
    more = {
        "teachers": ["BPR"], "teacher_config": {"BPR": {"epochs": 2, "eval_step": 1, "seed": 3}}, "embedding_size": 4,
        "compare_no_kd": False, "p": 1,
    }  # fmt: skip
    done = work(tmp_path, cell_of("student", "HetComp", **more))
    settings = {**SETTINGS, **more, "show_progress": False, "store_dir": str(tmp_path / "other")}
    plain = run_recbole(model="HetComp", dataset="ml-100k", config_dict=settings)
    assert {name: done.row[name] for name in plain["test_result"]} == dict(plain["test_result"])
    assert done.row["parameters"] == 4 * (944 + 1683)
    assert [line["epoch"] for line in done.history] == [0, 1]
    assert done.row["best_epoch"] in (0, 1)


def test_users_values_have_the_means_that_recbole_reports(tmp_path):
    done = work(tmp_path, cell_of("baseline", "Pop"))
    table = pd.read_parquet(tmp_path / "cell" / PER_USER)
    assert len(table) == table["user"].nunique() == 943
    for name in SETTINGS["metrics"]:
        for k in SETTINGS["topk"]:
            column = f"{name.lower()}@{k}"
            assert round(table[column].to_numpy().mean(), done.config["metric_decimal_place"]) == done.row[column]
    hits = table["hit@50"].to_numpy()
    assert set(np.unique(hits)) <= {0.0, 1.0}
    assert ((table["recall@50"] > 0) == (hits > 0)).all()


def test_a_trial_never_sees_the_test_split(tmp_path, monkeypatch):
    seen = []
    original = Trainer.evaluate
    monkeypatch.setattr(
        Trainer,
        "evaluate",
        lambda self, data, *args, **kwargs: seen.append(data) or original(self, data, *args, **kwargs),
    )
    done = work(tmp_path, cell_of("baseline", "BPR", tuning=True))
    tested = {id(done.test), id(done.test._dataset)}
    assert seen
    assert not any(id(data) in tested or id(data._dataset) in tested for data in seen)
    assert "valid_recall@50" in done.row
    assert not [name for name in done.row if "@" in name and not name.startswith("valid_")]
    assert not (tmp_path / "cell" / PER_USER).exists()


def test_a_shared_split_is_the_same_for_all_seeds(tmp_path):
    one, same = (
        RunningCell(cell_of("baseline", "Pop", split_seed=split, seed=seed), CellSetup("store", None, 1), tmp_path)
        for split, seed in ((3, 3), (3, 4))
    )
    assert (one.config["seed"], same.config["seed"]) == (3, 4)
    for part in ("train", "test"):
        pairs = [getattr(each, part)._dataset.inter_feat["item_id"] for each in (one, same)]
        assert torch.equal(*pairs)
    other = RunningCell(cell_of("baseline", "Pop", split_seed=4), CellSetup("store", None, 1), tmp_path)
    assert not torch.equal(one.test._dataset.inter_feat["item_id"], other.test._dataset.inter_feat["item_id"])


@pytest.mark.parametrize("teacher", ["Pop", "EASE", "BPR"])
def test_any_teacher_has_metrics_and_costs(tmp_path, teacher):
    given = {"epochs": 1, "eval_step": 1} if teacher == "BPR" else {}
    done = work(tmp_path, cell_of("teacher", "TeacherEnsemble", teachers=[teacher], teacher_config={teacher: given}))
    assert 0 < done.row["recall@50"] < 1
    assert done.row["latency_ms"] > 0
    assert done.row["bytes"] >= 4 * done.row["parameters"] > 0


def test_bytes_are_those_of_what_is_kept(tmp_path):
    done = work(tmp_path, cell_of("baseline", "EASE"))
    assert done.row["bytes"] == 4 * done.row["parameters"] == 4 * 1683**2
    linear = torch.nn.Linear(3, 2)
    linear.type = None
    assert stored_bytes(linear) == 4 * (6 + 2)


def test_a_cell_that_the_benchmark_knows_by_another_key_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "cells" / "key-of-an-earlier-package"
    folder.mkdir(parents=True)
    cell = cell_of("baseline", "Pop")
    write_json(folder / CELL, {"cell": cell.plain(), "setup": vars(CellSetup(str(tmp_path / "store"), None, 1))})
    monkeypatch.setattr(sys, "argv", ["cells", str(folder)])
    assert main() == 1
    error = read_json(folder / ERROR)["error"]
    assert f"takes the cell for {cell.key}, the benchmark for {folder.name}" in error
    assert "has changed since the benchmark was started" in error
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [folder.name]


def test_metrics_with_a_value_for_each_user():
    assert [name for name in ("Recall", "ndcg", "GiniIndex", "AUC", "nothing") if is_per_user(name)] == [
        "Recall",
        "ndcg",
    ]
