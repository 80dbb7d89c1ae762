"""Another export in the place of one: taken up while requests are answered; one that is not whole is refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from export_folders import small_export
from fastapi.testclient import TestClient

from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.serving.exported import MANIFEST, VECTORS
from recbole_hetcomp.serving.service.app import create_app
from recbole_hetcomp.serving.service.reload import Watched


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def set_link(link: Path, target: str) -> None:
    """As a deployment does: the link leads to the one or to the other at any time."""
    new = link.with_name("new-link")
    new.symlink_to(target)
    os.replace(new, link)


def served(client: TestClient) -> str:
    return client.get("/health").json()["export"]["id"]


def first(client: TestClient) -> str:
    return client.post("/recommend", json={"users": "7", "k": 1}).json()["lists"][0]["items"][0]["item"]


def test_a_link_set_anew(client, folder):
    before = served(client)
    small_export(folder.parent / "second", users=[[1, 0], [0, 1], [1, 0]])
    assert first(client) == "x"
    set_link(folder, "second")
    wait_for(lambda: served(client) != before)
    assert first(client) == "y"
    assert client.get("/health").json()["reloads"] == 1
    assert 'hetcomp_reloads_total{outcome="taken"} 1.0' in client.get("/metrics").text


def test_a_folder_put_in_the_place(tmp_path):
    folder = small_export(tmp_path / "export")
    with TestClient(create_app(folder, every=0.02)) as client:
        small_export(tmp_path / "new", users=[[1, 0], [0, 1], [1, 0]])
        os.rename(folder, tmp_path / "old")
        wait_for(lambda: client.get("/health").json()["refused"] is not None)
        assert first(client) == "x"  # nothing is there, and it is served on
        os.rename(tmp_path / "new", folder)
        wait_for(lambda: first(client) == "y")
        assert client.get("/health").json()["refused"] is None


def test_files_copied_over_one_by_one(tmp_path):
    folder = small_export(tmp_path / "export")
    new = small_export(tmp_path / "new", users=[[1, 0], [0, 1], [1, 0]])
    watched = Watched(folder)
    before = watched.current
    for file in sorted(new.iterdir()):
        assert watched.current is before
        shutil.copy(file, folder)
        watched.look()
    assert watched.current is not before
    assert watched.refused is None
    assert watched.reloads == 1


def test_the_same_again_is_no_reload(tmp_path):
    folder = small_export(tmp_path / "export")
    watched = Watched(folder)
    before = watched.current
    os.utime(folder / VECTORS, (1, 1))
    watched.look()
    assert watched.current is before
    assert watched.reloads == 0


def cut(folder: Path) -> None:
    file = folder / VECTORS
    file.write_bytes(file.read_bytes()[:-1])


def flip(folder: Path) -> None:
    file = folder / VECTORS
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def lose(folder: Path) -> None:
    (folder / "seen.safetensors").unlink()


def lose_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def mix(folder: Path) -> None:
    other = small_export(folder.with_name("other"), item_ids=["x", "y", "z"], items=[[1, 2]] * 3, counts=[1, 2, 3],
                         titles=None, seen=[[], [], []], ensemble=None)  # fmt: skip
    shutil.copy(other / VECTORS, folder)


def of_other_sizes(folder: Path) -> None:
    shutil.rmtree(folder)
    small_export(folder, users=[[1, 0], [0, 1]])


def empty_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("")


def newer_schema(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**told, "schema": 99}))


def no_numbers(folder: Path) -> None:
    shutil.rmtree(folder)
    small_export(folder, users=[[float("nan"), 0], [0, 1], [1, 0]])


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


BROKEN = [cut, flip, lose, lose_manifest, mix, of_other_sizes, empty_manifest, newer_schema, no_numbers, empty]


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_one_is_refused_and_the_old_one_served_on(damage, client, folder):
    before = served(client)
    broken = small_export(folder.parent / "broken")
    damage(broken)
    set_link(folder, "broken")
    wait_for(lambda: client.get("/health").json()["refused"] is not None)
    told = client.get("/health").json()
    assert "broken" in told["refused"] or "served" in told["refused"]
    assert (told["status"], told["export"]["id"], told["reloads"]) == ("ok", before, 0)
    assert first(client) == "x"
    refused = client.get("/metrics").text
    assert 'hetcomp_reloads_total{outcome="refused"} 1.0' in refused
    small_export(folder.parent / "mended", users=[[1, 0], [0, 1], [1, 0]])
    set_link(folder, "mended")
    wait_for(lambda: first(client) == "y")
    assert client.get("/health").json()["refused"] is None


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_one_is_not_served_at_all(damage, tmp_path):
    damage(small_export(tmp_path / "export"))
    with pytest.raises(DamagedFileError, match="export"):
        create_app(tmp_path / "export")


def test_no_request_is_dropped_or_gets_a_mixture(client, folder):
    """Lists of one request are of one export, whichever comes meanwhile."""
    wanted = {"first": "x", "second": "y"}
    small_export(folder.parent / "second", users=[[1, 0], [0, 1], [1, 0]])
    found: list[Any] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answer = client.post("/recommend", json={"users": ["7"] * 20, "k": 1})
            found.append((answer.status_code, {listed["items"][0]["item"] for listed in answer.json()["lists"]}))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(10):
        name = ("second", "first")[turn % 2]
        set_link(folder, name)
        wait_for(lambda name=name: first(client) == wanted[name])
    ended.set()
    for thread in threads:
        thread.join()
    assert client.get("/health").json()["reloads"] == 10
    assert {status for status, _ in found} == {200}
    assert {frozenset(items) for _, items in found} == {frozenset("x"), frozenset("y")}
