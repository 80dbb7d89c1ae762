"""The benchmark of threads: its ratios by hand, its busy processes, and a real run; times are not judged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from speed_scripts import SPEED, speed_script

SCRIPT = SPEED / "threads.py"


@pytest.fixture(scope="module")
def script():
    with speed_script("threads") as module:
        yield module


def test_ratios_by_hand(script, monkeypatch):
    """Two processors, three others: a process of one thread has half a processor, so twice the time is its share."""
    monkeypatch.setattr(script, "processors", lambda: type("Two", (), {"allowed": 2}))
    rows = [
        {"busy": 0, "load": 1.0, "part": "BPR", "package": 2.0, "torch": 3.0, "one": 4.0},
        {"busy": 3, "load": 4.0, "part": "BPR", "package": 6.0, "torch": 60.0, "one": 6.0},
    ]
    found = script.table(rows).set_index("busy")
    assert found["torch / package"].tolist() == [1.5, 10.0]
    assert found["one / package"].tolist() == [2.0, 1.0]
    assert found["of its share"].tolist() == [1.0, 1.5]


def test_busy_processes_end_with_the_measurement(script, monkeypatch):
    started = []
    original = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args: started.append(original(*args)) or started[-1])
    with script.busy(2):
        assert [other.poll() for other in started] == [None, None]
    assert all(other.returncode for other in started)


@pytest.mark.slow
def test_every_side_is_measured(tmp_path):
    file = tmp_path / "threads.json"
    few = ["--epochs", "1", "--teachers", "BPR", "--teacher_epochs", "1"]
    command = [sys.executable, str(SCRIPT), "--size", "tiny", "--busy", "0", *few, "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert [row["part"] for row in rows] == ["BPR", "HetComp", "CPU seconds of all"]
    assert all(row[side] >= 0 for row in rows for side in ("package", "torch", "one"))
