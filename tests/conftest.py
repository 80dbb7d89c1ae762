"""What every test gets: a folder of its own to run in, and no trace of pytest's command line or of earlier loggers.

Nothing here imports RecBole before a fixture asks for it: the tests of ``core`` run without it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["service_fixtures", "pipeline_fixtures"]
PACKAGE_ROOT = Path(__file__).resolve().parents[1]
RAY_TESTS = {"tune", "test_ray.py", "test_spread.py", "test_recommend_spread.py"}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In parallel runs a file's tests, and all tests that start Ray, stay in one process."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            alone = RAY_TESTS.isdisjoint(item.path.relative_to(PACKAGE_ROOT).parts)
            item.add_marker(pytest.mark.xdist_group(str(item.path) if alone else "ray"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Refuse to run where xdist would scatter the groups: two processes' Rays get in each other's way."""
    scattered = [name for name in ids if "@" not in name.rpartition("]")[2]]
    if node.config.option.dist == "loadgroup" and scattered:
        pytest.exit(f"pytest {pytest.__version__} loses xdist's groups, of {scattered[0]} for example", returncode=4)


class Messages(logging.Handler):
    """Keeps the text of every record."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def workplace(folder: Path) -> Iterator[list[str]]:
    """Run inside ``folder`` without pytest's arguments; gives what is logged, and puts the root logger back."""
    root, argv, before = logging.getLogger(), sys.argv, Path.cwd()
    handlers, level, messages = root.handlers[:], root.level, Messages()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    sys.argv = ["test"]
    root.handlers[:] = [messages]  # RecBole's init_logger adds none of its own where one is
    root.setLevel(logging.INFO)
    try:
        yield messages.lines
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.argv = argv
        os.chdir(before)


@pytest.fixture(autouse=True)
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Every test runs in a folder of its own; what it logs is in this list."""
    with workplace(tmp_path_factory.mktemp("cwd")) as lines:
        yield lines


def tiny(folder: Path, **more: Any) -> dict[str, Any]:
    """Settings of a run of seconds, all of whose files are below ``folder``."""
    return {
        "teachers": ["BPR", "EASE"],
        "teacher_config": {"BPR": {"epochs": 6, "eval_step": 2}},
        "epochs": 12,
        "eval_step": 3,
        "learning_rate": 0.005,
        "learning_rate_schedule": "constant",
        "curriculum": "dynamic",
        "p": 2,
        "T_r": 10.0,
        "use_consistency": True,
        "quality_weighting": 0.0,
        "no_kd_config": {"epochs": 4, "eval_step": 2},
        "show_progress": False,
        "store_dir": str(folder / "store"),
        "result_dir": str(folder / "results"),
        "checkpoint_dir": str(folder / "checkpoints"),
        **more,
    }


@dataclass(frozen=True)
class Run:
    """A finished run: its settings, what run_recbole returned, its log and its folders."""

    settings: dict[str, Any]
    returned: dict[str, Any]
    log: tuple[str, ...]
    folder: Path
    results: Path
    checkpoint: Path

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of its table by name, as they were written."""
        return {row["name"]: row for row in json.loads((self.results / "results.json").read_text())["rows"]}


def run_tiny(folder: Path, model: str = "HetComp", **more: Any) -> Run:
    """Run a model on ml-100k through RecBole's own run_recbole."""
    from recbole.quick_start import run_recbole

    import recbole_hetcomp  # noqa: F401

    settings = tiny(folder, **more)
    with workplace(folder) as lines:
        returned = run_recbole(model=model, dataset="ml-100k", config_dict=dict(settings))
    checkpoints = sorted(Path(settings["checkpoint_dir"]).glob(f"*{model}*.pth"), key=lambda file: file.stat().st_mtime)
    results = Path(settings["result_dir"] or folder / "results")
    return Run(settings, returned, tuple(lines), folder, results, checkpoints[-1])


@pytest.fixture(scope="session")
def tiny_settings() -> Callable[..., dict[str, Any]]:
    """``tiny_settings(folder, **more)``: settings of a run of seconds below a folder."""
    return tiny


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``tiny_run(folder, model="HetComp", **more)``: a run of seconds; without a folder, in a new one.

    All runs without a ``store_dir`` of their own share one store.
    """
    shared = tmp_path_factory.mktemp("shared") / "store"

    def run(folder: Path | None = None, model: str = "HetComp", **more: Any) -> Run:
        return run_tiny(folder or tmp_path_factory.mktemp("run"), model, **{"store_dir": str(shared), **more})

    return run


@pytest.fixture(scope="session")
def working_in() -> Callable[..., Any]:
    """``with working_in(folder) as lines``: what runs inside works in the folder, and logs these lines."""
    return workplace


@pytest.fixture(scope="session")
def finished_run(tiny_run: Callable[..., Run]) -> Run:
    """One HetComp run with all defaults of ``tiny_settings``; the first to fill the shared store."""
    return tiny_run()


@pytest.fixture(scope="session")
def subprocess_environment() -> dict[str, str]:
    """Environment in which a new Python finds this checkout."""
    path = os.pathsep.join([str(PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def python(subprocess_environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """``python(code, *words)``: what code prints in a new Python, in the test's folder; it has to end well."""

    def run(code: str, *words: str) -> str:
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(
            command, env=subprocess_environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> Any:
    """Each device that PyTorch knows here; the GPU is left out where there is none."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    return torch.device(request.param)
