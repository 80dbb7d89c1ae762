"""A service of the small export, asked in this process or over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from export_folders import small_export

pytest.importorskip("fastapi")

import uvicorn
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


@pytest.fixture(scope="module")
def served() -> Iterator[Callable[..., str]]:
    """``served(folder, token)``: address of a service that runs in a thread."""
    running = []

    def serve(folder: Path, token: str | None = None) -> str:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(folder, token, every=0.05), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(30)
