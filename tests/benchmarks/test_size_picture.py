"""The README's picture is made from the runs that are kept."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
from documents import ROOT

SCRIPT = ROOT / "benchmarks" / "size_picture.py"


@pytest.fixture
def size_picture(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import size_picture

    return size_picture


def test_each_run_is_of_the_series_it_should_be(size_picture):
    runs = pd.DataFrame(
        [
            ("HetComp", "student", "BPR", "the student with HetComp"),
            ("HetComp (no DKC)", "student", "BPR", None),
            ("HetComp", "student", "CML", None),
            ("NoKD", "student", "BPR", "the same student alone"),
            ("RCEKD (250 epochs)", "student", "BPR", "other distillation methods"),
            ("BPR", "teacher", "BPR", "its teachers"),
            ("TeacherEnsemble", "ensemble", "TeacherEnsemble", "their ensemble"),
            ("EASE", "baseline", "EASE", None),
        ],
        columns=["method", "role", "backbone", "series"],
    )
    found = size_picture.series_of(runs)
    assert [None if pd.isna(name) else name for name in found] == [
        None if pd.isna(name) else name for name in runs["series"]
    ]


def test_picture_is_written(tmp_path):
    picture = tmp_path / "made" / "size.png"
    subprocess.run([sys.executable, str(SCRIPT), "--output", str(picture)], check=True, timeout=120)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_a_run_that_two_folders_have_counts_once(size_picture, monkeypatch, tmp_path):
    name = {"role": "student", "method": "RRD", "dataset": "ml-100k", "backbone": "BPR", "dimension": 8}
    for folder, seeds in (("one", [1]), ("more", [1, 2])):
        (tmp_path / folder).mkdir()
        table = pd.DataFrame([{**name, "seed": seed, "recall@50": len(folder) + seed} for seed in seeds])
        table.to_csv(tmp_path / folder / "runs.csv", index=False)
    monkeypatch.setattr(size_picture, "RESULTS", tmp_path)
    assert size_picture.kept_runs(["one", "more"])["recall@50"].tolist() == [4, 6]
