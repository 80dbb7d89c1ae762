"""Sweeps of seconds on a local Ray."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from recbole_hetcomp.tune.options import SweepOptions
from recbole_hetcomp.tune.sweep import SweepResult, run_sweep
from recbole_hetcomp.tune.sweep_plan import load_plan, make_plan

pytestmark = pytest.mark.usefixtures("local_ray")


def sweep(folder: Path, space: str, settings: dict[str, Any], model: str = "HetComp", **options: Any):
    """A sweep's result and what it said."""
    (folder.parent / f"{folder.name}.space.yaml").write_text(space, encoding="utf-8")
    given = {
        "space": str(folder.parent / f"{folder.name}.space.yaml"),
        "scheduler": "none",
        "max_failures": 0,
        **options,
    }
    said: list[str] = []
    plan = make_plan(model, "ml-100k", SweepOptions(output=str(folder), **given), settings=settings)
    return run_sweep(plan, say=said.append), said


@pytest.fixture(scope="module")
def finished(quick, tmp_path_factory, local_ray) -> tuple[SweepResult, list[str]]:
    """A grid of three trials, one of which cannot be run."""
    space = "K: {choice: [20, 9999, 50]}"
    folder = tmp_path_factory.mktemp("sweep")
    return sweep(folder / "out", space, quick(store_dir=str(folder / "store")), search="grid")


def test_a_trial_that_fails_is_recorded_and_the_sweep_goes_on(finished):
    result, said = finished
    assert result.complete
    statuses = {record.point["K"]: record.status for record in result.records}
    assert statuses == {20: "finished", 9999: "failed", 50: "finished"}
    failed = next(record for record in result.records if record.status == "failed")
    assert "K=9999 is larger than the catalogue" in failed.error
    assert any(failed.error in line for line in said)


def test_teachers_are_trained_once_before_the_trials(finished):
    result, said = finished
    assert len([line for line in said if ": trained in" in line]) == 2
    for record in result.records:
        text = (Path(record.folder) / "trial.log").read_text()
        assert ": trained in" not in text
        if record.status == "finished":
            assert text.count("taken from the store, not trained") == 2


def test_only_the_winner_is_tested(finished):
    result, _ = finished
    table = pd.read_csv(result.folder / "results.csv")
    assert table["test recall@50"].notna().sum() == 1
    assert table.loc[table["test recall@50"].notna(), "trial"].item() == result.best.trial
    assert table["best Recall@50"].iloc[0] == table["best Recall@50"].max()
    for file in (result.folder / "trials").glob("*/result.json"):
        assert all("test" not in json.loads(line) for line in file.read_text().splitlines())


def test_all_files_are_there(finished):
    result, _ = finished
    for name in ("results.csv", "results.parquet", "best.yaml", "report.html", "sweep.json", "test.json"):
        assert (result.folder / name).is_file()
    assert list((result.folder / "trials").glob("*/events.out.tfevents.*"))


def test_best_yaml_validates_the_same_outside_of_the_sweep(finished, tmp_path):
    from recbole_hetcomp import cli

    result, _ = finished
    words = [f"--config_files={result.folder / 'best.yaml'}", f"--result_dir={tmp_path}", "--show_progress=False"]
    assert cli.run_recbole_main([*words, f"--checkpoint_dir={tmp_path}", "--compare_no_kd=False"]) == 0
    row = json.loads((tmp_path / "results.json").read_text())["rows"][-1]
    assert row["name"] == "HetComp"
    assert row["valid"] == dict(result.best.valid)
    tested = next(record.test for record in result.records if record.test)
    assert {name: row[name] for name in tested} == dict(tested)


def test_a_finished_sweep_that_goes_on_does_nothing_again(finished):
    result, _ = finished
    logs = {file: file.read_text() for file in (result.folder / "trials").glob("*/trial.log")}
    said: list[str] = []
    again = run_sweep(load_plan(result.folder), resume=True, say=said.append)
    assert {r.trial: r.objective for r in again.records if r.status == "finished"} == {
        r.trial: r.objective for r in result.records if r.status == "finished"
    }
    assert again.best.trial == result.best.trial
    assert {file: file.read_text() for file in logs} == logs


def test_a_folder_with_a_sweep_is_not_overwritten(finished, quick):
    result, _ = finished
    with pytest.raises(FileExistsError, match="--resume goes on with it"):
        sweep(result.folder, "K: {choice: [20]}", quick())


def test_there_must_be_something_to_go_on_with(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sweep\.json is not there"):
        load_plan(tmp_path)


def test_a_sweep_over_teachers_trains_what_differs(quick, tmp_path):
    space = "teacher_config.ItemKNN.k: {choice: [30, 60]}"
    settings = quick(epochs=2, store_dir=str(tmp_path / "store"))
    result, said = sweep(tmp_path / "out", space, settings, search="grid")
    assert [record.status for record in result.records] == ["finished"] * 2
    trained = [line for line in said if ": trained in" in line]
    assert sorted(line.split(":")[0] for line in trained) == ["teacher EASE", "teacher ItemKNN", "teacher ItemKNN"]
    assert len({record.objective for record in result.records}) == 2


def test_any_model_of_recbole_by_optuna_and_asha(tmp_path):
    pytest.importorskip("optuna")
    space = "embedding_size: {choice: [4, 8]}\nlearning_rate: {loguniform: [1e-3, 1e-1]}"
    settings = {"epochs": 3, "eval_step": 1, "train_batch_size": 16384, "eval_batch_size": 2**21, "topk": [10]}
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    result, said = sweep(
        tmp_path / "out", space, settings, model="BPR", search="optuna", scheduler="asha", num_samples=2
    )
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers  # Ray keeps them
    assert result.complete
    assert said[0].startswith("plan: 2 trials of BPR, ")
    assert not [line for line in said if "teacher" in line]
    best = yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())
    assert best["model"] == "BPR"
    assert set(dict(result.best.valid)) >= {"recall@10", "mrr@10"}
    assert all(len(list(Path(record.folder).glob("model/best.pth"))) == 1 for record in result.records)


def test_an_unknown_name_in_the_space_is_refused_before_anything_runs(quick, tmp_path):
    with pytest.raises(ValueError, match="names 'learning_rat', which HetComp does not have; did you mean"):
        sweep(tmp_path / "out", "learning_rat: {choice: [1]}", quick())
    assert not (tmp_path / "out").exists()


def test_a_trial_that_fits_no_node_is_refused(quick, tmp_path):
    with pytest.raises(ValueError, match="a trial wants 4096 CPUs"):
        sweep(tmp_path / "out", "K: {choice: [20]}", quick(), cpus_per_trial=4096.0)


def test_run_hyper_takes_recboles_options(quick, tmp_path):
    from recbole_hetcomp.cli import run_hyper_main

    (tmp_path / "fixed.yaml").write_text(yaml.safe_dump({**quick(epochs=2), "model": "HetComp", "dataset": "ml-100k"}))
    (tmp_path / "space.hyper").write_text("K choice [20, 40]\nlearning_rate loguniform -5,-4\n")
    words = [f"--config_files={tmp_path / 'fixed.yaml'}", f"--params_file={tmp_path / 'space.hyper'}", "--tool=Ray"]
    words += [f"--output_file={tmp_path / 'found.result'}", f"--display_file={tmp_path / 'x.html'}", "--max_evals=1"]
    assert run_hyper_main(words) == 0
    text = (tmp_path / "found.result").read_text()
    assert text.startswith("K:")
    assert text.count("Valid result:") == text.count("Test result:") == 1
    assert (tmp_path / "x.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # every perturbation starts a process anew
def test_population_based_training_and_median_stopping_run_through(quick, tmp_path):
    space = "learning_rate: {loguniform: [1e-3, 1e-1], mutable: True}\nK: {choice: [20, 50]}"
    for scheduler in ("pbt", "median"):
        result, _ = sweep(
            tmp_path / scheduler, space, quick(epochs=12), scheduler=scheduler, num_samples=3, grace_epochs=2
        )
        assert result.complete
        assert all(record.status in ("finished", "stopped") for record in result.records)
        assert next(record.test for record in result.records if record.test)


def test_trials_share_a_gpu(quick, tmp_path, device):
    if device.type == "cpu":
        pytest.skip("fractions of a GPU")
    space = "learning_rate: {choice: [0.01, 0.02]}"
    result, _ = sweep(tmp_path / "out", space, quick(epochs=4), num_samples=2, gpus_per_trial=0.5, max_concurrent=2)
    assert result.complete
    assert all(record.status == "finished" for record in result.records)
