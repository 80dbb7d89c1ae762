"""A setting that makes no sense is refused when a Config is built, whichever place it stands in."""

from __future__ import annotations

import math
from typing import Any

import pytest
from recbole.config import Config

from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.recbole_bridge.quick_start import build_config, check_run

SENSELESS = {
    "epochs": [-5, 1.5, "many", True, None, math.inf, [1, 2]],
    "train_batch_size": [0, -1, 2.5, "big", 2**40],
    "eval_batch_size": [0, -4096],
    "learning_rate": [0, -0.1, math.nan, math.inf, "fast", 1e30],
    "weight_decay": [-1e-3, math.nan, 1e30],
    "eval_step": [1.5, -1, "often"],
    "stopping_step": ["text", -3, 2.5],
    "embedding_size": [0, -8, 2.5, "small"],
    "learner": ["foo", 3],
    "seed": [-1, "x", 2**32],
    "worker": [-1, 0.5],
    "topk": [0, -10, [10, 0], "ten", []],
    "metrics": [["Foo"], [], "Recal", ["Recall", "RMSE"]],
    "valid_metric": ["Recall@7", "Foo@10", 10],
    "shuffle": ["maybe", 3],
    "train_neg_sample_args": [{"sample_num": 0}, {"distribution": "normal"}, {"sampel_num": 1}, "uniform"],
    "eval_args": [
        {"mode": "uni0"},
        {"mode": "ful"},
        {"mode": {"train": "full"}},
        {"split": {"RS": [0, 1, 1]}},
        {"split": {"RS": "half"}},
        {"split": {"XX": [1]}},
        {"split": {"LS": "all"}},
        {"order": "random"},
        {"group_by": "item"},
        {"modus": "full"},
        "full",
    ],
}
OF_MODELS = [
    ("LightGCN", {"n_layers": "three"}),
    ("LightGCN", {"n_layers": 2.5}),
    ("LightGCN", {"reg_weight": -1}),
    ("MultiVAE", {"dropout_prob": 1.5}),
    ("MultiVAE", {"latent_dimension": 0}),
    ("NeuMF", {"mf_train": "perhaps"}),
    ("NeuMF", {"mlp_hidden_size": [0, 8]}),
    ("NeuMF", {"mlp_hidden_size": ["a"]}),
]


def made(model: str, **settings: Any) -> Config:
    with command_line_hidden():
        return Config(model, "ml-100k", config_dict=settings)


@pytest.mark.parametrize("model", ["HetComp", "BPR"])
@pytest.mark.parametrize("name", SENSELESS)
def test_it_is_named_with_its_value(name, model):
    for value in SENSELESS[name]:
        with pytest.raises((ValueError, TypeError)) as refused:
            made(model, **{name: value})
        assert name in str(refused.value), value


@pytest.mark.parametrize(("model", "settings"), OF_MODELS)
def test_so_is_one_of_a_model_in_every_place(model, settings):
    (name,) = settings
    calls = {
        "alone": lambda: made(model, **settings),
        "as a teacher": lambda: made("HetComp", teachers=[model], teacher_config={model: settings}),
        "as a student": lambda: made("HetComp", student_backbone=model, student_config=settings),
        "alone as a student": lambda: made("HetComp", student_backbone=model, no_kd_config=settings),
    }
    for place, call in calls.items():
        with pytest.raises((ValueError, TypeError)) as refused:
            call()
        assert name in str(refused.value), place


@pytest.mark.parametrize("name", ["learning_rat", "embeding_size", "epoch", "metric", "eval_arg", "traim_batch_size"])
@pytest.mark.parametrize("model", ["HetComp", "BPR", "TeacherEnsemble"])
def test_a_misspelt_name_is_an_error_in_every_command(name, model):
    with pytest.raises(ValueError, match=f"unknown setting '{name}'; did you mean"):
        check_run(model, "ml-100k", [], {name: 1})


@pytest.mark.parametrize("place", ["teacher_config", "student_config", "no_kd_config"])
def test_a_misspelt_name_is_an_error_inside_of_a_setting(place):
    given: dict[str, Any] = {"embeding_size": 4}
    with pytest.raises(ValueError, match=f"{place}.*'embeding_size'.*did you mean 'embedding_size'"):
        made("HetComp", **{place: {"CML": given} if place == "teacher_config" else given})


@pytest.mark.parametrize("model", ["HetComp", "NoKD", "BPR", "EASE", "TeacherEnsemble"])
def test_the_metric_that_decides_is_one_that_is_computed(model):
    with pytest.raises(ValueError, match=r"valid_metric='.*' is not computed.*Recall@20"):
        made(model, topk=[20, 30], metrics=["Recall"])
    assert made(model, topk=[20], metrics="Recall", valid_metric="recall@20")["topk"] == [20]


@pytest.mark.parametrize("name", ["preset", "score_scale", "teacher_weights", "result_dir", "rest_sample_num"])
@pytest.mark.parametrize("value", [None, "None", "null", "~"])
def test_none_is_none_where_a_setting_may_be_none(name, value):
    from recbole_hetcomp.recbole_bridge.config import run_settings

    assert getattr(run_settings(made("HetComp", **{name: value})), name) is None


@pytest.mark.parametrize("text", ["2024", "2024/11/25", "1e3", "a=b", "mit Leerzeichen und Ümlaut", "True"])
def test_a_folder_s_name_stays_a_text(text, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(f"result_dir: '{text}'\nstore_dir: '{text}'\n", encoding="utf-8")
    for config in (
        made("HetComp", result_dir=text, store_dir=text),
        build_config("HetComp", "ml-100k", [str(file)]),
        build_config("HetComp", "ml-100k", [], {"result_dir": text, "store_dir": text}),
    ):
        assert (config["result_dir"], config["store_dir"]) == (text, text)


def test_lists_and_numbers_mean_the_same_in_every_place(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("metrics: [Recall, NDCG]\nno_kd_config: {learning_rate: 1e-4}\n", encoding="utf-8")
    as_text = {"metrics": "[Recall,NDCG]", "no_kd_config": "{learning_rate: 1e-4}"}
    for config in (build_config("HetComp", "ml-100k", [str(file)]), made("HetComp", **as_text)):
        assert config["metrics"] == ["Recall", "NDCG"]
        assert config["no_kd_config"] == {"learning_rate": 0.0001}


def test_a_shared_config_may_name_teachers_of_other_runs(caplog):
    made("HetComp", teachers=["EASE"], teacher_config={"BPR": {"epochs": 2}})
    assert "teacher_config names BPR, which is no teacher of this run" in caplog.text
    with pytest.raises(ValueError, match="teacher_config names 'BPRR'; did you mean"):
        made("HetComp", teachers=["BPR"], teacher_config={"BPRR": {"epochs": 2}})


def test_what_cannot_teach_says_what_it_is():
    with pytest.raises(ValueError, match="'KSR': it wants files of pretrained vectors"):
        made("HetComp", teachers=["KSR"])
    with pytest.raises(ValueError, match="unknown teacher 'SASrec'; did you mean 'SASRec'"):
        made("HetComp", teachers=["SASrec"])
    with pytest.raises(ValueError, match="'FM': it is a context model"):
        made("HetComp", student_backbone="FM")


@pytest.mark.parametrize("value", [None, {"distribution": "none"}])
def test_a_model_that_needs_negative_items_gets_some(value):
    with pytest.raises(ValueError, match=r"train_neg_sample_args=.* is not allowed for BPR"):
        made("BPR", train_neg_sample_args=value)
    assert made("MultiVAE", train_neg_sample_args=None)["model"] == "MultiVAE"


def test_several_processes_are_refused_by_the_commands():
    with pytest.raises(ValueError, match="nproc=2 is not allowed"):
        check_run("BPR", "ml-100k", [], {"nproc": 2})
