"""What ``hetcomp tune`` and ``hetcomp teachers --parallel`` refuse, and the status they end with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from recbole_hetcomp import cli


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
    assert cli.main(["tune", "--output=out", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out" / "trials").exists()


def test_a_folder_with_a_sweep_is_a_wrong_call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "trials" / "one").mkdir(parents=True)
    (tmp_path / "out" / "sweep.json").write_text("{}")
    assert cli.main(["tune", "--output=out"]) == 2
    assert "--resume goes on with it; or give another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("complete", "best", "status"), [(True, object(), 0), (True, None, 1), (False, object(), 130), (False, None, 130)]
)
def test_the_status_says_how_a_sweep_ended(monkeypatch, complete, best, status):
    from recbole_hetcomp.tune import sweep

    plans = []

    def run_sweep(plan, resume, say):
        plans.append(plan)
        return SimpleNamespace(complete=complete, best=best)

    monkeypatch.setattr(sweep, "run_sweep", run_sweep)
    assert cli.main(["tune", "--epochs=30", "--seed", "7", "--num_samples=4", "--K", "20"]) == status
    (plan,) = plans
    assert (plan.epochs, plan.seed, plan.options.num_samples) == (30, 7, 4)
    assert plan.job.settings["K"] == 20
    assert plan.options.output == "results/ml-100k/tune-HetComp"


def test_an_interrupted_sweep_says_how_it_goes_on(monkeypatch, capsys):
    from recbole_hetcomp.tune import sweep

    def run_sweep(plan, resume, say):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run_sweep", run_sweep)
    assert cli.main(["tune", "--output=out"]) == 130
    assert "interrupted: hetcomp tune --resume --output out goes on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--store_dir=s3://bucket/x", "store_dir='s3://bucket/x' is not allowed here: only hetcomp tune mirrors a URI"),
        ("--cpus_per_teacher=0", "cpus_per_teacher=0.0 is not allowed: it must be greater than 0"),
        ("--snapshots=0", "snapshots=0 is not allowed"),
    ],
)
def test_teachers_in_parallel_are_refused_before_ray_starts(capsys, word, message):
    assert cli.main(["teachers", "--parallel", word]) == 2
    assert message in capsys.readouterr().err
