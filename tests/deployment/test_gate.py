"""The gate of a build: its numbers are the run's, its verdict decides the exit status, and what cannot be checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from recbole_hetcomp import cli
from recbole_hetcomp.deployment.gate import Demands, Finding, Verdict, check_student
from recbole_hetcomp.deployment.parity import parity_of
from recbole_hetcomp.deployment.saved import SavedStudent
from recbole_hetcomp.files import read_json, sha256_of, write_json
from recbole_hetcomp.serving.exported import MANIFEST, SEEN_ITEMS, VECTORS


@pytest.fixture(scope="module")
def student(finished_run) -> SavedStudent:
    return SavedStudent.load(finished_run.checkpoint)


@pytest.fixture(scope="module")
def export(finished_run, tmp_path_factory) -> Path:
    pytest.importorskip("faiss")
    pytest.importorskip("onnxruntime")
    target = tmp_path_factory.mktemp("export") / "student"
    assert cli.main(["export", f"--checkpoint={finished_run.checkpoint}", f"--to={target}"]) == 0
    return target


def altered(export: Path, target: Path, name: str, change) -> Path:
    """A copy whose manifest is sound and whose content is another."""
    shutil.copytree(export, target)
    tensors = load_file(target / name)
    save_file(change(tensors), target / name)
    manifest = read_json(target / MANIFEST)
    manifest["files"][name] = {"sha256": sha256_of(target / name), "bytes": (target / name).stat().st_size}
    write_json(target / MANIFEST, manifest)
    return target


def of(verdict: Verdict, what: str) -> Finding:
    return next(finding for finding in verdict.findings if finding.what.startswith(what))


def test_the_share_is_that_of_the_runs_table(student, finished_run):
    results = pd.read_csv(finished_run.results / "results.csv").set_index("name")
    for metric, column in (("Recall@50", "recall@50"), ("NDCG@10", "ndcg@10")):
        numbers = of(check_student(student, Demands(0.5, metric)), "share").numbers
        for role, name in (("student", "HetComp"), ("ensemble", "TeacherEnsemble")):
            assert numbers[role] == pytest.approx(results.loc[name, column], abs=1e-4)
        assert numbers["share"] == pytest.approx(numbers["student"] / numbers["ensemble"])
        assert numbers["low"] < numbers["share"] < numbers["high"]


def test_any_cut_off_that_lists_hold(student):
    numbers = of(check_student(student, Demands(0.5, "MRR@7")), "share").numbers
    assert 0 < numbers["student"] < 1
    with pytest.raises(ValueError, match="at most @50"):
        check_student(student, Demands(0.5, "NDCG@51"))


def test_strict_wants_the_lower_end(student):
    numbers = of(check_student(student, Demands(0.5)), "share").numbers
    between = (numbers["low"] + numbers["share"]) / 2
    assert check_student(student, Demands(between)).passed
    assert not check_student(student, Demands(between, strict=True)).passed
    assert check_student(student, Demands(numbers["low"], strict=True)).passed
    assert not check_student(student, Demands(numbers["share"] + 1e-6)).passed


def test_size_and_latency_decide(student):
    size = 4 * sum(parameter.numel() for parameter in student.backbone.parameters())
    verdict = check_student(student, Demands(0.01, max_bytes=size, max_ms=10000))
    assert verdict.passed
    assert of(verdict, "size").numbers == {"bytes": size}
    assert not check_student(student, Demands(0.01, max_bytes=size - 1)).passed
    slow = check_student(student, Demands(0.01, max_ms=1e-6))
    assert not slow.passed
    assert of(slow, "latency").numbers["p95_ms"] >= of(slow, "latency").numbers["p50_ms"] > 0
    assert of(slow, "size").passed is None


def test_an_export_ranks_as_its_student(student, export):
    found = parity_of(student, export, 10)
    assert found.holds
    assert found.agreement.users == 943
    assert found.bytes == 4 * sum(parameter.numel() for parameter in student.backbone.parameters()) - 2 * 8 * 4


def test_an_export_that_ranks_otherwise_fails(student, export, tmp_path):
    def shuffled(tensors):
        return {**tensors, "items": np.ascontiguousarray(tensors["items"][::-1])}

    def unseen(tensors):
        return {"offsets": np.zeros_like(tensors["offsets"]), "items": tensors["items"][:0]}

    moved = parity_of(student, altered(export, tmp_path / "moved", VECTORS, shuffled), 10)
    assert moved.agreement.different > 900
    assert not moved.holds
    assert not parity_of(student, altered(export, tmp_path / "unseen", SEEN_ITEMS, unseen), 10).seen_alike


def test_exit_statuses_and_pages(finished_run, export, tmp_path, capsys):
    words = ["check", f"--checkpoint={finished_run.checkpoint}", f"--export={export}", "--metric=NDCG@50"]
    page = tmp_path / "page.html"
    assert cli.main([*words, "--keep=0.1", "--max-ms=10000", "--max-bytes=1000000", f"--to={page}"]) == 0
    said = capsys.readouterr().out
    assert "HetComp on ml-100k: pass" in said
    assert "share of the ensemble's NDCG@50" in said
    assert "NDCG@50" in page.read_text()
    assert "FAIL" not in page.read_text()
    assert cli.main([*words, "--keep=5", f"--to={tmp_path / 'page.json'}"]) == 1
    assert "HetComp on ml-100k: FAIL" in capsys.readouterr().out
    content = json.loads((tmp_path / "page.json").read_text())
    assert content["passed"] is False
    assert content["findings"]["parity of the export"]["passed"] is True
    assert cli.main([*words[:2], "--keep=0.1", f"--to={tmp_path / 'page.md'}"]) == 0
    assert (tmp_path / "page.md").read_text().startswith("# HetComp on ml-100k: pass")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep=0"], "keep=0.0 is not allowed"),
        (["--keep=nan"], "keep=nan"),
        (["--keep=0.9", "--metric=NDCG"], "metric='NDCG' is not allowed"),
        (["--keep=0.9", "--metric=GiniIndex@5"], "metric='GiniIndex@5' is not allowed"),
        (["--keep=0.9", "--max-ms=0"], "max_ms=0.0"),
        (["--keep=0.9", "--max-bytes=-5"], "max_bytes=-5"),
        (["--keep=0.9", "--to=page.pdf"], "ends in .html, .md, .json"),
        (["--keep=0.9", "--to=no/page.md"], "no does not exist"),
        (["--keep=0.9", "--to=folder.md"], "to='folder.md' is not allowed: it is a folder"),
        (["--keep=0.9", "--export=gone"], "gone does not exist"),
        (["--keep=0.9", "--export=file.txt"], "file.txt is a file, and no export"),
        (["--keep=0.9", "--store_dir=empty"], "empty has no BPR, EASE of these data"),
        (["--keep=0.9", "--export=."], "is no export"),
        ([], "--keep"),
    ],
)
def test_what_cannot_be_checked_is_status_2(finished_run, words, said, capsys):
    Path("folder.md").mkdir()
    Path("file.txt").touch()
    assert cli.main(["check", f"--checkpoint={finished_run.checkpoint}", *words]) == 2
    assert said in capsys.readouterr().err
