"""The scripts behind the lab notebook run as their help says, and their variant of HetComp is HetComp."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHEAP = ['--teachers=["ItemKNN"]', "--epochs=2", "--eval_step=1", "--show_progress=false", "--state=ERROR"]
BOTH = """
import sys
from ideas import DECAY, validated
import recbole_hetcomp
shared = {"teachers": ["ItemKNN"], "epochs": 2, "eval_step": 1, "show_progress": False, "state": "ERROR"}
for own, same in (({}, {"place_decay": None}), (DECAY, {})):
    found = validated("ml-100k", 4, 2020, own, shared)
    told = recbole_hetcomp.run("HetComp", "ml-100k", config_dict={
        **shared, **same, "embedding_size": 4, "compare_no_kd": False, "topk": [10, 50], "metrics": ["Recall", "NDCG"],
        "result_dir": sys.argv[1]})["best_valid_result"]
    names = ("recall@50", "ndcg@50", "recall@10", "ndcg@10")
    assert max(abs(mine - told[name]) for mine, name in zip(found, names)) < 5e-6, (found, told)
"""


def run(folder: Path, *words: str) -> str:
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "notebook")])
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_variant_without_an_idea_is_hetcomp(tmp_path):
    run(tmp_path, "-c", BOTH, str(tmp_path / "result"))


@pytest.mark.slow
def test_each_idea_of_trajectories_runs_and_is_drawn(tmp_path):
    names = [
        "HetComp", "steady items count more (T 5)", "the snapshot before beside it (weight 1)",
        "lists drawn from two snapshots", "two snapshots of each teacher as members", "places count exp(-k / 20)",
        "longer lists where teachers agree", "RCE-KD's own-list term (weight .3)", "soft targets beside (weight .1)",
        "own list, weight 10 by what it lacks, from .5 on",
        "the rest's mass with q 2.0", "the rest's log mass -1.0", "observed items count 2.0",
    ]  # fmt: skip
    words = ["--dimension", "4", "--seeds", "1", "--picture", "picture.png", "--ideas", *names]
    cheap = ['--teachers=["BPR"]', '--teacher_config={"BPR": {"epochs": 4, "eval_step": 1}}', *CHEAP[1:]]
    told = run(tmp_path, str(ROOT / "benchmarks" / "notebook" / "ideas.py"), *words, *cheap)
    found = json.loads((tmp_path / "ideas.json").read_text())["ml-100k, 4 dimensions"]
    assert list(found) == names
    assert all(0 < value < 1 for seeds in found.values() for values in seeds.values() for value in values)
    assert len({tuple(seeds["1"][:4]) for seeds in found.values()}) == len(names)  # each changes something
    assert all(f"| {name} " in told for name in names)
    assert (tmp_path / "picture.png").stat().st_size > 5000


@pytest.mark.slow
def test_curves_over_seconds_are_kept_and_drawn(tmp_path):
    script = str(ROOT / "benchmarks" / "time_to_quality.py")
    words = ["--dimensions", "4", "--json", "curves.json", "--picture", "picture.png"]
    told = run(tmp_path, script, *words, "--schedules", "today: .06 falling to 0, 60 epochs", *CHEAP)
    (points,) = json.loads((tmp_path / "curves.json").read_text())["ml-100k, 4 dimensions"].values()
    assert len(points) == 2
    assert 0 < points[0][0] < points[1][0]
    assert "| today: .06 falling to 0, 60 epochs |" in told
    assert (tmp_path / "picture.png").stat().st_size > 5000
