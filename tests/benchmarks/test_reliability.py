"""The harnesses of docs/reliability.md, in short."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "reliability"


def harness(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"reliability_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_no_flipped_byte_is_read_in_silence():
    ends = {name: set(counts) for name, counts in harness("flips").flip_all(200, seed=5).items()}
    assert len(ends) == 10
    assert {end for found in ends.values() for end in found} <= {"found", "anew", "without effect"}
    assert all(found & {"found", "anew"} for found in ends.values())  # the harness damages something


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_random_settings_are_refused_by_name_or_run():
    said: list[str] = []
    fuzz = harness("fuzz")
    fuzz.SECONDS = 60  # other tests run beside this one
    found = fuzz.fuzz(range(40), seed=7, say=said.append)
    assert not said, "\n".join(said)
    assert {result["verdict"] for result in found} == {"refused", "ran"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_an_import_that_is_killed_ends_as_one_that_is_not(subprocess_environment, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", subprocess_environment["PYTHONPATH"])
    counts = harness("kills").kill_all(3, seed=1, kinds=["import"])["import"]
    assert counts["the same"] >= 1
    assert not counts["ANOTHER"]
