"""The steps as stages of DVC."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recbole_hetcomp.cli import main
from recbole_hetcomp.pipeline.dvc import _KEYS
from recbole_hetcomp.pipeline.file import PipelineFile

TEXT = """
output: out
dataset: movies
prepare: {format: table, input: ratings.csv}
settings: {seed: 1}
student: {epochs: 3}
skip: [export, profile]
"""


@pytest.fixture
def stages():
    Path("my pipeline.yaml").write_text(TEXT, encoding="utf-8")
    assert main(["pipeline", "dvc", "my pipeline.yaml"]) == 0
    return yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_a_stage_a_step(stages):
    assert list(stages) == ["prepare", "teachers", "distil", "evaluate", "report"]
    assert stages["prepare"] == {
        "cmd": "hetcomp pipeline run 'my pipeline.yaml' --only prepare",
        "params": [{"my pipeline.yaml": ["output", "dataset", "prepare"]}],
        "deps": ["ratings.csv"],
        "outs": [{"out/data/movies": {"persist": True}}],
    }
    assert stages["distil"]["params"] == [{"my pipeline.yaml": ["output", "dataset", "student", "settings"]}]
    assert stages["distil"]["deps"] == ["out/data/movies", "out/teachers"]


def test_what_one_stage_reads_another_has_written_or_lies_outside(stages):
    written: set[str] = {"ratings.csv"}
    for stage in stages.values():
        assert set(stage["deps"]) <= written
        outs = {path for out in stage["outs"] for path in out}
        for path in outs:  # DVC refuses outputs within each other
            assert not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in written)
        written |= outs


def test_every_key_belongs_to_a_step():
    named = {key for keys in _KEYS.values() for key in keys}
    assert named | {"output", "dataset", "skip"} == set(PipelineFile.names())


def test_a_dvc_file_of_another_hand_is_left_alone(capsys):
    Path("pipeline.yaml").write_text("skip: [export, profile]", encoding="utf-8")
    Path("dvc.yaml").write_text("stages: {}", encoding="utf-8")
    assert main(["pipeline", "dvc"]) == 2
    assert "dvc.yaml is there already" in capsys.readouterr().err
    assert Path("dvc.yaml").read_text(encoding="utf-8") == "stages: {}"
