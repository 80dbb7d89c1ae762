"""An imported entry: whole or not there, replaced only when asked, every damage seen."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from recbole_hetcomp.trajectories import CorruptTrajectoryError, TrajectoryStore
from recbole_hetcomp.trajectories.housekeeping import check_store
from recbole_hetcomp.trajectories.imported import ImportWriter, imported_names, read_imported


def write(store, name="llm", items=(3, 1, 2), replace=False):
    with ImportWriter(store, name, 4, [0, 5]) as writer:
        writer.append(0, np.array([1, 1, 3]), np.array(items))
        writer.append(1, np.array([2]), np.array([7]))
        return writer.publish({"data": {"dataset": "d"}}, replace)


def test_what_is_written_is_read(tmp_path):
    entry = write(tmp_path)
    assert (entry.snapshots, entry.about["rows"], entry.about["users"]) == ([0, 5], 4, 3)
    rows, place, items = entry.lists(0).of(torch.tensor([1, 2, 3]))
    assert (rows.tolist(), place.tolist(), items.tolist()) == ([0, 0, 2], [0, 1, 0], [3, 1, 2])
    assert [part.tolist() for part in entry.lists(1).of(torch.tensor([1]))] == [[], [], []]
    entry.verify()
    assert TrajectoryStore(tmp_path).entries() == []  # it is no trajectory


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    with ImportWriter(tmp_path, "llm", 4, [0]) as writer:
        writer.append(0, np.array([1]), np.array([1]))  # and never published
    assert imported_names(tmp_path) == []
    assert list((tmp_path / "imported").iterdir()) == []


def test_the_same_again_is_no_conflict_and_another_one_is(tmp_path):
    first = write(tmp_path)
    assert write(tmp_path).content == first.content
    with pytest.raises(FileExistsError, match=r"is another ranking|is there already"):
        write(tmp_path, items=(1, 3, 2))
    assert read_imported(tmp_path, "llm").content == first.content
    assert write(tmp_path, items=(1, 3, 2), replace=True).content != first.content
    assert imported_names(tmp_path) == ["llm"]


KILLED = """
import os, sys
import numpy as np
from recbole_hetcomp.trajectories.imported import ImportWriter
with ImportWriter(sys.argv[1], "llm", 4, [0]) as writer:
    writer.append(0, np.array([1]), np.array([1]))
    os.rename = lambda *names: os._exit(9)  # the old entry is aside, the new one not yet there
    writer.publish({"data": {"dataset": "d"}}, True)
"""


@pytest.mark.parametrize("then", [lambda store: read_imported(store, "llm"), check_store], ids=["read", "check"])
def test_an_import_killed_while_it_takes_another_ones_place_leaves_a_whole_entry(
    tmp_path, then, subprocess_environment
):
    write(tmp_path)
    write(tmp_path, "llm-2")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=subprocess_environment, check=False)
    assert ended.returncode == 9
    assert imported_names(tmp_path) == ["llm-2"]
    then(tmp_path)
    entry = read_imported(tmp_path, "llm")
    entry.verify()
    assert entry.snapshots == [0]
    assert write(tmp_path, replace=True).snapshots == [0, 5]
    assert sorted(path.name for path in (tmp_path / "imported").iterdir()) == ["llm", "llm-2"]


@pytest.mark.parametrize("name", ["lists-0.int32", "lists-1.int32", "offsets.npy"])
def test_a_changed_byte_is_seen(tmp_path, name):
    entry = write(tmp_path)
    file = entry.folder / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CorruptTrajectoryError, match=f"{name}: truncated or altered"):
        entry.verify()
    file.unlink()
    with pytest.raises(CorruptTrajectoryError, match=f"{name}: unreadable"):
        entry.verify()


def test_a_changed_manifest_is_seen(tmp_path):
    file = write(tmp_path).folder / "manifest.json"
    file.write_text(file.read_text().replace('"rows": 4', '"rows": 5'))
    with pytest.raises(CorruptTrajectoryError, match="does not match its checksum"):
        read_imported(tmp_path, "llm")


def test_names_that_are_no_files(tmp_path):
    with pytest.raises(ValueError, match=r"name='../x' is not allowed"):
        ImportWriter(tmp_path, "../x", 4, [0])
