"""Teachers from outside of RecBole: found, tried, trained once, judged as RecBole judges, stored."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import BPR
from recbole.utils import init_seed

from recbole_hetcomp.recbole_bridge.config import run_settings
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge, gather_knowledge
from recbole_hetcomp.teachers.protocol import OutsideTeacher


class Counts:
    """Ranks by training counts, and a little noise."""

    taught = 0

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise

    def teach(self, interactions: Any, recorder: Any) -> Any:
        Counts.taught += 1
        counts = interactions.item_counts.float()
        counts = counts + self.noise * torch.rand(len(counts))
        recorder.record_scores(lambda users: counts.expand(len(users), -1))
        return recorder.trajectory(parameters=len(counts))


class Silent:
    def teach(self, interactions: Any, recorder: Any) -> Any:
        return None


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teachers under a dotted path."""
    made = ModuleType("outside_teachers")
    made.Counts, made.Silent, made.Model, made.number = Counts, Silent, BPR, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "outside_teachers", made)


def gathered(tmp_path: Path, teachers: list[str], **more: Any) -> Knowledge:
    given = {"teachers": teachers, "store_dir": str(tmp_path / "store"), "show_progress": False, **more}
    config = Config(model="HetComp", dataset="ml-100k", config_dict=given)
    init_seed(config["seed"], config["reproducibility"])  # the split is drawn
    train, valid, _ = data_preparation(config, create_dataset(config))
    knowledge = gather_knowledge(config, run_settings(config), train, valid, with_no_kd=False)
    gathered.valid, gathered.config, gathered.train = valid, config, train._dataset  # type: ignore[attr-defined]
    return knowledge


def test_it_is_trained_once_and_judged_as_recbole_judges(tmp_path, log):
    before = Counts.taught
    knowledge = gathered(tmp_path, ["outside_teachers.Counts"])
    ((name, teacher),) = knowledge.teachers
    assert name == "outside_teachers.Counts"
    assert teacher.info["parameters"] == 1683
    lists = teacher.served[:, :50]
    judged = ListsTrainer.judging(gathered.config, gathered.train, lists).evaluate(  # type: ignore[attr-defined]
        gathered.valid,
        load_best_model=False,  # type: ignore[attr-defined]
    )
    assert set(judged) == set(teacher.info["valid"]) == {"recall@10", "recall@50", "ndcg@10", "ndcg@50"}
    assert teacher.scores == (teacher.info["valid"]["recall@50"],)
    assert 0.2 < teacher.scores[0] < 0.3  # ml-100k's most popular items
    again = gathered(tmp_path, ["outside_teachers.Counts"])
    assert Counts.taught == before + 1
    assert torch.equal(again.teachers[0][1].unobserved, teacher.unobserved)
    assert any("taken from the store" in line for line in log)


@pytest.mark.parametrize("changed", [{"noise": 0.5}, {"seed": 7}])
def test_another_setting_is_another_entry(tmp_path, changed):
    before = Counts.taught
    for given in ({}, changed):
        gathered(tmp_path, ["outside_teachers.Counts"], teacher_config={"outside_teachers.Counts": given})
    assert Counts.taught == before + 2


def test_its_seed_decides_its_numbers(tmp_path):
    found = [
        gathered(
            tmp_path / str(number),
            ["outside_teachers.Counts"],
            teacher_config={"outside_teachers.Counts": {"noise": 200.0, "seed": seed}},
        ).ensemble
        for number, seed in enumerate((1, 1, 2))
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_what_is_no_trajectory_is_refused_and_nothing_is_stored(tmp_path):
    with pytest.raises(TypeError, match=r"outside_teachers\.Silent\.teach returned NoneType"):
        gathered(tmp_path, ["outside_teachers.Silent"])
    assert list((tmp_path / "store").glob("*/*/manifest.json")) == []


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        ("outside_teachers.Nobody", {}, "cannot be imported"),
        ("no_such_package.Teacher", {}, "cannot be imported: No module named"),
        ("outside_teachers.number", {}, "has no method teach"),
        ("outside_teachers.Counts", {"nois": 1.0}, "unexpected keyword argument 'nois'"),
        ("outside_teachers.Counts", {"noise": object()}, "plain values are needed"),
    ],
)
def test_a_bad_teacher_is_refused_when_the_config_is_built(path, settings, message):
    with pytest.raises(ValueError, match=message):
        OutsideTeacher.of(path, settings)
    with pytest.raises(ValueError, match=message):
        Config(
            model="HetComp",
            dataset="ml-100k",
            config_dict={"teachers": [path], "teacher_config": {path: settings}},
        )
