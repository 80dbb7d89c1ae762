"""No text that somebody hands over is executed, whichever way it comes in: a canary at every entrance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from recbole_hetcomp.cli import main, run_recbole_main
from recbole_hetcomp.values import read_literal, read_value, read_yaml


@pytest.fixture
def canary(tmp_path: Path) -> Any:
    """A text that would leave a file if it were run, and a check that it was not."""
    file = tmp_path / "sang"
    text = f"__import__('pathlib').Path({str(file)!r}).touch()"
    eval(text)
    assert file.exists(), "the canary can sing"
    file.unlink()
    yield text
    assert not file.exists(), "text was executed"


@pytest.mark.parametrize("reader", [read_literal, read_value])
def test_readers(canary, reader):
    assert reader(canary) == canary


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!python/tuple [1]"]
)
def test_yaml_names_no_class(tag):
    with pytest.raises(yaml.YAMLError):
        read_yaml(f"a: {tag}")


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "top": lambda text: {"my_note": text},
    "student_backbone": lambda text: {"student_backbone": text},
    "teachers": lambda text: {"teachers": [text]},
    "teachers as text": lambda text: {"teachers": text},
    "teacher_config": lambda text: {"teacher_config": {"BPR": {"learning_rate": text}}},
    "student_config": lambda text: {"student_config": {"embedding_size": text}},
    "no_kd_config": lambda text: {"no_kd_config": {"epochs": text}},
    "metrics": lambda text: {"metrics": [text]},
    "valid_metric": lambda text: {"valid_metric": text},
    "topk": lambda text: {"topk": text},
    "preset": lambda text: {"preset": text},
    "K": lambda text: {"K": text},
    "learning_rate": lambda text: {"learning_rate": text},
    "train_neg_sample_args": lambda text: {"train_neg_sample_args": text},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["HetComp", "BPR", "CML"])
def test_a_config_of_python(canary, way, model):
    from recbole.config import Config

    import recbole_hetcomp  # noqa: F401

    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, NotImplementedError):  # it may be refused
        Config(model=model, dataset="ml-100k", config_dict=WAYS[way](canary))


@pytest.mark.parametrize("way", WAYS)
def test_a_config_file(canary, way, tmp_path, capsys):
    file = tmp_path / "given.yaml"
    file.write_text(yaml.safe_dump({**WAYS[way](canary), "epochs": 1, "teachers": ["NoSuchTeacher"]}), encoding="utf-8")
    assert run_recbole_main(["--model=HetComp", "--dataset=ml-100k", f"--config_files={file}"]) == 2


def test_model_and_data_set_of_a_config_file(canary, tmp_path):
    file = tmp_path / "given.yaml"
    for name in ("model", "dataset"):
        file.write_text(yaml.safe_dump({name: canary}), encoding="utf-8")
        assert main(["run", f"--config_files={file}"]) == 2


@pytest.mark.parametrize("command", [["run"], ["teachers"], ["tune", "--num_samples", "1", "--output", "out"]])
def test_the_command_line(canary, command):
    assert main([*command, f"--K={canary}"]) == 2
    assert main([*command, f"--teachers=[{canary}]"]) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.hyper", "K choice [{}]"),
        ("b.hyper", "K uniform {},2"),
        ("c.yaml", 'K: {{choice: ["{}"]}}'),
        ("d.yaml", '"{}": {{choice: [1]}}'),
    ],
)
def test_a_search_space(canary, name, text, tmp_path):
    file = tmp_path / name
    file.write_text(text.format(canary.replace('"', "'")), encoding="utf-8")
    assert main(["tune", "--num_samples", "1", "--output", "out", "--space", str(file), "--teachers=[Nobody]"]) == 2


def test_a_benchmarks_config(canary, tmp_path):
    file = tmp_path / "plan.yaml"
    plan = {
        "dataset": "ml-100k",
        "seeds": [1],
        "teachers": {"models": ["EASE"], "settings": {"EASE": {"reg_weight": canary}}},
        "students": {
            "backbones": {"BPR": {"dimensions": [8]}},
            "methods": {"RRD": {"settings": {"kd_weight": canary}}},
        },
    }
    file.write_text(yaml.safe_dump(plan), encoding="utf-8")
    for change in ([], ["--set", f"seeds={canary}"], ["--set", f"students.settings.K={canary}"]):
        assert main(["benchmark", "--config", str(file), "--output", "out", "--dry_run", *change]) == 2


def test_a_checkpoint(canary, finished_run, tmp_path):
    from recbole_hetcomp import load_data_and_model

    content = torch.load(finished_run.checkpoint, weights_only=True)
    content["config"].update(my_note=canary, benchmark_note=canary)
    changed = tmp_path / "changed.pth"
    torch.save(content, changed)
    config, *_ = load_data_and_model(str(changed))
    assert config["my_note"] == canary
