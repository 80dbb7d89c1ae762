"""``hetcomp serve`` as a process: what it refuses, how it ends, several workers behind one port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from export_folders import small_export

from recbole_hetcomp.cli import main
from recbole_hetcomp.serving.service.access import check_address
from recbole_hetcomp.serving.service.running import check_free

SERVE = "import sys; from recbole_hetcomp.cli import main; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def get(port: int, path: str, body: Any = None, **headers: str) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=10) as answer:
        return answer.read()


def wait_for(true: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.fixture
def serving(subprocess_environment, tmp_path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int, Path]]]:
    """``serving(folder, *words)``: the command's process, its port and its log, once it answers."""
    started = []

    def start(folder: Path, *words: str) -> tuple[subprocess.Popen[bytes], int, Path]:
        port, log = free_port(), tmp_path / "log.txt"
        command = [sys.executable, "-c", SERVE, "serve", str(folder), f"--port={port}", *words]
        with log.open("w") as stream:
            process = subprocess.Popen(command, env=subprocess_environment, stdout=stream, stderr=stream)
        started.append(process)
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                get(port, "/health")
                return process, port, log
            except OSError:
                time.sleep(0.05)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_and_ends_in_order(number, serving, tmp_path):
    process, port, log = serving(small_export(tmp_path / "export"))
    assert json.loads(get(port, "/recommend", {"users": "ann", "k": 1}))["lists"][0]["items"][0]["item"] == "w"
    process.send_signal(number)
    assert process.wait(30) == 0
    assert "Traceback" not in log.read_text()


def test_workers_answer_together_and_take_up_a_new_export(serving, tmp_path):
    small_export(tmp_path / "first")
    small_export(tmp_path / "second", users=[[1, 0], [0, 1], [1, 0]])
    link = tmp_path / "served"
    link.symlink_to("first")
    process, port, log = serving(link, "--workers=2", "--token=open-sesame")
    token = {"Authorization": "Bearer open-sesame"}
    ids = [json.loads(get(port, "/recommend", {"users": "ann"}, **token))["export"] for _ in range(20)]
    assert len(set(ids)) == 1
    counted = 'hetcomp_requests_total{endpoint="/recommend",status="200"} 20.0'  # of both workers
    wait_for(
        lambda: counted in get(port, "/metrics", **token).decode().splitlines(), log
    )  # an answer is counted behind it
    assert "hetcomp_export_users 3.0" in get(port, "/metrics", **token).decode().splitlines()
    (tmp_path / "new").symlink_to("second")
    os.replace(tmp_path / "new", link)
    wait_for(lambda: log.read_text().count("takes the place of") == 2, log)
    after = {json.loads(get(port, "/recommend", {"users": "ann"}, **token))["export"] for _ in range(20)}
    assert len(after) == 1
    assert after != set(ids)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert "Traceback" not in log.read_text()


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["serve", *words]) == 2
    return capsys.readouterr().err


def test_what_is_refused_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HETCOMP_TOKEN", raising=False)
    folder = str(small_export(tmp_path / "export"))
    assert f"error: {tmp_path / 'none'} does not exist" in said(capsys, str(tmp_path / "none"))
    for host in ("0.0.0.0", "::", "192.168.1.1"):
        assert f"host='{host}' can be reached from elsewhere: set HETCOMP_TOKEN" in said(
            capsys, folder, f"--host={host}"
        )
    for token in ("", "two words", "schlüssel"):
        assert "the token is not allowed" in said(capsys, folder, f"--token={token}")
    assert "--workers" in said(capsys, folder, "--workers=0")
    (tmp_path / "export" / "manifest.json").unlink()
    for workers in ("1", "2"):
        assert "it has no manifest.json" in said(capsys, folder, f"--workers={workers}", f"--port={free_port()}")


def test_a_port_in_use_is_named(tmp_path, capsys):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        told = said(capsys, str(small_export(tmp_path / "export")), f"--port={port}")
    assert f"127.0.0.1:{port} cannot be served at: Address already in use" in told
    check_free("127.0.0.1", port)


def test_the_token_may_be_in_the_environment(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HETCOMP_TOKEN", "two words")
    assert "the token is not allowed" in said(capsys, str(tmp_path))
    check_address("0.0.0.0", "open-sesame")
