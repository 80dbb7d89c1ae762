"""Teachers of every type of RecBole's in one run: trained, recorded, stored, found again, taught from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ranked_data import NAME, SETTINGS, write

import recbole_hetcomp
from recbole_hetcomp.trajectories import TrajectoryStore

SMALL = {"epochs": 2, "eval_step": 1, "MAX_ITEM_LIST_LENGTH": 4, "train_batch_size": 64}
OWN_CLASS = '''
import torch
from recbole.model.general_recommender import BPR
from recbole.model.sequential_recommender import GRU4Rec

class Ranker(BPR):
    """A general recommender of one's own."""

class Reader(GRU4Rec):
    """A sequential one."""

class Pop:
    """Not RecBole's."""
    def teach(self, interactions, recorder):
        counts = interactions.item_counts.float()
        recorder.record_scores(lambda users: counts.expand(len(users), -1))
        return recorder.trajectory()
'''


@pytest.fixture(scope="module")
def taught(working_in: Callable[..., Any]) -> Callable[..., list[str]]:
    """``taught(folder, teachers, model="HetComp", **more)``: run on the small data set; what was logged."""

    def run(folder: Path, teachers: list[str], model: str = "HetComp", **more: Any) -> list[str]:
        with working_in(folder) as lines:
            run_small(folder, teachers, model, **more)
            return list(lines)

    return run


def run_small(folder: Path, teachers: list[str], model: str, **more: Any) -> None:
    if not (folder / NAME).exists():
        write(folder)
    settings = {
        **SETTINGS, "data_path": str(folder), "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "teachers": teachers, "teacher_config": {name: SMALL for name in teachers if name != "EASE"},
        "epochs": 4, "eval_step": 2, "show_progress": False, "compare_no_kd": False, "embedding_size": 4,
        "store_dir": str(folder / "store"), "result_dir": str(folder / "results"),
        "checkpoint_dir": str(folder / "saved"), **more,
    }  # fmt: skip
    recbole_hetcomp.run(model, NAME, config_dict=settings)


def entries(folder: Path) -> dict[str, Any]:
    store = TrajectoryStore(folder / "store")
    return {json.loads((entry / "manifest.json").read_text())["name"]: store.open(entry) for entry in store.entries()}


@pytest.fixture(scope="module")
def run(taught: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """A run with a teacher of each type, and the same run again."""
    folder = tmp_path_factory.mktemp("types")
    teachers = ["SASRec", "DIN", "DeepFM", "CKE", "EASE"]
    return folder, taught(folder, teachers), taught(folder, teachers, epochs=6)


def test_a_student_learns_from_teachers_of_every_type(run):
    folder, first, _ = run
    rows = json.loads((folder / "results" / "results.json").read_text())["rows"]
    assert {"SASRec", "DIN", "DeepFM", "CKE", "EASE"} <= {row["name"] for row in rows}
    assert sum(" trained in " in line for line in first) == 5


def test_they_are_found_in_the_store(run):
    _, _, second = run
    assert sum("taken from the store, not trained" in line for line in second) == 5
    assert not any(" trained in " in line for line in second)


def test_their_lists_hold_whole_catalogues_less_training_items(run):
    folder, *_ = run
    found = entries(folder)
    for name, trajectory in found.items():
        lists = trajectory.unobserved[-1].long()
        assert (lists[1:] > 0).all(), name
        assert all(len(row.unique()) == len(row) for row in lists[1:])
    assert {len(found[name].epochs) for name in ("SASRec", "DIN", "DeepFM", "CKE")} <= {
        1,
        2,
    }  # the best may be the first
    assert len(found["EASE"].epochs) == 1


def test_a_changed_feature_is_another_teacher_for_those_who_read_it(run, taught):
    folder, *_ = run
    with (folder / NAME / "mine.user").open("a") as file:
        file.write("u1\t21\n")
    again = taught(folder, ["SASRec", "DeepFM", "EASE"])
    trained = [line for line in again if " trained in " in line]
    assert len(trained) == 1
    assert "DeepFM" in trained[0]


def test_classes_of_ones_own_by_their_paths(taught, tmp_path, monkeypatch):
    (tmp_path / "my_rankers.py").write_text(OWN_CLASS)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["my_rankers.Ranker", "my_rankers.Reader", "my_rankers.Pop"]
    taught(tmp_path, names, teacher_config={name: SMALL for name in names[:2]})
    found = entries(tmp_path)
    assert set(found) == set(names)
    assert all("code" in trajectory.settings for trajectory in found.values())


def test_the_scores_at_the_end_are_those_that_were_recorded(taught, tmp_path):
    """The best snapshot's list of each user, made anew by the model that RecBole trains with the same seed."""
    from recbole_hetcomp.recbole_bridge import own_data

    kept = []
    scores_of = own_data.OwnData.scores_of

    def keep(self: Any, model: Any) -> Any:
        kept.append((self, model))
        return scores_of(self, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_data.OwnData, "scores_of", keep)
        taught(tmp_path, ["GRU4Rec"], model="TeacherEnsemble", teacher_config={"GRU4Rec": {**SMALL, "epochs": 1}})
    data, model = kept[0]
    scores = scores_of(data, model.eval())(torch.arange(1, 13))
    lists = entries(tmp_path)["GRU4Rec"].unobserved[-1].long()
    for row, best in zip(scores, lists[1:]):
        listed = row[best]
        assert (listed[1:] <= listed[:-1]).all()
        others = row.clone()
        others[best], others[0] = -torch.inf, -torch.inf
        assert (others > listed[-1]).sum() <= 15  # none but training items are better
