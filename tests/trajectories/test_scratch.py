"""Scratch folders: deleted at the end, and by the next process where theirs was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from recbole_hetcomp.trajectories.scratch import Scratch, is_abandoned, remove_abandoned

HOLD = """
import sys, time
from pathlib import Path
from recbole_hetcomp.trajectories.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]), "spool-")
(scratch.folder / "rows").write_text("1")
print(scratch.folder, flush=True)
time.sleep(600)
"""


def test_it_goes_with_what_is_in_it(tmp_path):
    with Scratch(tmp_path, "spool-") as folder:
        (folder / "rows").write_text("1")
        assert not is_abandoned(folder)
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_renamed_stays(tmp_path):
    with Scratch(tmp_path, ".writing-x-") as folder:
        folder.rename(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_closing_twice_closes_no_file_of_another(tmp_path):
    scratch = Scratch(tmp_path, "spool-")
    scratch.close()
    with open(os.devnull) as other:  # takes the number that has become free
        scratch.close()
        other.read()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_that_of_a_living_process_stays_and_that_of_a_killed_one_goes_at_once(tmp_path, subprocess_environment):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=subprocess_environment
    )
    assert process.stdout is not None
    folder = process.stdout.readline().strip()
    remove_abandoned(tmp_path, "spool-*")
    assert [str(path) for path in tmp_path.iterdir()] == [folder]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    remove_abandoned(tmp_path, "spool-*")
    assert list(tmp_path.iterdir()) == []
