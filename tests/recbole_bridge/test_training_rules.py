"""Weight decay by the size of the data and the schedule of the learning rate, in every model that is trained."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from recbole.config import Config
from recbole.data import create_dataset
from recbole.quick_start import run_recbole
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer

from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.recbole_bridge.config import no_kd_config, run_settings, student_settings, teacher_config
from recbole_hetcomp.recbole_bridge.training_rules import learning_rate_at, shorten, weight_decay_of


def model(users: int, items: int) -> Any:
    return SimpleNamespace(n_users=users + 1, n_items=items + 1)


def config_of(name: str = "HetComp", **given: Any) -> Config:
    with command_line_hidden():
        return Config(name, "ml-100k", config_dict=given)


def test_the_penalty_falls_with_the_root_of_users_times_items():
    config = {"scaled_weight_decay": 0.02, "weight_decay": 0.0, "weight_decay_pairs": 10.0}
    assert weight_decay_of(config, model(100, 400)) == pytest.approx(0.02 / 200)
    assert weight_decay_of(config, model(0, 0)) == 0.02
    none = {"scaled_weight_decay": None, "weight_decay": 0.3, "weight_decay_pairs": None}
    assert weight_decay_of(none, object()) == 0.3
    with pytest.raises(ValueError, match=r"scaled_weight_decay=0.02 is not for object"):
        weight_decay_of(config, object())


@pytest.mark.parametrize(
    ("users", "items", "found"),
    [(100, 400, 0.3), (100, 401, 0.3 * (400 / 401) ** 0.5), (400, 1600, 0.075), (0, 0, 0.3)],
)
def test_a_default_penalty_falls_with_more_pairs_than_it_was_chosen_on(users, items, found):
    config = {"scaled_weight_decay": None, "weight_decay": 0.3, "weight_decay_pairs": 40_000}
    assert weight_decay_of(config, model(users, items)) == pytest.approx(found)
    with pytest.raises(ValueError, match=r"weight_decay_pairs=40000 is not for object"):
        weight_decay_of(config, object())


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, 1e-5 * (1e6 / 1_586_126) ** 0.5),  # 943 users, 1,682 items
        ({"weight_decay": 1e-5}, 1e-5),  # given, though it is the default
        ({"weight_decay": 3e-5, "weight_decay_pairs": 396_531.5}, 1.5e-5),
        ({"weight_decay_pairs": None}, 1e-5),
        ({"weight_decay_pairs": 1.5e8}, 1e-5),
        ({"preset": "paper"}, 1e-5),
    ],
)
def test_a_student_is_trained_with_it(given, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {} if given.keys() & {"weight_decay", "preset"} else {"weight_decay_pairs": 1e6}
    config = config_of(**{**own, **given})
    dataset = create_dataset(config)
    trainer = get_trainer(config["MODEL_TYPE"], "HetComp")(config, get_model("HetComp")(config, dataset.build()[0]))
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [pytest.approx(found)]


@pytest.mark.parametrize(
    ("epochs", "eval_step", "share", "given", "found"),
    [
        (60, 5, 0.5, {}, 30),
        (60, 5, 0.15, {}, 10),
        (16, 2, 0.15, {}, 4),
        (3, 5, 0.5, {}, 3),
        (60, 5, 0.5, {"epochs"}, 60),
    ],
)
def test_what_goes_on_is_trained_for_a_share_in_whole_validations(epochs, eval_step, share, given, found):
    config = {"epochs": epochs, "eval_step": eval_step}
    shorten(config, given, share)
    assert config["epochs"] == found


def test_the_rate_falls_along_half_a_cosine():
    config = {"learning_rate": 0.4, "learning_rate_schedule": "cosine"}
    rates = [learning_rate_at(config, epoch, 4) for epoch in range(5)]
    assert rates == pytest.approx([0.4, 0.4 * (2 + 2**0.5) / 4, 0.2, 0.4 * (2 - 2**0.5) / 4, 0.0])
    assert learning_rate_at({**config, "learning_rate_schedule": "constant"}, 3, 4) == 0.4


def test_a_weight_decay_that_is_given_wins():
    assert config_of("RRD")["scaled_weight_decay"] == 0.038
    assert config_of("RRD", weight_decay=1e-4)["scaled_weight_decay"] is None
    assert config_of("RRD", weight_decay=1e-4, scaled_weight_decay=0.1)["scaled_weight_decay"] == 0.1
    run = config_of(teachers=["BPR"], teacher_config={"BPR": {"weight_decay": 1e-4}})
    assert teacher_config(run, run_settings(run), "BPR")["scaled_weight_decay"] is None
    run = config_of(no_kd_config={"weight_decay": 1e-4})
    assert no_kd_config(run, run_settings(run))["scaled_weight_decay"] is None


@pytest.mark.parametrize(
    ("dimension", "given", "epochs", "rate"),
    [
        (32, {}, 1, 1),  # 625 items for a dimension
        (16, {}, 5 / 3, 1),
        (8, {}, 3, (5 / 3) ** 0.5),  # of 10/3
        (2, {}, 3, 3**0.5),  # never more
        (32, {"student_config": {"embedding_size": 2}}, 3, 3**0.5),
        (8, {"epochs": 10}, 1, (5 / 3) ** 0.5),
        (8, {"learning_rate": 0.06}, 3, 1),  # given, though it is the default
        (8, {"student_backbone": "MultiVAE"}, 1, 1),  # it has no dimension of that name
        (64, {"student_backbone": "NeuMF", "mf_embedding_size": 8, "mlp_embedding_size": 4}, 3, (5 / 3) ** 0.5),
        (8, {"items_per_dimension": None}, 1, 1),
        (8, {"items_per_dimension": 500.0}, 3, 2.5**0.5),
        (8, {"preset": "paper"}, 1, 1),
        (8, {"preset": "quick"}, 1, 1),
    ],
)
def test_few_dimensions_for_many_items_learn_longer_and_faster(dimension, given, epochs, rate):
    config = config_of(embedding_size=dimension, **given)
    before = config["epochs"], config["learning_rate"]
    for _ in range(2):  # once is all
        student_settings(config, 20_000)
        assert config["epochs"] == pytest.approx(epochs * before[0])
        assert config["learning_rate"] == pytest.approx(rate * before[1])


@pytest.mark.parametrize(
    ("model", "given", "epochs", "rate"),
    [
        ("HetComp", {"items_per_dimension": 105.125}, 120, 0.06),  # 1,682 items, 8 dimensions
        ("HetComp", {"items_per_dimension": 105.125, "eval_step": 50}, 150, 0.06),  # whole validations
        ("HetComp", {"items_per_dimension": 52.5625}, 180, 0.06 * 2**0.5),
        ("HetComp", {"items_per_dimension": 52.5625, "epochs": 7}, 7, 0.06 * 2**0.5),
        ("HetComp", {"items_per_dimension": 52.5625, "epochs": 0}, 0, 0.06 * 2**0.5),
        ("HetComp", {}, 60, 0.06),
        ("RRD", {"items_per_dimension": 52.5625}, 180, 0.02 * 2**0.5),
        ("HetComp", {"embedding_size": 1}, 135, 0.06 * (1682 / 1500) ** 0.5),
        ("NoKD", {"embedding_size": 1}, 135, 0.02 * (1682 / 1500) ** 0.5),
    ],
)
def test_a_trainer_has_them(model, given, epochs, rate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of(model, **given)
    dataset = create_dataset(config)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, get_model(model)(config, dataset.build()[0]))
    assert trainer.epochs == epochs
    assert learning_rate_at(config, 0, trainer.epochs) == pytest.approx(rate)
    assert (trainer.model.settings.epochs, trainer.model.settings.learning_rate) == (epochs, pytest.approx(rate))


@pytest.mark.parametrize(
    ("given", "epochs", "rate"),
    [
        ({}, 135, 0.02 * (1682 / 1500) ** 0.5),  # as NoKD
        ({"epochs": 10, "learning_rate": 0.1}, 135, 0.02 * (1682 / 1500) ** 0.5),  # the student's
        ({"items_per_dimension": None}, 60, 0.02),
        ({"no_kd_config": {"epochs": 60, "learning_rate": 0.02}}, 60, 0.02),
        ({"embedding_size": 8}, 60, 0.02),
    ],
)
def test_the_student_alone_grows_as_the_student_does(given, epochs, rate):
    config = config_of(**{"embedding_size": 1, **given})
    for _ in range(2):  # once
        alone = no_kd_config(config, student_settings(config, 1682))
        assert (alone["epochs"], alone["learning_rate"]) == (epochs, pytest.approx(rate))


def test_the_rate_of_an_epoch_has_grown(tiny_settings, working_in, tmp_path, monkeypatch):
    rates = []
    train = Trainer._train_epoch

    def watch(self: Any, *arguments: Any, **keywords: Any) -> Any:
        if self.config["model"] == "HetComp":
            rates.append(self.optimizer.param_groups[0]["lr"])
        return train(self, *arguments, **keywords)

    monkeypatch.setattr(Trainer, "_train_epoch", watch)
    more = {"teachers": ["EASE"], "epochs": 2, "items_per_dimension": 52.5625, "compare_no_kd": False}
    settings = tiny_settings(tmp_path, learning_rate_schedule="cosine", **more)
    del settings["learning_rate"]
    with working_in(tmp_path) as lines:
        run_recbole(model="HetComp", dataset="ml-100k", config_dict=settings)
    assert rates == pytest.approx([0.06 * 2**0.5, 0.03 * 2**0.5])
    assert "1682 items for 8 dimensions (items_per_dimension=52.5625): 2 epochs, learning rate 0.0849" in lines
    stored = json.loads((tmp_path / "results" / "results.json").read_text())["settings"]
    assert stored["learning_rate"] == pytest.approx(0.06 * 2**0.5)
    assert stored["items_per_dimension"] is None  # what is stored trains the same again


@pytest.mark.parametrize("place", ["teacher_config", "no_kd_config", None])
@pytest.mark.parametrize("given", [{"learning_rate_schedule": "cosin"}, {"scaled_weight_decay": -1.0}])
def test_a_rule_that_is_none_is_refused_with_the_config(given, place):
    settings = given if place is None else {place: {"BPR": given} if place == "teacher_config" else given}
    (name,) = given
    with pytest.raises(ValueError, match=f"{name}=.* is not allowed"):
        config_of(teachers=["BPR"], **settings)


def test_all_models_of_a_run_follow_the_rules(tiny_run, monkeypatch):
    """Teacher, student alone and student: the optimizer's penalty and its rate in every epoch."""
    seen: dict[str, list[tuple[float, float]]] = {}
    train = Trainer._train_epoch

    def watch(self: Any, *arguments: Any, **keywords: Any) -> Any:
        (group,) = self.optimizer.param_groups
        name = "student" if self.config["model"] == "HetComp" else f"BPR {self.config['embedding_size']}"
        seen.setdefault(name, []).append((group["lr"], group["weight_decay"]))
        return train(self, *arguments, **keywords)

    monkeypatch.setattr(Trainer, "_train_epoch", watch)
    own = {"scaled_weight_decay": 0.0125936, "learning_rate_schedule": "cosine", "epochs": 2, "eval_step": 1}
    run = tiny_run(
        teachers=["BPR"], teacher_config={"BPR": {**own, "learning_rate": 0.2}},
        no_kd_config={**own, "learning_rate": 0.1}, **{**own, "learning_rate": 0.4},
    )  # fmt: skip
    for name, rate in (("BPR 64", 0.2), ("BPR 8", 0.1), ("student", 0.4)):
        rates, penalties = zip(*seen[name])
        assert rates == pytest.approx((rate, rate / 2))
        assert penalties == pytest.approx((1e-5, 1e-5), rel=1e-3)  # 0.0125936 / sqrt(943 * 1682)
    stored = json.loads((run.results / "results.json").read_text())["settings"]
    assert stored["scaled_weight_decay"] == 0.0125936
