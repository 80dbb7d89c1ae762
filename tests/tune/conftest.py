"""Sweeps of seconds: two cheap teachers, students of a few epochs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("RAY_worker_niceness", "0")  # Ray lets its workers wait for everything else on a machine

SPACE = """
learning_rate: {loguniform: [3.0e-3, 3.0e-2], mutable: True}
user_batch_size: {choice: [128, 256]}
"""


@pytest.fixture(scope="session")
def tune_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all sweeps."""
    return tmp_path_factory.mktemp("tune") / "store"


@pytest.fixture(scope="session")
def quick(tune_store: Path) -> Callable[..., dict[str, Any]]:
    """``quick(**more)``: settings of a student of a second."""

    def settings(**more: Any) -> dict[str, Any]:
        return {
            "teachers": ["EASE", "ItemKNN"],
            "quality_weighting": 0.0,
            "epochs": 4,
            "eval_step": 2,
            "learning_rate_schedule": "constant",
            "curriculum": "dynamic",
            "K_prime": 100,
            "K": 50,
            "p": 1,
            "store_dir": str(tune_store),
            **more,
        }

    return settings


@pytest.fixture(scope="session")
def space_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("space") / "space.yaml"
    file.write_text(SPACE, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One local Ray for a module's sweeps."""
    from recbole_hetcomp.tune.cluster import ray_cluster

    with ray_cluster():
        yield
