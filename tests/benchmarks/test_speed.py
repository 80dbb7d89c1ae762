"""The speed benchmark runs end to end, and its two sides agree; times are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "speed"
RATIOS = {"curriculum_step", "consensus", "evaluation", "loss_exact", "loss_sampled", "store_bytes"}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    file = tmp_path_factory.mktemp("speed") / "speed.json"
    command = [sys.executable, str(SCRIPT), "--size", "tiny", "--repeats", "1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| curriculum_step " in done.stdout
    return json.loads(file.read_text(encoding="utf-8"))


def test_ratios_are_there(result):
    assert set(result["ratios"]) == RATIOS
    ratios, seconds = {**result["ratios"], **result["further_ratios"]}, result["seconds"]
    for part, taken in seconds.items():
        assert ratios[part] == round(taken["direct"] / taken["package"], 3)
    for loss in ("loss_exact", "loss_sampled"):
        mean = (ratios[f"{loss}_coarse"] + ratios[f"{loss}_fine"]) / 2
        assert ratios[loss] == pytest.approx(mean, abs=0.002)
    assert ratios["store_bytes"] == round(result["bytes"]["direct"] / result["bytes"]["package"], 3)


def test_seconds_are_there(result):
    assert set(result["seconds"]) == set(result["agreement"]) == set(result["notes"])
    for seconds in result["seconds"].values():
        assert set(seconds) == {"direct", "package"}


def test_both_sides_agree(result):
    assert {part for part, agreement in result["agreement"].items() if not agreement["agrees"]} == set()


def test_something_was_compared(result):
    """Users move, but not all; lists overlap, but are not the same."""
    assert 0 < result["agreement"]["curriculum_step"]["share_of_moves"] < 1
    assert all(0 < share < 1 for share in result["likeness_of_inputs"].values())
    assert 0 < result["agreement"]["evaluation"]["recall@10"] < 1


def test_store_is_smaller_than_dense_ranks(result):
    assert result["bytes"]["package"] < result["bytes"]["direct"]


def test_it_says_how_it_was_run(result):
    assert result["size"]["name"] == "tiny"
    assert {"versions", "threads", "repeats", "peak_rss_mib", "command"} <= set(result)
