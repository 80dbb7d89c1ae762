"""A service of the small export, asked in this process or over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A link to an export, as it is served."""
    from export_folders import small_export

    small_export(tmp_path / "first")
    (tmp_path / "served").symlink_to("first")
    return tmp_path / "served"


@pytest.fixture
def client(folder: Path) -> Iterator[Any]:
    """Asks the service; it looks at the folder every 20 ms."""
    testclient = pytest.importorskip("fastapi.testclient")
    from recbole_hetcomp.serving.service.app import create_app

    with testclient.TestClient(create_app(folder, every=0.02)) as client:
        yield client


@pytest.fixture(scope="module")
def served() -> Iterator[Callable[..., str]]:
    """``served(folder, token)``: address of a service that runs in a thread."""
    uvicorn = pytest.importorskip("uvicorn")
    from recbole_hetcomp.serving.service.app import create_app

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
