"""The benchmark of recommending runs as its help says, and writes every list."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_list_is_written(tmp_path, subprocess_environment):
    command = [
        sys.executable, str(ROOT / "benchmarks" / "recommend.py"), "--users", "100", "300", "--of=300", "--items=900",
        "--k=20", "--scratch", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=subprocess_environment)
    small, large = map(json.loads, done.stdout.splitlines())
    assert (small["users"], large["users"]) == (100, 300)
    assert small["peak_mib"] > 50
    assert list(tmp_path.iterdir()) == []
