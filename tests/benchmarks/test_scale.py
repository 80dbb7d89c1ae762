"""The scale benchmark runs as its help says, and its numbers are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's account of memory")
def test_every_size_is_written_once_and_measured(tmp_path: Path) -> None:
    command = [
        sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--sizes", "300x600", "--length", "20",
        "--teachers", "2", "--snapshots", "3",
        "--json", str(tmp_path / "scale.json"), "--store", str(tmp_path / "store"),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert "| users |" in first.stdout.replace("  ", " ").replace("  ", " ")
    run = json.loads((tmp_path / "scale.json").read_text())["runs"][0]
    assert len(run["write"]["steps"]) == 1 + 2 * 2
    steps = run["measure"]["steps"]
    lists, observed_ranks = 3 * 300 * 20 * 2, 3 * 300 * 20 * 2  # 16 bits each
    assert 0 < steps["open the store, verified"]["store_bytes"] - 2 * (lists + observed_ranks) < 2000
    assert run["measure"]["peak_rss_mib"] == max(numbers["peak_rss_mib"] for numbers in steps.values()) > 50
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert json.loads((tmp_path / "scale.json").read_text())["runs"][0]["write"]["steps"] == {}
