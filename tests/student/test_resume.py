"""A run that was killed goes on when it is started again, and ends bit for bit as one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.locks import BusyError, Lock
from recbole_hetcomp.recbole_bridge.checkpoint import read_checkpoint
from recbole_hetcomp.student.resume import RESUME_FILE, random_state, restore_random_state
from recbole_hetcomp.student.trainer import DistillingTrainer
from recbole_hetcomp.teachers.pool import TeacherPool

RUN = """
import json, sys
sys.argv = sys.argv[:1]
from recbole.quick_start import run_recbole
import recbole_hetcomp
run_recbole(model="HetComp", dataset="ml-100k", config_dict=json.load(open("settings.json")))
"""
TIMES = {"seconds", "settings"}  # settings hold the folders


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two nested values are not bit for bit the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        if set(one) != set(other):
            return [f"{place}: {sorted(set(one) ^ set(other), key=str)}"]
        return [line for key in one if key not in TIMES for line in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        return [line for n, pair in enumerate(zip(one, other)) for line in differences(*pair, f"{place}/{n}")]
    if isinstance(one, torch.Tensor):
        same = (
            one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
    else:
        same = one == other
    return [] if same else [f"{place}: {one} and {other}"]


def assert_same_run(one: Path, other: Path) -> None:
    """The saved student, optimizer and curriculum included, and everything reported but times and folders."""
    files = [next((folder / "checkpoints").glob("*HetComp*.pth")) for folder in (one, other)]
    assert files[0].name == files[1].name
    checkpoints = [torch.load(file, weights_only=True) for file in files]
    for checkpoint in checkpoints:
        checkpoint.pop("config")  # holds the folders
    assert differences(*checkpoints) == []
    results = [json.loads((folder / "results" / "results.json").read_text()) for folder in (one, other)]
    assert differences(*results) == []


@pytest.fixture(scope="module")
def long_settings() -> dict[str, Any]:
    """Enough epochs for a kill to hit one, enough curriculum steps for its state to matter."""
    return {"epochs": 45, "eval_step": 3, "p": 2, "stopping_step": 50, "alpha_decay": 0.999}


@pytest.fixture(scope="module")
def uninterrupted(tiny_run, finished_run, long_settings) -> Any:
    return tiny_run(**long_settings)


def resume_epoch(folder: Path) -> int:
    """The epoch in the resume file, -1 while there is none."""
    file = folder / "results" / RESUME_FILE
    return torch.load(file, weights_only=True)["epoch"] if file.exists() else -1


def test_a_killed_process_goes_on_and_ends_the_same(
    uninterrupted, tiny_settings, long_settings, subprocess_environment, tmp_path
):
    store = uninterrupted.settings["store_dir"]
    settings = tiny_settings(tmp_path, **long_settings, store_dir=store)
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    command = {"args": [sys.executable, "-c", RUN], "cwd": tmp_path, "env": subprocess_environment}
    with (tmp_path / "killed.log").open("w") as log:
        process = subprocess.Popen(**command, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while resume_epoch(tmp_path) < 11:
            assert process.poll() is None, (tmp_path / "killed.log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 11 <= resume_epoch(tmp_path) < 44
    assert not (tmp_path / "results" / "results.json").exists()

    again = subprocess.run(**command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "resumed at epoch" in again.stderr
    assert "epoch 0 training" not in again.stderr
    assert again.stderr.count("taken from the store, not trained") == 3
    assert_same_run(uninterrupted.folder, tmp_path)
    assert resume_epoch(tmp_path) == -1  # a finished run leaves nothing to resume


class Killed(Exception):
    """Stands for a kill where a process of its own would cost seconds."""


def interrupted(monkeypatch, tiny_run, folder: Path, after: int, **settings: Any) -> None:
    """Run until the first validation in or after an epoch, by RecBole's callback, and stop there."""
    fit = DistillingTrainer.fit

    def killing(self: Any, *arguments: Any, **keywords: Any) -> Any:
        def callback(epoch: int, score: float) -> None:
            if epoch >= after:
                raise Killed

        return fit(self, *arguments, **{**keywords, "callback_fn": callback})

    with monkeypatch.context() as patch:
        patch.setattr(DistillingTrainer, "fit", killing)
        with pytest.raises(Killed):
            tiny_run(folder, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"base_loss_weight": 0.5},
        {"base_loss_weight": 0.5, "student_backbone": "MultiVAE", "total_anneal_steps": 20, "train_batch_size": 256},
        {"student_backbone": "LightGCN", "user_sampling": "interaction", "rest_sample_num": 30},
        {"curriculum": "none", "own_list_weight": 5.0, "own_list_from": 0.25, "own_list_every": 2},
    ],
    ids=["base-loss", "autoencoder", "graph-sampled-rest", "own-list"],
)
def test_every_kind_of_run_resumes_to_the_bit(monkeypatch, tiny_run, finished_run, tmp_path, settings):
    common = {"compare_no_kd": False, "train_batch_size": 16384, "user_batch_size": 256}
    short = {"epochs": 4, "eval_step": 1, "p": 1, **common, **settings}
    whole = tiny_run(**short)
    interrupted(monkeypatch, tiny_run, tmp_path, after=1, **short)
    assert resume_epoch(tmp_path) == 1
    resumed = tiny_run(tmp_path, **short)
    assert any(line.startswith("resumed at epoch 2") for line in resumed.log)
    assert_same_run(whole.folder, tmp_path)
    assert resumed.returned == whole.returned


def test_a_run_killed_after_its_last_validation_is_only_evaluated(monkeypatch, tiny_run, finished_run, tmp_path):
    interrupted(monkeypatch, tiny_run, tmp_path, after=11)
    assert resume_epoch(tmp_path) == 11
    resumed = tiny_run(tmp_path)
    assert not any(" training [" in line for line in resumed.log)
    assert_same_run(finished_run.folder, tmp_path)
    assert resumed.returned == finished_run.returned


def test_a_run_killed_when_early_stopping_had_decided_does_not_train_on(monkeypatch, tiny_run, finished_run, tmp_path):
    validate = DistillingTrainer._valid_epoch

    def falling(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return -float(len(self.history)), validate(self, *arguments, **keywords)[1]

    monkeypatch.setattr(DistillingTrainer, "_valid_epoch", falling)
    settings = {"epochs": 60, "eval_step": 1, "p": 1, "stopping_step": 0, "alpha_decay": 0.1, "compare_no_kd": False}
    whole = tiny_run(**settings)
    last = json.loads((whole.results / "results.json").read_text())["history"][-1]["epoch"]
    assert 2 < last < 20
    interrupted(monkeypatch, tiny_run, tmp_path, after=last, **settings)
    resumed = tiny_run(tmp_path, **settings)
    assert not any(" training [" in line for line in resumed.log)
    assert_same_run(whole.folder, tmp_path)


def test_a_run_killed_among_its_teachers_keeps_the_finished_ones(monkeypatch, tiny_run, finished_run, tmp_path):
    own = {"store_dir": str(tmp_path / "store"), "epochs": 3, "compare_no_kd": False}
    train = TeacherPool._train

    def killing(self: Any, lesson: Any) -> Any:
        if lesson.label == "EASE":
            raise Killed
        return train(self, lesson)

    with monkeypatch.context() as patch:
        patch.setattr(TeacherPool, "_train", killing)
        with pytest.raises(Killed):
            tiny_run(tmp_path, **own)
    run = tiny_run(tmp_path, **own)
    assert any("BPR: taken from the store, not trained" in line for line in run.log)
    assert any("EASE: trained in" in line for line in run.log)


def test_other_settings_do_not_resume(monkeypatch, tiny_run, finished_run, tmp_path):
    interrupted(monkeypatch, tiny_run, tmp_path, after=2)
    other = tiny_run(tmp_path, learning_rate=0.02)
    assert any("not resumed" in line for line in other.log)
    assert any("epoch 0 training" in line for line in other.log)


def test_resume_false_starts_anew(monkeypatch, tiny_run, finished_run, tmp_path):
    interrupted(monkeypatch, tiny_run, tmp_path, after=2)
    other = tiny_run(tmp_path, resume=False)
    assert any("epoch 0 training" in line for line in other.log)
    assert other.returned == finished_run.returned


def best_file(folder: Path) -> Path:
    return next((folder / "checkpoints").glob("*HetComp*.pth"))


def flip(file: Path, place: float) -> None:
    """Change one bit of a file, at a share of its length."""
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x10
    file.write_bytes(content)


def spoil(file: Path, how: str, foreign: Path) -> None:
    if how == "missing":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:1000])
    elif how == "altered":
        flip(file, 0.5)
    elif how == "foreign":
        file.write_bytes(foreign.read_bytes())
    elif how == "a folder":
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("how", ["truncated", "altered"])
def test_a_damaged_resume_file_is_named_and_the_run_starts_anew(monkeypatch, tiny_run, finished_run, tmp_path, how):
    interrupted(monkeypatch, tiny_run, tmp_path, after=2)
    spoil(tmp_path / "results" / RESUME_FILE, how, tmp_path)
    run = tiny_run(tmp_path)
    assert any(f"{RESUME_FILE} is damaged" in line and line.endswith("starts anew") for line in run.log)
    assert run.returned == finished_run.returned
    assert_same_run(finished_run.folder, tmp_path)


@pytest.mark.parametrize("how", ["missing", "truncated", "altered", "foreign"])
def test_a_best_model_that_is_not_the_run_s_is_not_gone_on_from(monkeypatch, tiny_run, finished_run, tmp_path, how):
    other = tiny_run(learning_rate=0.02, epochs=3)
    interrupted(monkeypatch, tiny_run, tmp_path, after=2)
    spoil(best_file(tmp_path), how, best_file(other.folder))
    run = tiny_run(tmp_path)
    told = [line for line in run.log if "-HetComp-" in line and ("starts anew" in line or "written again" in line)]
    assert len(told) == 1, run.log
    assert_same_run(finished_run.folder, tmp_path)
    assert run.returned == finished_run.returned


@pytest.mark.parametrize("how", ["missing", "altered", "foreign"])
def test_a_best_model_that_changes_before_the_test_is_not_reported(monkeypatch, tiny_run, finished_run, tmp_path, how):
    other = tiny_run(learning_rate=0.02, epochs=3)
    fit = DistillingTrainer.fit

    def spoiling(self: Any, *arguments: Any, **keywords: Any) -> Any:
        result = fit(self, *arguments, **keywords)
        spoil(Path(self.saved_model_file), how, best_file(other.folder))
        return result

    with monkeypatch.context() as patch:
        patch.setattr(DistillingTrainer, "fit", spoiling)
        with pytest.raises(DamagedFileError, match="the same command trains it again"):
            tiny_run(tmp_path)
    assert not (tmp_path / "results" / "results.json").exists()
    run = tiny_run(tmp_path)
    assert run.returned == finished_run.returned


def test_no_flipped_byte_changes_a_result_in_silence(monkeypatch, tiny_run, finished_run, tmp_path):
    """Every flip of a bit in a checkpoint is found, or changes nothing of what is read."""
    interrupted(monkeypatch, tiny_run, tmp_path, after=2)
    for file in (tmp_path / "results" / RESUME_FILE, best_file(tmp_path)):
        content = file.read_bytes()
        before = read_checkpoint(file)
        found = 0
        for number in range(100):
            flip(file, number / 99)
            try:
                read = read_checkpoint(file)
            except DamagedFileError:
                found += 1
            else:
                assert differences(before, read) == []
            file.write_bytes(content)
        assert found > 50


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path, caplog):
    file = tmp_path / ".lock"
    holding = f"""
from pathlib import Path
from recbole_hetcomp.locks import Lock
with Lock(Path({str(file)!r}), "run one"):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        lock = Lock(file, "run one")
        with pytest.raises(BusyError, match=rf"run one: process {process.pid} on .* works on it"):
            lock.acquire(wait=False)
        threading.Timer(0.5, process.send_signal, [signal.SIGKILL]).start()  # a kill frees it
        with caplog.at_level("WARNING"), lock:
            assert f"run one: waiting, process {process.pid} on " in caplog.text
    assert not (tmp_path / ".lock.holder").exists()


def test_a_run_s_files_are_locked_until_it_has_reported(monkeypatch, tiny_run, finished_run, tmp_path):
    seen: list[str] = []
    report = DistillingTrainer.report
    asking = "import sys; from pathlib import Path; from recbole_hetcomp.locks import Lock; \
Lock(Path(sys.argv[1]), 'it').acquire(wait=False)"

    def free(place: Path) -> bool:
        asked = subprocess.run([sys.executable, "-c", asking, str(place)], capture_output=True, text=True, check=False)
        seen.append(asked.stderr)
        return asked.returncode == 0

    def reporting(self: Any, *arguments: Any) -> Any:
        saved = Path(self.saved_model_file)
        assert not free(saved.with_name(f".{saved.name}.lock"))
        assert not free(tmp_path / "results" / ".lock")
        return report(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(DistillingTrainer, "report", reporting)
        tiny_run(tmp_path)
    assert all("BusyError" in text for text in seen)
    assert free(tmp_path / "results" / ".lock")


def test_random_states_come_back():
    import random

    import numpy as np

    generator = torch.Generator().manual_seed(1)

    def draws() -> list[float]:
        values = torch.rand(1), torch.rand(1, generator=generator), torch.randn(1)
        return [float(value) for value in values] + [
            random.random(),
            random.gauss(0, 1),
            np.random.rand(),
            np.random.randn(),
        ]

    draws()
    state = random_state(generator)
    first, second = draws(), draws()
    restore_random_state(state, generator)
    assert [draws(), draws()] == [first, second]
