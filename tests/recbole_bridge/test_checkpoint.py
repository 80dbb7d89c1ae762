"""Checkpoints: plain data that loads safely, and that RecBole's own functions read as they read its own."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.quick_start import load_data_and_model

import recbole_hetcomp
from recbole_hetcomp.recbole_bridge.checkpoint import (
    FORMAT,
    command_line_hidden,
    is_plain,
    plain_config,
    revive,
    revive_config,
    save_atomically,
)


def assert_same_config(one: Config, other: Config) -> None:
    assert set(one.final_config_dict) == set(other.final_config_dict)
    for key, value in one.final_config_dict.items():
        assert other[key] == value, key
    assert plain_config(one) == plain_config(other)
    assert (one.model, one.dataset, one.model_class) == (other.model, other.dataset, other.model_class)


def scores_of(model: Any, users: range) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        batch = Interaction({"user_id": torch.tensor(list(users), device=model.device)})
        return model.full_sort_predict(batch).view(len(users), -1).cpu()


# --- plain configs ---


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("HetComp", {}),
        ("HetComp", {"preset": "authors", "seed": 3, "teachers": ["BPR", "EASE"], "student_backbone": "LightGCN"}),
        ("HetComp", {"student_backbone": "MultiVAE", "train_neg_sample_args": None}),
        ("HetComp", {"teacher_config": {"BPR": {"epochs": 3}}, "teacher_weights": [1, 1, 1, 1, 0.5]}),
        ("TeacherEnsemble", {}),
        ("ItemVAE", {}),
        (
            "BPR",
            {
                "eval_args": {"mode": {"valid": "uni100", "test": "full"}},
                "topk": 5,
                "metrics": "Recall",
                "valid_metric": "Recall@5",
            },
        ),
        ("CML", {"my_own_note": "hello"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_survives_as_plain_data(model, given):
    config = Config(model=model, dataset="ml-100k", config_dict=dict(given))
    plain = plain_config(config)
    assert is_plain(plain)
    assert_same_config(config, revive_config(plain))


def test_the_data_path_that_the_user_gave_survives(tmp_path):
    config = Config(model="BPR", dataset="mine", config_dict={"data_path": str(tmp_path)})
    revived = revive_config(plain_config(config))
    assert revived["data_path"] == config["data_path"] == str(tmp_path / "mine")


def test_reviving_ignores_the_command_line(monkeypatch):
    plain = plain_config(Config(model="HetComp", dataset="ml-100k"))
    monkeypatch.setattr("sys.argv", ["run", "--embedding_size=3"])
    assert revive_config(plain)["embedding_size"] == 8


def test_the_command_line_comes_back_after_an_error(monkeypatch):
    monkeypatch.setattr("sys.argv", ["run", "--seed=3"])
    with pytest.raises(RuntimeError, match="within"), command_line_hidden():
        raise RuntimeError("within")
    assert sys.argv == ["run", "--seed=3"]


@pytest.mark.parametrize("value", [None, True, 1, 0.5, "a", [1, [2]], (1,), {"a": {"b": [None]}}])
def test_plain_values(value):
    assert is_plain(value)


@pytest.mark.parametrize("value", [torch.zeros(1), {1: 2}, [object()], {"a": Path()}, torch.device("cpu")])
def test_values_that_are_not_plain(value):
    assert not is_plain(value)


def test_revive_leaves_other_contents_alone():
    for content in ({"config": 1}, [1], torch.zeros(1), {"format": "another"}):
        assert revive(content) is content


# --- real checkpoints ---


@pytest.fixture(scope="module")
def bpr_run(tiny_run) -> Any:
    return tiny_run(model="BPR", epochs=1, eval_step=1, eval_batch_size=2**21)


def test_our_checkpoint_loads_as_tensors_and_plain_data(finished_run):
    content = torch.load(finished_run.checkpoint, map_location="cpu", weights_only=True)
    assert content["format"] == FORMAT
    assert is_plain(content["config"])
    assert content["config"]["teachers"] == ["BPR", "EASE"]
    assert {name.split(".")[0] for name in content["state_dict"]} == {"backbone"}
    assert content["best_valid_score"] == finished_run.returned["best_valid_score"]


def test_load_data_and_model_on_a_saved_student(finished_run, log):
    saved = torch.load(finished_run.checkpoint, weights_only=True)
    config, model, dataset, train_data, valid_data, test_data = load_data_and_model(str(finished_run.checkpoint))
    assert type(model).__name__ == config["model"] == "HetComp"
    assert isinstance(config, Config)
    assert (dataset.user_num, dataset.item_num) == (944, 1683)
    assert len(train_data._dataset) + len(valid_data._dataset) + len(test_data._dataset) == len(dataset)
    user, item = (saved["state_dict"][f"backbone.{kind}_embedding.weight"] for kind in ("user", "item"))
    assert torch.equal(scores_of(model, range(1, 40)), user[1:40] @ item.T)


@pytest.mark.parametrize("load", [load_data_and_model, recbole_hetcomp.load_data_and_model])
def test_a_reloaded_student_tests_as_it_did(finished_run, load):
    from recbole.utils import get_trainer

    config, model, _, _, _, test_data = load(str(finished_run.checkpoint))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    assert trainer.evaluate(test_data, load_best_model=False) == finished_run.returned["test_result"]


def test_a_checkpoint_of_recboles_own_loads_as_before(bpr_run):
    saved = torch.load(bpr_run.checkpoint, weights_only=False)
    assert isinstance(saved["config"], Config)  # RecBole's format: a pickled Config
    _, model, _, _, _, test_data = load_data_and_model(str(bpr_run.checkpoint))
    state = saved["state_dict"]
    expected = state["user_embedding.weight"][1:40] @ state["item_embedding.weight"].T
    assert torch.equal(scores_of(model, range(1, 40)), expected)
    from recbole.trainer import Trainer

    result = Trainer(saved["config"], model).evaluate(test_data, load_best_model=False)
    assert result == bpr_run.returned["test_result"]


def test_torch_load_outside_recbole_keeps_its_own_default(bpr_run):
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        torch.load(bpr_run.checkpoint, weights_only=True)


def test_a_saved_ensemble_recommends_as_it_did(tiny_run):
    run = tiny_run(model="TeacherEnsemble")
    torch.load(run.checkpoint, weights_only=True)
    _, model, *_ = load_data_and_model(str(run.checkpoint))
    assert model.lists.shape == (944, 200)
    assert scores_of(model, range(1, 5)).argmax(1).tolist() == model.lists[1:5, 0].tolist()


# --- writing ---


def test_saving_replaces_the_whole_file(tmp_path):
    file = tmp_path / "new" / "state.pt"
    for value in (1, 2):
        save_atomically({"value": value}, file)
        assert torch.load(file, weights_only=True) == {"value": value}
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("failing", ["torch.save", "os.replace", "os.fsync"])
def test_saving_leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch, failing):
    file = tmp_path / "state.pt"
    save_atomically({"value": 1}, file)
    content = file.read_bytes()

    def full(*arguments: Any, **keywords: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(failing, full)
    with pytest.raises(OSError, match="no space"):
        save_atomically({"value": 2}, file)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == content
