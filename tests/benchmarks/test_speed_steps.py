"""The benchmark of large steps: each side has its own choices, and a real run; times are not judged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from speed_scripts import SPEED, speed_script

from recbole_hetcomp.recbole_bridge import large_steps

SCRIPT = SPEED / "steps.py"


@pytest.fixture(scope="module")
def script():
    with speed_script("steps") as module:
        yield module


@pytest.mark.parametrize(
    ("side", "changed"), [("torch", {"dropout", "graph", "step"}), ("graph", {"dropout", "step"}), ("package", set())]
)
def test_a_side_computes_in_its_own_way_while_it_is_timed(script, side, changed):
    names = script.CHOICES
    before = {choice: getattr(large_steps, name) for choice, name in names.items()}
    with script.timed_epochs(side):
        assert {choice for choice, name in names.items() if getattr(large_steps, name) != before[choice]} == changed
    assert {choice: getattr(large_steps, name) for choice, name in names.items()} == before


@pytest.mark.slow
def test_every_side_is_measured(tmp_path):
    file = tmp_path / "steps.json"
    few = ["--size", "tiny", "--teachers", "MultiVAE", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *few, "--json", str(file)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(file.read_text(encoding="utf-8"))
    assert row["teacher"] == "MultiVAE"
    assert all(row[side] > 0 for side in ("torch", "dropout", "graph", "step", "package"))
