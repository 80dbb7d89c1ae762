"""A method from outside of the package in a sweep: its trials run in processes that import it too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def test_a_sweep_over_a_method_of_ones_own(tmp_path, subprocess_environment):
    files = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = [
        "tune", "--extension", "soft.py", "--extension", "neighbours.py", "--model", "Soft", "--space", "space.yaml",
        "--num_samples", "2", "--epochs", "2", "--seed", "1", "--search", "random", "--scheduler", "none",
        "--output", "out",
        "--teachers=[neighbours.Neighbours]", "--eval_step=1",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "recbole_hetcomp.cli", *words],
        cwd=tmp_path, env=subprocess_environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    trials = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(trials["status"]) == ["finished", "finished"]
    best = yaml.safe_load((tmp_path / "out" / "best.yaml").read_text(encoding="utf-8"))
    assert (best["model"], best["teachers"]) == ("Soft", ["neighbours.Neighbours"])
    assert best["kd_weight"] in (0.1, 0.5, 2.0)
