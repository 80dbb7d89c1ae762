"""A store at a URI: copied where it is needed, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import torch

from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore
from recbole_hetcomp.trajectories.remote import fetch, local_copy, publish


def write(folder, name: str) -> None:
    lists = torch.zeros(1, 2, 3, dtype=torch.int16)
    trajectory = Trajectory(lists, torch.zeros(1, 4, dtype=torch.int16), epochs=(1,), scores=(0.5,))
    TrajectoryStore(folder).write("data", name, {"a": 1}, trajectory)


def names(folder) -> list[str]:
    return sorted(entry.name.split("-")[0] for entry in TrajectoryStore(folder).entries())


def test_each_side_gets_what_it_lacks(tmp_path):
    uri, here, there = f"file://{tmp_path}/bucket", tmp_path / "here", tmp_path / "there"
    write(here, "BPR")
    assert publish(uri, here) == 1
    assert publish(uri, here) == 0
    write(there, "CML")
    assert fetch(uri, there) == 1
    assert fetch(uri, there) == 0
    assert publish(uri, there) == 1
    assert fetch(uri, here) == 1
    assert names(here) == names(there) == ["BPR", "CML"]
    assert TrajectoryStore(there).read("data", "BPR", {"a": 1}).scores == (0.5,)


def test_a_half_copied_entry_does_not_count_and_is_completed(tmp_path):
    uri, here, there = f"file://{tmp_path}/bucket", tmp_path / "here", tmp_path / "there"
    write(here, "BPR")
    publish(uri, here)
    (manifest,) = (tmp_path / "bucket").glob("*/*/manifest.json")
    manifest.unlink()  # its writer was killed
    assert fetch(uri, there) == 0
    assert publish(uri, here) == 1
    assert fetch(uri, there) == 1
    assert TrajectoryStore(there).read("data", "BPR", {"a": 1}).scores == (0.5,)


def test_fsspecs_file_systems_are_taken_too(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, "BPR")
    assert publish("memory://bucket/store", here) == 1
    assert fetch("memory://bucket/store", there) == 1
    assert names(there) == ["BPR"]


def test_a_folder_needs_no_copies(tmp_path):
    assert fetch(None, tmp_path) == publish(None, tmp_path) == 0
    copies = [local_copy(uri) for uri in ("s3://a", "s3://b", "s3://a")]
    assert copies[0] == copies[2] != copies[1]
    assert {copy.parent for copy in copies} == {Path.home() / ".cache" / "recbole-hetcomp"}
