"""Every row of a run's table is what the model has when RecBole evaluates it alone; or the evaluation is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from recbole.config import Config
from recbole.data import create_dataset
from recbole.quick_start import run_recbole

from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.recbole_bridge.registry import teacher_defaults

EVALUATED = {"metrics": ["Recall", "NDCG"], "topk": [5, 20], "valid_metric": "NDCG@20", "metric_decimal_place": 6}
SHORT = {"epochs": 2, "eval_step": 1, "train_batch_size": 8192, "weight_decay": 1e-5}
SPLITS: dict[str, dict[str, Any]] = {
    "by-user": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "user", "order": "RO"},
    "of-all": {"split": {"RS": [0.5, 0.25, 0.25]}, "group_by": "none", "order": "RO"},
    "users-last": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO"},
    "later-in-time": {"split": {"RS": [0.8, 0.1, 0.1]}, "group_by": "none", "order": "TO"},
}


@pytest.mark.parametrize("split", SPLITS)
def test_a_row_is_what_the_model_has_alone(split, tiny_run, tmp_path):
    common = {**EVALUATED, "eval_args": SPLITS[split]}
    run = tiny_run(
        teachers=["BPR"], teacher_config={"BPR": SHORT}, no_kd_config={**SHORT, "learning_rate": 0.005},
        epochs=2, eval_step=1, p=1, **common,
    )  # fmt: skip
    rows = run.rows
    places = {"checkpoint_dir": str(tmp_path), "show_progress": False}
    with command_line_hidden():
        teacher = run_recbole("BPR", "ml-100k", config_dict={**teacher_defaults("BPR"), **SHORT, **common, **places})
        size = {"embedding_size": 8, "learning_rate": 0.005}
        alone = run_recbole("BPR", "ml-100k", config_dict={**SHORT, **size, **common, **places})
    for name, found in (("BPR", teacher), ("NoKD", alone), ("HetComp", run.returned)):
        for metric, value in found["test_result"].items():
            assert rows[name][metric] == pytest.approx(value, abs=2e-6), (name, metric)
    assert rows["TeacherEnsemble"]["ndcg@20"] == pytest.approx(rows["BPR"]["ndcg@20"])  # an ensemble of one


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"eval_args": {"mode": "uni100"}}, "eval_args.mode='uni100' for valid is not allowed: full"),
        ({"eval_args": {"mode": {"valid": "full", "test": "pop50"}}}, "eval_args.mode='pop50' for test"),
        ({"eval_args": {"mode": "labeled"}}, "eval_args.mode='labeled'"),
        ({"topk": [10, 60], "valid_metric": "Recall@10"}, "topk=.*K_prime=100 items.*K_prime=120"),
        ({"metrics": ["Recall", "GAUC"]}, "metrics=.*more than top lists"),
        ({"repeatable": True}, "repeatable=True"),
        ({"eval_args": {"split": {"RS": [0.8, 0.2, 0]}}}, r"eval_args.split.RS=\[0.8, 0.2, 0\] is not allowed"),
        ({"eval_args": {"split": {"RS": [0.8, 0.2]}}}, "eval_args.split.RS="),
        ({"eval_args": {"split": {"LS": "valid_only"}}}, "eval_args.split.LS='valid_only'"),
    ],
)
@pytest.mark.parametrize("model", ["HetComp", "RRD", "NoKD", "TeacherEnsemble"])
def test_what_cannot_be_computed_alike_is_refused_with_the_config(model, settings, named):
    with command_line_hidden(), pytest.raises(ValueError, match=named):
        Config(model, "ml-100k", config_dict=settings)


def write_data(folder, lines: list[str]) -> dict[str, Any]:
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "own.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"data_path": str(folder), "show_progress": False, "checkpoint_dir": str(folder)}


@pytest.mark.parametrize("word", ["", "NA", "nan", "null", "None", "N/A"])
@pytest.mark.parametrize("column", [0, 1])
def test_an_id_that_recbole_reads_as_none_is_refused_with_its_line(word, column, tmp_path):
    row = ["u1", "i1"]
    row[column] = word
    settings = write_data(tmp_path, ["user_id:token\titem_id:token", "u0\ti0", "u2\ti2", "\t".join(row), "u3\ti3"])
    with command_line_hidden(), pytest.raises(ValueError, match=r"own\.inter, line 4: (user|item)_id is empty"):
        create_dataset(Config("BPR", "own", config_dict={**settings, "load_col": {"inter": ["user_id", "item_id"]}}))


def test_the_newest_item_is_tested_although_seconds_get_lost_in_float32(tmp_path):
    draw = np.random.default_rng(0)
    lines, newest = ["user_id:token\titem_id:token\ttimestamp:float"], {}
    for user in range(40):
        seconds = draw.permutation(12)  # seconds of one minute, in any order
        newest[f"u{user}"] = f"i{(seconds.argmax() + user) % 30}"
        lines += [f"u{user}\ti{(n + user) % 30}\t{1_400_000_000 + s}" for n, s in enumerate(seconds)]
    settings = write_data(tmp_path, lines)
    arguments = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}
    with command_line_hidden():
        loaded = {"inter": ["user_id", "item_id", "timestamp"]}
        config = Config("BPR", "own", config_dict={**settings, "eval_args": arguments, "load_col": loaded})
        dataset = create_dataset(config)
    *_, test = dataset.build()
    found = pd.DataFrame({field: dataset.id2token(field, test.inter_feat[field]) for field in ("user_id", "item_id")})
    assert dict(zip(found["user_id"], found["item_id"])) == newest
