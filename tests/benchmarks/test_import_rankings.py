"""The benchmark of imports runs as its help says, and imports every row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_every_row_is_imported(tmp_path, format):
    command = [
        sys.executable, str(ROOT / "benchmarks" / "import_rankings.py"), "--rows", "20000", "--format", format,
        "--scratch", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    measured = json.loads(done.stdout)
    assert measured["rows"] == 20000
    assert measured["peak_mib"] >= measured["before_mib"] > 50
    assert list(tmp_path.iterdir()) == []
