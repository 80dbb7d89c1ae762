"""Everything lives on the device of its inputs: no tensor is made without saying where.

Without a GPU, PyTorch's default device is set to ``meta`` while the package computes: a tensor that is made without a
device then lies there, and whatever meets it fails.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

import pytest
import torch

PACKAGE = Path(__file__).resolve().parents[1] / "recbole_hetcomp"
FACTORIES = {
    "arange", "as_tensor", "bernoulli", "empty", "eye", "full", "linspace", "multinomial", "ones", "rand", "randint",
    "randn", "randperm", "tensor", "zeros",
}  # fmt: skip
METHODS = ("HetComp", "RD", "CD", "RRD", "MTD", "CLDRD", "DCD", "UnKD", "RCEKD")
COMPUTING = [file for part in ("core", "methods", "student") for file in sorted((PACKAGE / part).rglob("*.py"))]


def calls_without_a_device(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        told = "device" in {word.arg for word in node.keywords}
        if ast.unparse(node.func.value) == "torch" and node.func.attr in FACTORIES and not told:
            found.append(f"{file.name}:{node.lineno} torch.{node.func.attr}")
    return found


@pytest.mark.parametrize("file", COMPUTING, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_new_tensor_is_told_its_device(file):
    assert calls_without_a_device(file) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_without_a_default_device(method, tiny_run, monkeypatch):
    from recbole_hetcomp.recbole_bridge.registry import registered

    trainer = registered()[method].trainer
    called = set()

    def on_no_default_device(name: str, function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            called.add(name)
            with torch.device("meta"):
                return function(*args, **kwargs)

        return call

    for name in ("begin", "before_epoch", "loss"):
        monkeypatch.setattr(trainer, name, on_no_default_device(name, getattr(trainer, name)))
    run = tiny_run(model=method, epochs=3, result_dir=None)
    assert {"begin", "before_epoch", "loss"} <= called
    assert run.returned["test_result"]["recall@50"] > 0


def test_a_run_is_the_same_on_every_device(device, finished_run, tiny_run, tmp_path):
    """Teachers, recording, store, consensus, curriculum and losses; the student's epochs and what it keeps."""
    run = tiny_run(tmp_path, use_gpu=device.type == "cuda", store_dir=str(tmp_path / "store"))
    again = tiny_run(tmp_path / "again", use_gpu=device.type == "cuda", store_dir=str(tmp_path / "store"))
    assert run.returned["test_result"] == again.returned["test_result"]
    content = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
    assert content["state_dict"]
    alone = finished_run.returned["test_result"]["recall@50"]
    assert run.returned["test_result"]["recall@50"] == pytest.approx(alone, abs=0.05)
