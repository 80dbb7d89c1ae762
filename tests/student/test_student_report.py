"""Evaluating evaluates; the report is a step of its own."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from recbole_hetcomp.student.resume import RESUME_FILE


@pytest.fixture
def trained(tiny_settings, tmp_path, tiny_run):
    """A trainer after fit, made as a script of one's own makes it, and the test split's loader."""
    given = {**tiny_settings(tmp_path, epochs=2, eval_step=1), "store_dir": tiny_run().settings["store_dir"]}
    config = Config(model="HetComp", dataset="ml-100k", config_dict=given)
    init_seed(config["seed"], config["reproducibility"])
    train, valid, test = data_preparation(config, create_dataset(config))
    model = get_model("HetComp")(config, train._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "HetComp")(config, model)
    trainer.fit(train, valid, show_progress=False)
    return trainer, test


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.startswith(".lock")}


def test_evaluate_writes_nothing_and_report_the_table(trained, tmp_path):
    trainer, test = trained
    first = trainer.evaluate(test)
    assert files(tmp_path / "results") == {RESUME_FILE}
    assert trainer.evaluate(test) == first
    result = trainer.report(test, first)
    assert files(tmp_path / "results") == {"results.json", "results.csv", "curves.png"}
    assert result.rows[-1].test == first
    assert [row.name for row in result.rows] == ["BPR", "EASE", "TeacherEnsemble", "NoKD", "HetComp"]


def test_other_metrics_of_stored_lists_leave_the_trainer_as_it_is(trained):
    trainer, test = trained
    before = copy.copy(vars(trainer))
    lists = trainer.knowledge.teachers[0][1].served
    by_lists = trainer._list_metrics(lists, test)
    test.config["metrics"] = trainer.config["metrics"] = ["Recall", "GAUC"]
    by_scores = trainer._list_metrics(lists, test)
    assert vars(trainer) == before
    assert trainer.model is before["model"]
    assert by_scores["recall@10"] == by_lists["recall@10"]


def test_a_trainers_settings_are_its_models(trained):
    trainer, _ = trained
    assert trainer.settings is trainer.model.settings


def test_there_is_nothing_to_report_before_fit(tiny_settings, tmp_path):
    config = Config(model="NoKD", dataset="ml-100k", config_dict=tiny_settings(tmp_path))
    train, _, test = data_preparation(config, create_dataset(config))
    trainer = get_trainer(config["MODEL_TYPE"], "NoKD")(config, get_model("NoKD")(config, train._dataset))
    with pytest.raises(RuntimeError, match="before fit"):
        trainer.report(test, {})
