"""A service of the small export, asked in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from export_folders import small_export

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from recbole_hetcomp.serving.service.app import create_app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A link to an export, as it is served."""
    small_export(tmp_path / "first")
    (tmp_path / "served").symlink_to("first")
    return tmp_path / "served"


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """Asks the service; it looks at the folder every 20 ms."""
    with TestClient(create_app(folder, every=0.02)) as client:
        yield client
