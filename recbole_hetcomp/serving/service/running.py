"""The server's processes: one, or several that share a port and add up their numbers."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from recbole_hetcomp.serving.exported import read
from recbole_hetcomp.serving.service.access import TOKEN
from recbole_hetcomp.serving.service.app import FOLDER, create_app
from recbole_hetcomp.serving.service.metrics import SHARED_DIR

_GRACE = 10  # seconds that requests have to end in when the service stops
_KEPT_ALIVE = 65  # seconds, more than the 60 after which most proxies close a connection themselves


def server(folder: Path, host: str, port: int, token: str | None, workers: int) -> Callable[[], None]:
    """What serves an export until a signal ends it; requests that are under way are answered first.

    Args:
        folder: the export, or a link to it.
        host: the address.
        port: its port.
        token: what requests have to bring, None for nothing.
        workers: processes.

    Returns:
        The server, to be called; all that could be refused has been.

    Raises:
        FileNotFoundError: there is no such folder.
        DamagedFileError: it holds no export, or a damaged one.
        OSError: the address cannot be bound.
    """
    check_free(host, port)
    options: dict[str, Any] = {
        "host": host, "port": port, "access_log": False, "server_header": False,
        "timeout_graceful_shutdown": _GRACE, "timeout_keep_alive": _KEPT_ALIVE,
    }  # fmt: skip
    if workers == 1:
        return partial(uvicorn.run, create_app(folder, token), **options)
    read(folder)  # a damaged one is refused once, not by each worker
    return partial(_several, {FOLDER: str(folder.absolute()), TOKEN: token or ""}, {**options, "workers": workers})


def _several(environment: dict[str, str], options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="hetcomp-serve-") as shared:
        os.environ.update(environment, **{SHARED_DIR: shared})
        uvicorn.run(f"{create_app.__module__}:from_environment", factory=True, **options)


def check_free(host: str, port: int) -> None:
    """Refuse an address that cannot be bound, before an export is read.

    Raises:
        OSError: names the address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise OSError(f"{host}:{port} cannot be served at: {error.strerror or error}") from error
