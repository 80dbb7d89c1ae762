"""Ctrl-C and SIGTERM: one line that says how to go on, and the exit status of the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole_hetcomp.signals import ending_in_order, handlers_kept, interrupted_status, take_back

RUN = "import sys; from recbole_hetcomp.cli import main; sys.exit(main())"
SLOW = ["run", "--teachers=[BPR]", "--epochs=5000", "--show_progress=False"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_ends_in_order(number, status, subprocess_environment, tmp_path):
    log = tmp_path / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *SLOW], cwd=tmp_path, env=subprocess_environment, stdout=stream, stderr=stream
        )
        deadline = time.monotonic() + 200
        while "plan: 1 teacher, " not in log.read_text():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(180) == status
    text = log.read_text()
    assert text.rstrip().endswith("interrupted: what is finished is kept, the same command goes on")
    assert "Traceback" not in text
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_terminated_sweep_ends_as_one_that_is_interrupted(subprocess_environment, tmp_path):
    log = tmp_path / "log.txt"
    words = ["tune", "--model=BPR", "--num_samples=2", "--epochs=5000", "--output=sweep", "--max_concurrent=1"]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *words], cwd=tmp_path, env=subprocess_environment, stdout=stream, stderr=stream
        )
        deadline = time.monotonic() + 300
        while not any(file.stat().st_size for file in Path(tmp_path, "sweep").glob("trials/*/result.json")):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143, log.read_text()[-3000:]
    text = log.read_text()
    assert "--resume" in text
    assert "Traceback" not in text
    time.sleep(1)
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout.split()
    assert [pid for pid in left if int(pid) != os.getpid()] == []


def test_the_outer_of_two_contexts_outlasts_the_inner_one():
    before = signal.getsignal(signal.SIGTERM)
    with ending_in_order():
        ours = signal.getsignal(signal.SIGTERM)
        with ending_in_order():
            pass
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray does on import
        take_back()
        assert signal.getsignal(signal.SIGTERM) is ours
    assert signal.getsignal(signal.SIGTERM) is before
    take_back()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_is_taken_over_meanwhile_is_given_back(number):
    before = signal.getsignal(number)
    with handlers_kept():
        signal.signal(number, signal.SIG_IGN)  # as a sweep of Ray's does, with a handler that swallows the next one
    assert signal.getsignal(number) == before


def test_the_status_is_of_the_signal_that_ended_the_context():
    for send, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with pytest.raises(KeyboardInterrupt), ending_in_order():
            signal.raise_signal(send)
        assert interrupted_status() == status
