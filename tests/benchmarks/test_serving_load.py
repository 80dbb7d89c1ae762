"""The script that loads the service: a short load, exports put in place meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not shutil.which("wrk"), reason="there is no wrk here")
def test_a_short_load(subprocess_environment, tmp_path):
    pytest.importorskip("uvicorn")
    path = f"{subprocess_environment['PYTHONPATH']}:{ROOT / 'tests'}"
    words = ["--users=50", "--items=200", "--seconds=4", "--reloads=2", "--json", str(tmp_path / "found.json")]
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "serving_load.py"), *words],
        env={**subprocess_environment, "PYTHONPATH": path}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["requests"] > 50
    assert (found["failed"], found["reloads_of_one_worker"], found["refused"]) == (0, 2, None)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
