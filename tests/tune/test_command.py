"""``hetcomp tune``, ``hetcomp teachers --parallel``, and what ``run_recbole`` takes from a config file."""

from __future__ import annotations

import json

import pytest

from recbole_hetcomp import cli


def test_tune_has_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["tune", "--help"])
    assert exit_.value.code == 0
    page = capsys.readouterr().out
    for word in (
        "--space", "--search", "--scheduler", "--num_samples", "--max_concurrent", "--cpus_per_trial", "--epochs",
        "--gpus_per_trial", "--time_budget", "--seed", "--output", "--address", "--storage", "--resume", "--dashboard",
    ):  # fmt: skip
        assert word in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model=HetCmp"], "HetCmp"),
        (["--model=Pop"], "there is no search space for 'Pop'"),
        (["--space=missing.yaml"], "missing.yaml"),
        (["--num_samples=0"], "num_samples=0 is not allowed: at least 1"),
        (["--gpus_per_trial=1.5"], "a fraction below 1, or a whole number"),
        (["--K=9999999", "--snapshots=0"], "snapshots=0 is not allowed"),
        (["--resume"], "holds no sweep to go on with"),
        (["--config_files=missing.yaml"], "'missing.yaml' does not exist"),
        (["seed=3"], "'seed=3' is not understood"),
        (["--scheduler=pbt", "--space=plain.yaml"], "no parameter of the space may be"),
        (["--search=grid"], "search=grid needs a space of choices only"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_a_message_and_nothing_runs(capsys, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.yaml").write_text("K: {choice: [20]}")
    assert cli.main(["tune", "--output=out", *words]) != 0
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out" / "trials").exists()


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
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    seen = []
    monkeypatch.setattr(cli, "_run", lambda arguments, rest: seen.append((arguments.model, arguments.dataset)) or 0)
    given = "--config_files=" + " ".join(str(tmp_path / name) for name in files)
    assert cli.run_recbole_main([given, *words]) == 0
    assert seen == [expected]


def test_teachers_in_parallel_are_found_by_the_ensemble(quick, tmp_path, capsys, log):
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(quick(store_dir=str(tmp_path / "store"), checkpoint_dir=str(tmp_path / "ck"))))
    assert cli.main(["teachers", "--parallel", f"--config_files={file}"]) == 0
    said = capsys.readouterr().out
    assert said.count(": trained in") == 2
    assert len([line for line in log if "taken from the store, not trained" in line]) == 2
    assert list((tmp_path / "ck").glob("TeacherEnsemble*.pth"))
