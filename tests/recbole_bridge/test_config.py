"""Settings: one field and one line each, presets, messages for bad values, and configs of a run's other models."""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import Any

import attrs
import pytest
import yaml
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model

from recbole_hetcomp.core.rankings import BLOCK_ELEMENTS
from recbole_hetcomp.declared import allowed, closest
from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.recbole_bridge.config import (
    backbone_config,
    dimension_of,
    memory_for_scores,
    no_kd_config,
    run_settings,
    teacher_config,
)
from recbole_hetcomp.recbole_bridge.identity import run_key, training_identity
from recbole_hetcomp.recbole_bridge.property_files import read_properties
from recbole_hetcomp.recbole_bridge.scoring import SCORES_AT_ONCE
from recbole_hetcomp.settings import HetCompSettings, Training


def config_of(model: str = "HetComp", **given: Any) -> Config:
    return Config(model=model, dataset="ml-100k", config_dict=given)


def settings_of(**given: Any) -> HetCompSettings:
    return run_settings(config_of(**given))


# --- one field, one line ---


def test_every_setting_is_one_line_of_the_property_file_and_every_line_a_setting():
    text = (properties_dir() / "model" / "HetComp.yaml").read_text(encoding="utf-8")
    lines = Counter(re.findall(r"^(\w+):", text, flags=re.MULTILINE))
    assert set(lines) == set(HetCompSettings.names())
    assert set(lines.values()) == {1}
    undocumented = [line for line in text.splitlines() if re.match(r"\w+:", line) and "# (" not in line]
    assert undocumented == []


def test_every_setting_has_a_meaning_that_is_a_sentence():
    meanings = {name: declared.meaning for name, declared in HetCompSettings.declarations().items()}
    assert [name for name, meaning in meanings.items() if len(meaning) < 10 or meaning[-1] != "."] == []


def test_defaults_are_those_of_the_property_file():
    settings, lines = settings_of(), read_properties("model", "HetComp")
    for name in HetCompSettings.names():
        value = getattr(settings, name)
        assert (list(value) if isinstance(value, tuple) else value) == lines[name], name


@pytest.mark.parametrize("file", sorted((properties_dir() / "preset").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_preset_names_only_known_settings(file):
    known = set(HetCompSettings.names()) | set(config_of().internal_config_dict)
    assert set(yaml.safe_load(file.read_text(encoding="utf-8"))) - {"extends"} <= known
    assert file.stem in allowed(Training, "preset")


def test_settings_survive_plain_data():
    settings = settings_of(teachers=["BPR", "EASE"], teacher_config={"BPR": {"epochs": 3}}, teacher_weights=[1, 2])
    plain = settings.plain()
    assert set(plain) == set(HetCompSettings.names())
    assert settings_of(**plain) == settings


def test_settings_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings_of().K = 3  # type: ignore[misc]


# --- presets ---


def test_the_presets_differ_where_paper_and_code_do():
    paper, authors = settings_of(preset="paper"), settings_of(preset="authors")
    assert (paper.discrepancy_gain, paper.adkt) == ("teacher", "user")
    assert (authors.discrepancy_gain, authors.adkt) == ("position", "global")
    assert paper.p == authors.p == 10
    config = config_of(preset="paper")
    assert config["learning_rate"] == 0.001
    assert config["embedding_size"] == 6
    assert config["weight_decay"] == 1e-5


def test_what_the_user_gives_wins_over_a_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: authors\nadkt: user\n")
    config = Config(
        model="HetComp", dataset="ml-100k", config_file_list=[str(file)], config_dict={"learning_rate": 0.25}
    )
    settings = run_settings(config)
    assert (settings.adkt, settings.discrepancy_gain, config["learning_rate"]) == ("user", "position", 0.25)


def test_a_preset_reaches_the_ensemble_too():
    assert run_settings(config_of("TeacherEnsemble", preset="authors")).p == 10


# --- bad values ---

BAD_SETTINGS = [
    ({"teachers": ["BPR", "LightGNC"]}, ("LightGNC", "LightGCN")),
    ({"teachers": ["HetComp"]}, ("'HetComp'", "Allowed", "BPR")),
    ({"teachers": ["S3Rec"]}, ("'S3Rec'", "pretraining")),
    ({"teachers": []}, ("teachers is empty",)),
    ({"teachers": ["BPR", "BPR"]}, ("twice", "BPR")),
    ({"teachers": ["BPR", 3]}, ("teachers", "3")),
    ({"student_backbone": "Lightgcm"}, ("student_backbone", "Lightgcm", "LightGCN")),
    ({"student_backbone": "NoSuchModel"}, ("student_backbone", "NoSuchModel", "Allowed")),
    ({"student_backbone": "EASE"}, ("student_backbone", "EASE", "one step")),
    ({"student_backbone": "TeacherEnsemble"}, ("student_backbone", "TeacherEnsemble")),
    ({"discrepency_gain": "teacher"}, ("discrepency_gain", "discrepancy_gain")),
    ({"snapshot": 3}, ("'snapshot'", "'snapshots'")),
    ({"hetcomp_speed": 3}, ("hetcomp_speed", "Allowed")),
    ({"snapshots": 0}, ("snapshots=0", "at least 1")),
    ({"snapshots": 2.5}, ("snapshots=2.5", "whole number")),
    ({"snapshots": True}, ("snapshots=True", "whole number")),
    ({"snapshots": None}, ("snapshots", "int")),
    ({"preset": "papers"}, ("papers", "paper, authors, quick")),
    ({"snapshot_spacing": "odd"}, ("snapshot_spacing='odd'", "even", "quality")),
    ({"discrepancy_gain": "item"}, ("discrepancy_gain='item'", "teacher", "position")),
    ({"adkt": "users"}, ("adkt='users'", "user", "global")),
    ({"user_sampling": "items"}, ("user_sampling='items'", "user", "interaction")),
    ({"K": 0}, ("K=0", "at least 1")),
    ({"K": "many"}, ("K='many'", "int")),
    ({"K_D": 200}, ("K_D=200", "K_prime=100")),
    ({"p": 0}, ("p=0", "at least 1")),
    ({"T_r": 0}, ("T_r=0", "greater than 0")),
    ({"T_s": -1.0}, ("T_s=-1.0", "greater than 0")),
    ({"alpha": float("nan")}, ("alpha=nan", "finite")),
    ({"alpha_decay": 1.5}, ("alpha_decay", "1.5", "at most 1")),
    ({"coarse_weight": -1}, ("coarse_weight=-1", "at least 0")),
    ({"base_loss_weight": "heavy"}, ("base_loss_weight='heavy'", "float")),
    ({"popularity_discount": -0.1}, ("popularity_discount=-0.1", "at least 0")),
    ({"user_batch_size": 0}, ("user_batch_size=0", "at least 1")),
    ({"rest_sample_num": -1}, ("rest_sample_num=-1", "at least 0")),
    ({"memory_budget_mb": 15}, ("memory_budget_mb=15", "at least 16")),
    ({"memory_budget_mb": 99.5}, ("memory_budget_mb=99.5", "whole number")),
    ({"use_consistency": 1}, ("use_consistency=1", "True or False")),
    ({"use_consistency": "maybe"}, ("use_consistency", "maybe", "True or False")),
    ({"compare_no_kd": "yes please"}, ("compare_no_kd", "True or False")),
    ({"store_dir": [3]}, ("store_dir=[3]", "text")),
    ({"teacher_weights": [1.0]}, ("teacher_weights", "1 values for 5 teachers")),
    ({"teacher_weights": [1, 1, 1, 1, "x"]}, ("teacher_weights", "float")),
    ({"teachers": ["BPR"], "teacher_weights": [-1.0]}, ("weights", "-1.0")),
    ({"teacher_config": {"EAZE": {}}}, ("teacher_config", "'EAZE'", "IALS")),
    ({"teacher_config": {"lightgcn": {}}}, ("teacher_config", "'lightgcn'", "'LightGCN'")),
    ({"teacher_config": {"BPR": 3}}, ("teacher_config", "mapping")),
    ({"teacher_config": ["BPR"]}, ("teacher_config", "mapping")),
    ({"no_kd_config": "fast"}, ("no_kd_config", "fast", "mapping")),
]


@pytest.mark.parametrize(("given", "words"), BAD_SETTINGS, ids=lambda value: str(value)[:50])
def test_a_bad_setting_is_refused_when_the_config_is_built(given, words):
    with pytest.raises((ValueError, TypeError)) as refusal:
        config_of(**given)
    for word in words:
        assert word in str(refusal.value), str(refusal.value)


def test_a_bad_setting_is_refused_for_the_ensemble_too():
    with pytest.raises(ValueError, match="snapshots=0"):
        config_of("TeacherEnsemble", snapshots=0)


def test_a_key_that_nobody_reads_is_warned_about(log):
    config_of(my_own_note="hello")
    assert any("my_own_note" in line and "read by nobody" in line for line in log)


def test_a_teacher_setting_that_the_teacher_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"teacher_config for LightGCN names 'n_layer'.*did you mean 'n_layers'"):
        config_of(teacher_config={"LightGCN": {"n_layer": 3}})
    config = config_of(teacher_config={"LightGCN": {"embedding_size": 16}})
    assert teacher_config(config, run_settings(config), "LightGCN")["embedding_size"] == 16


def test_a_key_of_the_run_that_alone_is_unknown_is_refused_in_no_kd_config():
    with pytest.raises(ValueError, match=r"no_kd_config names 'learning_rat'.*did you mean 'learning_rate'"):
        config_of(no_kd_config={"learning_rat": 0.1})


@pytest.fixture(scope="module")
def train_set() -> Any:
    config = Config(model="HetComp", dataset="ml-100k", config_dict={"data_path": "unused"})
    return data_preparation(config, create_dataset(config))[0]._dataset


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"K": 1683}, ("K=1683", "1682")),
        ({"K_D": 1683, "K_prime": 2000}, ("K_D=1683", "1682")),
        ({"rest_sample_num": 1682}, ("rest_sample_num=1682", "1682")),
    ],
    ids=str,
)
def test_lists_longer_than_the_catalogue_are_refused_when_the_model_is_built(train_set, given, words):
    config = config_of(**given)
    with pytest.raises(ValueError, match=words[0]) as refusal:
        get_model("HetComp")(config, train_set)
    assert words[1] in str(refusal.value)


@pytest.mark.parametrize("K", [1, 9, 1682])
def test_the_whole_catalogue_is_allowed(train_set, K):
    assert get_model("HetComp")(config_of(K=K), train_set).settings.K_observed == max(1, K // 10)


def test_closest_ignores_case_and_gives_up_on_nothing_alike():
    assert closest("k_d", ["K_D", "K"]) == "K_D"
    assert closest("zebra", ["K_D", "K"]) is None


# --- the command line ---


@pytest.mark.parametrize(
    ("argument", "name", "expected"),
    [
        ("--teachers=[BPR,EASE]", "teachers", ("BPR", "EASE")),
        ("--teachers=['BPR','EASE']", "teachers", ("BPR", "EASE")),
        ("--teachers=BPR", "teachers", ("BPR",)),
        ("--teacher_config={LightGCN: {n_layers: 2}}", "teacher_config", {"LightGCN": {"n_layers": 2}}),
        ("--teacher_config={'BPR': {'epochs': 3}}", "teacher_config", {"BPR": {"epochs": 3}}),
        ("--teacher_weights=[1,1,2,1,0.5]", "teacher_weights", (1.0, 1.0, 2.0, 1.0, 0.5)),
        ("--teacher_weights=None", "teacher_weights", None),
        ("--preset=None", "preset", None),
        ("--use_consistency=False", "use_consistency", False),
        ("--use_consistency=false", "use_consistency", False),
        ("--K=50", "K", 50),
        ("--T_r=5", "T_r", 5.0),
        ("--alpha=1e0", "alpha", 1.0),
        ("--student_backbone=LightGCN", "student_backbone", "LightGCN"),
        ("--result_dir=out", "result_dir", "out"),
        ("--store_dir=out", "store_dir", "out"),
    ],
)
def test_settings_from_the_command_line(monkeypatch, argument, name, expected):
    monkeypatch.setattr(sys, "argv", ["run", argument])
    assert getattr(settings_of(), name) == expected


def test_the_command_line_does_not_reach_teachers(monkeypatch):
    quiet = config_of()
    expected = teacher_config(quiet, run_settings(quiet), "LightGCN")
    monkeypatch.setattr(sys, "argv", ["run", "--learning_rate=0.5", "--epochs=7", "--embedding_size=3"])
    config = config_of()
    assert (config["learning_rate"], config["epochs"], config["embedding_size"]) == (0.5, 7, 3)
    made = teacher_config(config, run_settings(config), "LightGCN")
    for key in ("learning_rate", "epochs", "embedding_size", "stopping_step"):
        assert made[key] == expected[key] == read_properties("model", "LightGCN")[key]
    assert training_identity(made) == training_identity(expected)
    assert sys.argv[1] == "--learning_rate=0.5"


def test_nor_does_the_runs_dictionary_but_data_and_seed_do():
    config = config_of(
        learning_rate=0.5,
        train_batch_size=7,
        weight_decay=0.3,
        seed=11,
        eval_args={"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "user", "order": "RO", "mode": "full"},
        topk=[5],
        metrics=["Hit"],
        valid_metric="Hit@5",
    )
    made = teacher_config(config, run_settings(config), "BPR")
    mine = read_properties("model", "BPR")
    assert [made[key] for key in ("learning_rate", "train_batch_size", "scaled_weight_decay")] == [
        mine[key] for key in ("learning_rate", "train_batch_size", "scaled_weight_decay")
    ]
    for key in ("seed", "eval_args", "topk", "metrics", "valid_metric", "data_path", "device"):
        assert made[key] == config[key], key


def test_teacher_config_wins_over_the_property_file():
    config = config_of(teacher_config={"BPR": {"learning_rate": 0.25, "epochs": 3}})
    made = teacher_config(config, run_settings(config), "BPR")
    assert (made["learning_rate"], made["epochs"]) == (0.25, 3)
    assert made["embedding_size"] == read_properties("model", "BPR")["embedding_size"]


def test_a_plugin_teacher_and_a_one_step_teacher_get_their_own_defaults():
    config = config_of(teachers=["ItemVAE", "EASE"])
    settings = run_settings(config)
    item_vae, ease = (teacher_config(config, settings, name) for name in settings.teachers)
    assert item_vae["latent_dimension"] == read_properties("model", "ItemVAE")["latent_dimension"]
    assert ease["reg_weight"] == 250.0  # RecBole's


# --- the backbone ---


def test_neumf_as_a_student_takes_the_embedding_size():
    config = config_of(student_backbone="NeuMF", embedding_size=6)
    view = backbone_config(config, run_settings(config))
    assert (view["mf_embedding_size"], view["mlp_embedding_size"], view["model"]) == (6, 6, "NeuMF")
    assert config["model"] == "HetComp"
    alone = no_kd_config(config, run_settings(config))
    assert (alone["mf_embedding_size"], alone["mlp_embedding_size"]) == (6, 6)


@pytest.mark.parametrize(
    ("given", "mf", "mlp"),
    [
        ({"mlp_embedding_size": 3}, 6, 3),
        ({"student_config": {"mf_embedding_size": 3}}, 3, 6),
        ({"student_config": {"embedding_size": 3}}, 3, 3),
    ],
)
def test_a_size_that_the_user_gives_is_kept(given, mf, mlp):
    config = config_of(student_backbone="NeuMF", embedding_size=6, **given)
    settings = run_settings(config)
    for made in (backbone_config(config, settings), no_kd_config(config, settings)):
        assert (made["mf_embedding_size"], made["mlp_embedding_size"]) == (mf, mlp)
    assert dimension_of(config, settings) == max(mf, mlp)


def test_an_embedding_size_in_no_kd_config_is_that_of_the_student_alone():
    config = config_of(student_backbone="NeuMF", embedding_size=6, no_kd_config={"embedding_size": 3})
    settings = run_settings(config)
    student, alone = backbone_config(config, settings), no_kd_config(config, settings)
    assert (student["mf_embedding_size"], student["mlp_embedding_size"]) == (6, 6)
    assert (alone["mf_embedding_size"], alone["mlp_embedding_size"]) == (3, 3)


@pytest.mark.parametrize(
    ("backbone", "given", "dimension"),
    [
        ("BPR", {}, 7),
        ("MultiVAE", {}, 0),
        ("DiffRec", {}, 0),  # its embedding_size is of time
        ("LDiffRec", {}, 0),
        ("GCMC", {}, 500),
        ("GCMC", {"gcn_output_dim": 12}, 12),
        ("DMF", {"item_hidden_size_list": [64, 9]}, 9),
    ],
)
def test_the_dimension_is_that_of_users_and_items(backbone, given, dimension):
    config = config_of(student_backbone=backbone, embedding_size=7, **given)
    assert dimension_of(config, run_settings(config)) == dimension


def test_student_config_wins_and_reaches_the_student_alone_too():
    config = config_of(student_backbone="LightGCN", student_config={"n_layers": 1})
    settings = run_settings(config)
    assert backbone_config(config, settings)["n_layers"] == no_kd_config(config, settings)["n_layers"] == 1
    assert backbone_config(config, settings)["embedding_size"] == 8
    assert no_kd_config(config, settings)["embedding_size"] == 8


def test_backbone_settings_given_at_the_top_reach_the_student_and_the_student_alone():
    config = config_of(student_backbone="LightGCN", n_layers=1)
    settings = run_settings(config)
    assert backbone_config(config, settings)["n_layers"] == no_kd_config(config, settings)["n_layers"] == 1


# --- memory ---


def test_the_default_memory_is_the_blocks_defaults():
    settings = settings_of()
    assert (settings.score_elements, settings.block_elements) == (SCORES_AT_ONCE, BLOCK_ELEMENTS)
    assert memory_for_scores(config_of("BPR")) == SCORES_AT_ONCE  # a model without the setting


@pytest.mark.parametrize("memory", [16, 100])
def test_a_runs_memory_reaches_its_other_models_and_its_loaders(memory):
    config = config_of(memory_budget_mb=memory)
    settings = run_settings(config)
    expected = memory * 2**20 // 16
    assert settings.score_elements == memory_for_scores(config) == expected
    assert settings.block_elements == expected // 8
    for made in (teacher_config(config, settings, "NeuMF"), no_kd_config(config, settings)):
        assert memory_for_scores(made) == expected
    _, valid, _ = data_preparation(config, create_dataset(config))
    assert valid.step == expected // 1683


# --- identities ---


def identity_of(**given: Any) -> dict[str, Any]:
    config = config_of(**given)
    return training_identity(teacher_config(config, run_settings(config), "BPR"))


@pytest.mark.parametrize(
    "given",
    [
        {"result_dir": "x"},
        {"show_progress": False},
        {"memory_budget_mb": 16},
        {"topk": [5, 50]},
        {"epochs": 3},
        {"metrics": ["Recall", "Hit"]},
    ],
    ids=str,
)
def test_what_does_not_concern_a_teacher_does_not_change_its_identity(given):
    assert identity_of(**given) == identity_of()


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"seed": 3}, {"seed": 3}),
        ({"teacher_config": {"BPR": {"epochs": 3}}}, {"epochs": 3}),
        ({"valid_metric": "ndcg@10"}, {"valid_metric": "ndcg@10"}),
    ],
    ids=str,
)
def test_what_does_changes_it(given, changed):
    assert {key: value for key, value in identity_of(**given).items() if identity_of()[key] != value} == changed


def key_on(device: str) -> str:
    config = config_of()
    config["device"] = device
    return run_key(config, "data", [])


def test_a_runs_key_follows_what_it_computes():
    key = run_key(config_of(), "data", [])
    assert key == run_key(config_of(show_progress=False, result_dir="x", store_dir="y"), "data", [])
    assert key == run_key(config_of(memory_budget_mb=16), "data", [])
    negatives = config_of(train_neg_sample_args={"distribution": "popularity", "sample_num": 1, "alpha": 1.0})
    others = [
        run_key(config_of(seed=3), "data", []),
        run_key(config_of(), "other", []),
        run_key(config_of(), "data", [{"a": 1}]),
        run_key(negatives, "data", []),
        key_on("cuda:0"),
    ]
    assert key_on("cuda:0") == key_on("cuda:1")
    assert len({key, *others}) == 6
