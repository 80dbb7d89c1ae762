"""Folders of a store: how they go, and when nobody works on them any more."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from recbole_hetcomp.trajectories import SnapshotSpool
from recbole_hetcomp.trajectories.entry import check_name, delete, entries_of
from recbole_hetcomp.trajectories.housekeeping import check_store


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_deleted_entry_leaves_nothing_and_its_neighbours(tmp_path):
    gone, kept = made(tmp_path / "data" / "BPR-1"), made(tmp_path / "data" / "BPR-2")
    delete(gone)
    assert entries_of(tmp_path) == [kept]
    assert os.listdir(tmp_path / "data") == ["BPR-2"]
    delete(gone)  # there is none any more


def test_of_a_link_only_the_link_goes(tmp_path):
    target = made(tmp_path / "elsewhere")
    link = tmp_path / "data" / "BPR-1"
    link.parent.mkdir()
    link.symlink_to(target)
    delete(link)
    assert not link.is_symlink()
    assert (target / "manifest.json").is_file()


def test_scratch_of_a_teacher_that_trains_slowly_is_not_what_a_killed_run_left(tmp_path):
    with SnapshotSpool(tmp_path / "spool") as spool:
        os.utime(spool.directory, (0, 0))
        assert check_store(tmp_path) == []


def test_scratch_of_another_machine_is_left_alone_for_a_day(tmp_path):
    folder = tmp_path / "spool" / "spool-anothermachine-x"
    folder.mkdir(parents=True)
    for hours, verdicts in ((2, []), (23, []), (25, ["LEFT"])):
        made_at = time.time() - hours * 3600
        os.utime(folder, (made_at, made_at))
        assert [state.verdict for state in check_store(tmp_path)] == verdicts


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "-x"])
def test_a_name_is_a_plain_file_name(name):
    with pytest.raises(ValueError, match="is not allowed: letters, digits"):
        check_name("name", name)
    assert check_name("name", "LLM_2.1+x-y") == "LLM_2.1+x-y"
