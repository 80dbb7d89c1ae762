"""The commands: help, lists, messages on stderr, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recbole_hetcomp import cli
from recbole_hetcomp.version import __version__

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


# --- help ---


def test_help_is_a_real_page(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--help"])
    assert exit_.value.code == 0
    page = capsys.readouterr().out
    for word in ("usage: hetcomp", "run", "teachers", "models", "store", "WWW 2023", "results/"):
        assert word in page
    assert len(page.splitlines()) > 12


@pytest.mark.parametrize("name", ["run", "teachers", "models", "store"])
def test_every_command_has_help(capsys, name):
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, "--help"])
    assert exit_.value.code == 0
    assert f"usage: hetcomp {name}" in capsys.readouterr().out


def test_run_recbole_has_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.run_recbole_main(["--help"])
    assert exit_.value.code == 0
    page = capsys.readouterr().out
    assert "--model" in page
    assert "--name=value" in page


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["fly"]])
def test_no_or_an_unknown_command_is_an_error_with_usage(capsys, words):
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 2
    assert "usage: hetcomp" in capsys.readouterr().err


# --- lists ---


def test_models_lists_what_may_teach(capsys):
    assert cli.main(["models"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert lines["CML"] == "plugin, may teach"
    assert lines["LightGCN"] == "may teach"
    assert lines["HetComp"] == "plugin"
    assert {"BPR", "NeuMF", "MultiVAE", "ItemVAE", "EASE", "ItemKNN"} <= set(lines)


def test_store_lists_entries_and_finds_the_damaged_one(finished_run, capsys, tmp_path):
    import shutil

    store = tmp_path / "store"
    shutil.copytree(finished_run.settings["store_dir"], store)
    assert cli.main(["store", f"--store_dir={store}"]) == 0
    page = capsys.readouterr().out
    for name in ("BPR", "EASE", "NoKD"):
        assert f"/{name}-" in page
    assert page.count("ok ") == len(page.splitlines())
    file = min(store.glob("*/EASE-*/trajectory.safetensors"))  # the store is shared: there may be more
    file.write_bytes(file.read_bytes()[:-1])
    assert cli.main(["store", f"--store_dir={store}"]) == 1
    damaged = [line for line in capsys.readouterr().out.splitlines() if line.startswith("DAMAGED")]
    assert len(damaged) == 1
    assert "EASE" in damaged[0]


def test_an_empty_store_is_no_error(capsys, tmp_path):
    assert cli.main(["store", f"--store_dir={tmp_path / 'none'}"]) == 0


# --- running ---


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
    assert cli.main(["run", *words]) != 0
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in captured.err


def test_the_command_fails_without_a_traceback(command, tmp_path):
    done = command("main", "run", "--snapshots=0", folder=tmp_path)
    assert done.returncode == 1
    assert "error: snapshots=0 is not allowed" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seed", "1"], ["--seed=1"]),
        (["--seed=1", "--K", "20"], ["--seed=1", "--K=20"]),
        (["--alpha", "-1"], ["--alpha=-1"]),
        (["--teachers", "[BPR,", "EASE]"], ["--teachers=[BPR,", "EASE]"]),
        ([], []),
    ],
)
def test_settings_may_be_given_in_two_ways(words, expected):
    assert cli._normalise(words) == expected


def test_run_recbole_runs_a_model_of_recboles(command, tmp_path):
    words = ["--model=BPR", "--dataset=ml-100k", *arguments(**FAST), "--show_progress=False"]
    done = command("run_recbole_main", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "test result" in done.stderr
    assert "embedding_size\x1b[0m =\x1b[1;33m 4" in done.stderr or "embedding_size = 4" in done.stderr
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
