"""Sequences, features and graphs for teachers: of the run's training split alone, in order, by the run's ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranked_data import SETTINGS, write

import recbole_hetcomp  # noqa: F401
from recbole_hetcomp.recbole_bridge.own_data import OwnData, OwnScores


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[Any, Any, OwnData]]:
    """``make(model, timed=True, **settings)``: the teacher's Config, the run's training Dataset, the teacher's data."""

    def of(model: str, timed: bool = True, own: dict[str, Any] | None = None, **more: Any) -> Any:
        from recbole.data import create_dataset, data_preparation

        from recbole_hetcomp.recbole_bridge.config import run_settings, teacher_config
        from recbole_hetcomp.recbole_bridge.quick_start import build_config

        data = tmp_path if (tmp_path / "mine").exists() else write(tmp_path, timed)
        inter = ["user_id", "item_id", *(["timestamp"] if timed else [])]
        settings = {
            **SETTINGS, "data_path": str(data), "load_col": {"inter": inter}, "teachers": [model],
            "teacher_config": {model: {"MAX_ITEM_LIST_LENGTH": 4, **(own or {})}}, "state": "ERROR", **more,
        }  # fmt: skip
        config = build_config("TeacherEnsemble", "mine", [], settings)
        train = data_preparation(config, create_dataset(config))[0]._dataset
        teachers = teacher_config(config, run_settings(config), model)
        return teachers, train, OwnData.load(teachers, train)

    return of


def in_tokens(data: Any, users: Any, items: Any) -> list[tuple[str, str]]:
    names = [data.field2id_token[field][np.asarray(ids)] for field, ids in (("user_id", users), ("item_id", items))]
    return list(zip(*(side.tolist() for side in names)))


def times(folder: Path) -> dict[tuple[str, str], int]:
    rows = [line.split("\t") for line in (folder / "mine" / "mine.inter").read_text().splitlines()[1:]]
    return {(row[0], row[1]): int(row[2]) if len(row) > 2 else place for place, row in enumerate(rows)}


@pytest.mark.parametrize("model", ["SASRec", "DIN", "DIEN", "BERT4Rec", "FM", "CKE", "GRU4RecF"])
def test_only_training_interactions_are_there(model, make):
    own = {"selected_features": ["tags"]} if model == "GRU4RecF" else {}
    _, train, data = make(model, own=own)
    learnt = in_tokens(data.dataset, data.plain["user_id"], data.plain["item_id"])
    assert sorted(learnt) == sorted(in_tokens(train, train.inter_feat["user_id"], train.inter_feat["item_id"]))
    seen = data.dataset.inter_feat
    assert set(in_tokens(data.dataset, seen["user_id"], seen["item_id"])) <= set(learnt)
    if "item_id_list" in seen:
        for user, row in zip(seen["user_id"], seen["item_id_list"]):
            items = row[row > 0]
            assert set(in_tokens(data.dataset, user.repeat(len(items)), items)) <= set(learnt)


def test_prepared_parts_are_read_in_the_order_of_their_times(tmp_path):
    """Split files whose raw lines are in no order, and whose times no run loads."""
    from recbole.data import create_dataset, data_preparation

    from recbole_hetcomp.data.prepare import Layout, prepare
    from recbole_hetcomp.recbole_bridge.config import run_settings, teacher_config
    from recbole_hetcomp.recbole_bridge.quick_start import build_config

    write(tmp_path)
    when = times(tmp_path)
    lines = [f"{user},{item},{time}" for (user, item), time in when.items()]
    (tmp_path / "raw.csv").write_text("user,item,timestamp\n" + "\n".join(lines) + "\n")
    layout = Layout("table", timestamp_column="timestamp")
    made = prepare(tmp_path / "raw.csv", tmp_path / "data", "split", layout=layout, split="temporal")
    given = {**SETTINGS, "teachers": ["SASRec"], "teacher_config": {"SASRec": {"MAX_ITEM_LIST_LENGTH": 4}}}
    config = build_config("TeacherEnsemble", "split", [str(made.folder / "split.yaml")], given)
    train = data_preparation(config, create_dataset(config))[0]._dataset
    assert "timestamp" not in train.inter_feat
    data = OwnData.load(teacher_config(config, run_settings(config), "SASRec"), train)
    pairs = in_tokens(train, train.inter_feat["user_id"], train.inter_feat["item_id"])
    rows, lengths = data.sequences(data.users[1:])
    for user, row, length in zip(train.field2id_token["user_id"][1:], rows, lengths):
        mine = sorted((pair for pair in pairs if pair[0] == user), key=lambda pair: when[pair])
        assert data.dataset.field2id_token["item_id"][row[:length]].tolist() == [item for _, item in mine][-4:]


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("order", ["RO", "TO"])
def test_a_sequence_is_the_last_training_items_by_time_or_else_as_in_the_file(order, timed, make, tmp_path):
    if order == "TO" and not timed:
        pytest.skip("RecBole splits nothing by a time that is not there")
    _, train, data = make("SASRec", timed, eval_args={"order": order})
    when = times(tmp_path)
    pairs = in_tokens(train, train.inter_feat["user_id"], train.inter_feat["item_id"])
    rows, lengths = data.sequences(data.users[1:])
    for user, row, length in zip(train.field2id_token["user_id"][1:], rows, lengths):
        mine = sorted((pair for pair in pairs if pair[0] == user), key=lambda pair: when[pair])
        found = data.dataset.field2id_token["item_id"][row[:length]].tolist()
        assert found == [item for _, item in mine][-4:]
        assert not row[length:].any()


def test_of_a_pair_that_occurs_twice_the_later_one_stays_behind(make, tmp_path):
    write(tmp_path)
    file = tmp_path / "mine" / "mine.inter"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("u1\t")]
    own = [f"u1\ti{item}\t{when}" for when, item in enumerate([3, 4, 5, 6, 7, 8, 9, 10, 3, 11])]
    file.write_text("\n".join([lines[0], *own[::-1], *lines[1:]]) + "\n")
    _, train, data = make("SASRec", eval_args={"order": "TO"})  # the last two of ten are validation and test
    user = train.field2token_id["user_id"]["u1"]
    row, _ = data.sequences(data.users[torch.tensor([user])])
    assert data.dataset.field2id_token["item_id"][row[0]].tolist() == ["i7", "i8", "i9", "i10"]


def test_items_and_users_are_those_of_the_run(make):
    _, train, data = make("FM")
    assert data.dataset.item_num > train.item_num  # the features name three more
    for field, own in (("user_id", data.users), ("item_id", data.items)):
        mine = data.dataset.field2id_token[field]
        assert [mine[place] for place in own[1:]] == train.field2id_token[field][1:].tolist()


class ByToken(torch.nn.Module):
    """Scores an item by the number in its name, and 100 for the user's."""

    def __init__(self, data: Any, full: bool) -> None:
        super().__init__()
        self.data, self.full, self.device = data, full, torch.device("cpu")
        self.sizes: list[int] = []

    def numbers(self, field: str) -> torch.Tensor:
        return torch.tensor([0.0, *(float(token[1:]) for token in self.data.field2id_token[field][1:])])

    def full_sort_predict(self, query: Any) -> torch.Tensor:
        if not self.full:
            raise NotImplementedError
        self.sizes.append(len(query))
        return 100 * self.numbers("user_id")[query["user_id"]][:, None] + self.numbers("item_id")[None, :]

    def predict(self, query: Any) -> torch.Tensor:
        self.sizes.append(len(query))
        assert {"tags", "price", "age"} <= set(query.columns)
        return 100 * self.numbers("user_id")[query["user_id"]] + self.numbers("item_id")[query["item_id"]]


@pytest.mark.parametrize(("model", "full"), [("FM", False), ("DIN", False), ("SASRec", True), ("CKE", True)])
def test_scores_are_of_the_runs_users_and_items(model, full, make, monkeypatch):
    from recbole_hetcomp.recbole_bridge import own_data

    monkeypatch.setattr(own_data, "PAIRS_AT_ONCE", 64)
    monkeypatch.setattr(own_data, "USERS_AT_ONCE", 5)
    _, train, data = make(model)
    users = torch.tensor([3, 1, 12, 7, 7, 2, 9])
    stand_in = ByToken(data.dataset, full)
    scores = OwnScores(data, stand_in)(users)
    wanted = ByToken(train, True).full_sort_predict({"user_id": users})
    assert scores.shape == (7, train.item_num)
    assert torch.equal(scores[:, 1:], wanted[:, 1:])
    assert max(stand_in.sizes) <= (5 if full else 64)


def test_who_has_no_training_item_is_asked_of_no_sequence_model(make):
    *_, data = make("SASRec")
    without = data.users[2]
    keep = data.plain["user_id"] != without
    data.plain = data.plain[keep]
    scores = OwnScores(data, ByToken(data.dataset, True))(torch.tensor([1, 2]))
    assert torch.isfinite(scores[0, 1:]).all()
    assert (scores[1] == -torch.inf).all()


def test_a_graph_that_is_not_there_is_asked_for(make, tmp_path):
    write(tmp_path)
    (tmp_path / "mine" / "mine.link").unlink()
    with pytest.raises(ValueError, match=r"CKE is a knowledge-aware model and needs .*mine\.link does not exist"):
        make("CKE")


def test_items_without_an_entity_are_left_out_and_that_is_said(make, tmp_path, log):
    write(tmp_path)
    file = tmp_path / "mine" / "mine.link"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("i1")) + "\n")
    _, train, data = make("CKE")
    left_out = [token.startswith("i1") for token in train.field2id_token["item_id"]]
    scores = OwnScores(data, ByToken(data.dataset, True))(torch.tensor([1, 2]))
    assert ((scores == -torch.inf)[:, 1:] == torch.tensor(left_out)[1:]).all()
    learnt = in_tokens(data.dataset, data.plain["user_id"], data.plain["item_id"])
    all_of_them = in_tokens(train, train.inter_feat["user_id"], train.inter_feat["item_id"])
    assert sorted(learnt) == sorted(pair for pair in all_of_them if not pair[1].startswith("i1"))
    assert any("11 of 30 items have no entity" in line for line in log)


def test_a_filter_that_the_run_does_not_have_is_refused(make):
    with pytest.raises(ValueError, match=r"training interactions are not in the data set as FM loads it"):
        make("FM", own={"val_interval": {"timestamp": "[1050,inf)"}, "load_col": None})


def test_the_identity_names_columns_and_files_and_that_of_general_models_does_not(make, tmp_path):
    from recbole_hetcomp.recbole_bridge.identity import training_identity

    config, *_ = make("FM")
    before = training_identity(config)
    assert set(before["data_files"]) == {"inter", "user", "item"}
    assert set(training_identity(make("SASRec")[0])["data_files"]) == {"inter"}
    assert set(training_identity(make("CKE")[0])["data_files"]) == {"inter", "kg", "link"}
    with (tmp_path / "mine" / "mine.item").open("a") as file:
        file.write("a9\tred\t0.5\n")
    after = training_identity(make("FM")[0])
    assert after["data_files"]["item"] != before["data_files"]["item"]
    assert {**after, "data_files": 0} == {**before, "data_files": 0}


def test_a_general_models_identity_has_no_files(tmp_path):
    from recbole_hetcomp.recbole_bridge.config import run_settings, teacher_config
    from recbole_hetcomp.recbole_bridge.identity import training_identity
    from recbole_hetcomp.recbole_bridge.quick_start import build_config

    config = build_config("TeacherEnsemble", "mine", [], {**SETTINGS, "data_path": str(write(tmp_path))})
    identity = training_identity(teacher_config(config, run_settings(config), "BPR"))
    assert not {"data_files", "load_col"} & set(identity)
