"""``hetcomp run``, ``hetcomp teachers`` and ``run_recbole``: what they refuse, and what they do."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import click
import pytest

from recbole_hetcomp import cli

FAST = {"epochs": 1, "eval_step": 1, "eval_batch_size": 2**21, "train_batch_size": 8192, "embedding_size": 4}


def arguments(**settings: object) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


@pytest.fixture(scope="module")
def command(subprocess_environment):
    """``command(function, *arguments)``: a command of the package in a process of its own."""

    def run(function: str, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        code = f"import sys; from recbole_hetcomp.cli import {function}; sys.exit({function}())"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            env=subprocess_environment,
            cwd=folder or Path.cwd(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--snapshots=0"], "snapshots=0 is not allowed: at least 1"),
        (["--teachers=[BPR,LightGNC]"], "unknown teacher 'LightGNC'; did you mean 'LightGCN'?"),
        (["--discrepency_gain=teacher"], "unknown setting 'discrepency_gain'; did you mean 'discrepancy_gain'?"),
        (["--student_backbone", "Pop"], "student_backbone='Pop'"),
        (["--K=9999"], "K=9999 is larger than the catalogue: at most 1682"),
        (["--model=HetCmp"], "HetCmp"),
        (["--config_files=missing.yaml"], "'missing.yaml' does not exist"),
        (["--dataset=no-such-data"], "no-such-data"),
        (["seed=3"], "'seed=3' is not understood"),
        (["-x"], "'-x' is not understood"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_setting_is_a_message_on_stderr(capsys, words, message):
    assert cli.main(["run", *words]) == (1 if words == ["--K=9999"] else 2)  # the catalogue is known to the run only
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in captured.err


def test_the_command_fails_without_a_traceback(command, tmp_path):
    done = command("main", "run", "--snapshots=0", folder=tmp_path)
    assert done.returncode == 2
    assert "error: snapshots=0 is not allowed" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_run_recbole_runs_a_model_of_recboles(command, tmp_path):
    words = ["--model=BPR", "--dataset=ml-100k", *arguments(**FAST), "--show_progress=False"]
    done = command("run_recbole_main", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "test result" in done.stderr
    assert done.stdout.startswith("BPR on ml-100k (test split): recall@10 ")
    assert "embedding_size" not in done.stderr  # all settings are in the log file
    (log,) = (tmp_path / "log" / "BPR").glob("*.log")
    assert "embedding_size = 4" in log.read_text()
    assert list((tmp_path / "saved").glob("BPR-*.pth"))


def test_hetcomp_run_does_the_whole_job(finished_run, tmp_path):
    settings = {**finished_run.settings, "epochs": 3, "result_dir": tmp_path / "out", "checkpoint_dir": tmp_path / "ck"}
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({key: value for key, value in settings.items() if not isinstance(value, Path)}))
    words = [f"--config_files={file}", f"--result_dir={tmp_path / 'out'}", f"--checkpoint_dir={tmp_path / 'ck'}"]
    assert cli.main(["run", *words]) == 0
    assert (tmp_path / "out" / "results.json").is_file()


def test_hetcomp_teachers_trains_the_ensemble_only(finished_run, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({**finished_run.settings, "checkpoint_dir": str(tmp_path / "ck")}))
    assert cli.main(["teachers", f"--config_files={file}"]) == 0
    assert list((tmp_path / "ck").glob("TeacherEnsemble*.pth"))


def test_a_run_is_asked_about_without_a_word(log):
    from recbole_hetcomp.recbole_bridge.quick_start import check_run

    check_run("HetComp", "ml-100k", (), {"mystery": 1, "local_rank": 0})
    assert log == []
    check_run("HetComp", "ml-100k", (), {"snapshots": 2})
    with pytest.raises(ValueError, match="snapshots=0"):
        check_run("HetComp", "ml-100k", (), {"snapshots": 0})
    logging.getLogger().warning("loud again")
    assert log == ["loud again"]


def test_settings_win_over_files_and_the_command_line_stays_as_it_was(finished_run, tmp_path, monkeypatch):
    from recbole_hetcomp.recbole_bridge import quick_start

    seen = []
    monkeypatch.setattr(quick_start, "run", lambda *given: seen.append((given, sys.argv[1:])))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)  # elsewhere bars are switched off
    monkeypatch.setattr("sys.argv", ["hetcomp", "run", "--seed=3"])
    (tmp_path / "mine.yaml").write_text("K: 30")
    words = [f"--config_files={tmp_path / 'mine.yaml'}", "--seed=3", "--K", "20"]
    assert cli.main(["run", *words]) == 0
    assert seen == [(("HetComp", "ml-100k", [str(tmp_path / "mine.yaml")], {"seed": 3, "K": 20}), [])]
    assert sys.argv == ["hetcomp", "run", "--seed=3"]


@pytest.mark.parametrize(
    ("files", "words", "expected"),
    [
        ({"a.yaml": "model: CML\ndataset: mine"}, [], ("CML", "mine")),
        ({"a.yaml": "model: CML", "b.yaml": "model: BPR"}, [], ("BPR", "ml-100k")),
        ({"a.yaml": "model: CML"}, ["--model=EASE", "--dataset=other"], ("EASE", "other")),
        ({"a.yaml": "seed: 1"}, [], ("BPR", "ml-100k")),
    ],
)
def test_run_recbole_takes_model_and_data_set_from_config_files(files, words, expected, tmp_path, monkeypatch):
    from recbole_hetcomp.cli import run_recbole

    for name, text in files.items():
        (tmp_path / name).write_text(text)
    seen = []
    monkeypatch.setattr(run_recbole, "train", lambda model, dataset, *_: seen.append((model, dataset)) or 0)
    given = "--config_files=" + " ".join(str(tmp_path / name) for name in files)
    assert cli.run_recbole_main([given, *words]) == 0
    assert seen == [expected]


def test_a_config_file_that_is_no_yaml_is_a_wrong_call(tmp_path, capsys):
    (tmp_path / "broken.yaml").write_text("a: [")
    assert cli.run_recbole_main([f"--config_files={tmp_path / 'broken.yaml'}"]) == 2
    assert "error: while parsing" in capsys.readouterr().err


def test_config_files_may_be_given_in_one_word_or_in_several(tmp_path):
    from recbole_hetcomp.cli import options

    files = []
    for name in ("a", "b", "c"):
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text("epochs: 2\n")
    given: list[tuple[str, ...]] = []

    @click.command()
    @options.config_files()
    def command(config_files: tuple[str, ...]) -> None:
        given.append(config_files)

    a, b, c = map(str, files)
    for words in ([f"--config_files={a} {b}", f"--config_files={c}"], ["--config_files", a, f"--config_files={b} {c}"]):
        command.main(words, standalone_mode=False)
    command.main([], standalone_mode=False)
    assert given == [(a, b, c), (a, b, c), ()]


def test_a_dry_run_checks_and_trains_nothing(capsys):
    assert cli.main(["run", "--dry_run", *arguments(**FAST)]) == 0
    assert capsys.readouterr().out == "HetComp on ml-100k: settings are sound, nothing is trained\n"
    assert cli.main(["run", "--dry_run", "--snapshots=0"]) == 2
    assert "snapshots=0 is not allowed: at least 1" in capsys.readouterr().err
    assert not {"saved", "store", "results"} & {path.name for path in Path.cwd().iterdir()}
