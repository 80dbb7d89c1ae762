"""Threads by the work's size, by what is allowed, and by what others leave free; put back afterwards."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_hetcomp import threads
from recbole_hetcomp.threads import NUMBER, WAITING, WORK_OF_A_THREAD, Processors, Threads, threads_for

LARGE, SMALL = 100 * WORK_OF_A_THREAD, WORK_OF_A_THREAD // 2


@pytest.fixture
def free(monkeypatch):
    """A machine with four processors, of which a test says how many are free; torch has four threads."""
    state = SimpleNamespace(allowed=4, now=4.0, asked=0)

    def look():
        state.asked += 1
        return state.now

    monkeypatch.delenv(NUMBER, raising=False)
    monkeypatch.setattr(threads, "processors", lambda: SimpleNamespace(allowed=state.allowed, free=look), raising=True)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield state
    torch.set_num_threads(before)


@given(st.integers(0, 2**40), st.integers(1, 256), st.floats(0, 256))
def test_threads_are_some_and_no_more_than_allowed_free_or_useful(work, most, unused):
    found = threads_for(work, most, unused)
    assert 1 <= found <= most
    assert found == 1 or (found * WORK_OF_A_THREAD <= work and found <= unused + 0.3)


@given(st.integers(0, 2**40), st.integers(1, 64), st.floats(0, 64), st.floats(0, 8))
def test_more_free_processors_never_mean_fewer_threads(work, most, unused, more):
    assert threads_for(work, most, unused) <= threads_for(work, most, unused + more)


@pytest.mark.parametrize(
    ("work", "now", "expected"), [(SMALL, 4.0, 1), (LARGE, 4.0, 4), (LARGE, 1.8, 2), (LARGE, 0.1, 1)]
)
def test_number_while_at_work_and_after(free, work, now, expected):
    free.now = now
    with Threads(work, "work"):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 4


def test_small_work_does_not_look_at_the_machine(free):
    with Threads(SMALL, "work") as chosen:
        chosen.choose()
    assert free.asked == 0


def test_it_is_chosen_anew(free):
    with Threads(LARGE, "work") as chosen:
        seen = [torch.get_num_threads()]
        for free.now in (1.0, 2.0, 4.0):
            chosen.choose()
            seen.append(torch.get_num_threads())
    assert seen == [4, 1, 2, 4]


def test_what_torch_had_is_a_limit(free):
    torch.set_num_threads(3)
    with Threads(LARGE, "work"):
        assert torch.get_num_threads() == 3
    free.allowed = 2
    with Threads(LARGE, "work"):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3


def test_the_environment_wins(free, monkeypatch, caplog):
    monkeypatch.setenv(NUMBER, "4")
    with caplog.at_level(logging.INFO), Threads(SMALL, "work"):
        assert torch.get_num_threads() == 4
    assert caplog.messages == ["work: 4 threads, as OMP_NUM_THREADS is set"]


def test_a_gpu_needs_no_choice(free, caplog):
    with caplog.at_level(logging.DEBUG), Threads(SMALL, "work", on_processors=False):
        assert torch.get_num_threads() == 4
    assert caplog.messages == []


def test_number_is_put_back_after_an_error(free):
    with pytest.raises(ZeroDivisionError), Threads(SMALL, "work"):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ("work", "now", "allowed", "line"),
    [
        (SMALL, 4.0, 4, "work: 1 thread, as its steps are small"),
        (LARGE, 2.5, 4, "work: 2 threads, as 2.5 of 4 processors are free"),
        (LARGE, 1.0, 1, "work: 1 thread, as no more are allowed"),
    ],
)
def test_log_says_what_was_chosen_once(free, caplog, work, now, allowed, line):
    free.now, free.allowed = now, allowed
    with caplog.at_level(logging.INFO), Threads(work, "work") as chosen:
        chosen.choose()
        free.now = 0.0
        chosen.choose()
    assert caplog.messages == [line]


def test_processors_that_others_use_are_not_free(monkeypatch):
    """Two processors, ten seconds: 12 of 20 seconds idle, 3 used here, so others used 5 and half of one is taken."""
    clock = SimpleNamespace(now=100.0, idle=(5.0, 7.0), own=1.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(time, "process_time", lambda: clock.own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(
        psutil,
        "cpu_times",
        lambda percpu: [
            SimpleNamespace(idle=clock.idle[0]),
            SimpleNamespace(idle=1e9),
            SimpleNamespace(idle=clock.idle[1], iowait=1.0),
        ],
    )
    machine = Processors()
    clock.now, clock.idle, clock.own = 110.0, (9.0, 15.0), 4.0
    assert machine.free() == pytest.approx(1.5)
    clock.now, clock.own = 110.1, 4.1
    assert machine.free() == pytest.approx(1.5)  # asked again too soon to know better


def test_the_real_machine_has_processors():
    machine = Processors()
    assert machine.allowed >= 1
    assert 0.0 <= machine.free() <= psutil.cpu_count() * 1.2


@pytest.mark.parametrize("given_by_user", [None, *WAITING])
def test_commands_set_how_threads_wait_before_torch_is_loaded(given_by_user):
    """In a process of its own: the command has not loaded torch, and what a user set stays."""
    script = (
        "import os, sys, recbole_hetcomp.cli as cli; cli.main(['--version']); assert 'torch' not in sys.modules;"
        f"print([os.environ.get(name) for name in {WAITING!r}])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    if given_by_user:
        environment[given_by_user] = "7"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    expected = (
        [None, "10000", "1"] if given_by_user is None else ["7" if name == given_by_user else None for name in WAITING]
    )
    assert done.stdout.splitlines()[-1] == str(expected)


def test_a_run_says_what_it_chose_and_puts_it_back(tiny_run, tmp_path, monkeypatch):
    """ml-100k is small: one thread for the teacher and for the students, whatever the machine has."""
    monkeypatch.delenv(NUMBER, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        settings = {"teachers": ["BPR"], "epochs": 1, "eval_step": 1, "no_kd_config": {"epochs": 1, "eval_step": 1}}
        run = tiny_run(tmp_path, **settings, store_dir=str(tmp_path / "store"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    said = [line for line in run.log if "thread" in line]
    reason = "1 thread, as its steps are small" if Processors().allowed > 1 else "1 thread, as no more are allowed"
    assert said == [f"training of {name}: {reason}" for name in ("BPR", "BPR", "HetComp")]  # the second: alone
