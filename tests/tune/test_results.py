"""Tables, the best trial's settings, and the report."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from recbole_hetcomp.tune.options import SweepOptions
from recbole_hetcomp.tune.report import encoded, importance, page
from recbole_hetcomp.tune.results import (
    Record,
    best_of,
    best_settings,
    record_of,
    table,
    with_test,
    write_best,
    write_table,
)
from recbole_hetcomp.tune.space import parse_yaml
from recbole_hetcomp.tune.sweep_plan import SweepPlan
from recbole_hetcomp.tune.trial import Job

SPACE = parse_yaml("learning_rate: {loguniform: [1e-3, 1e-1]}\nh: {choice: [[1], [2, 3]]}")
JOB = Job("HetComp", "ml-100k", {"epochs": 9, "store_dir": "/store", "checkpoint_dir": "/x"}, SPACE)
PLAN = SweepPlan(JOB, SweepOptions(output="out"), seed=1, metric="Recall@50", bigger=True, epochs=9, eval_step=1)


def record(trial: str, objective: float, status: str = "finished", **changed: object) -> Record:
    values = {
        "trial": trial,
        "status": status,
        "point": {"learning_rate": 0.01, "h": [2, 3]},
        "config": {"learning_rate": 0.01, "h": "[2, 3]"},
        "objective": objective,
        "epochs": 5,
        "best_epoch": 4,
        "seconds": 1.0,
        "valid": {} if math.isnan(objective) else {"recall@50": objective},
        "node": "vm",
        "error": "",
        "folder": "/trials",
    }
    return Record(**{**values, **changed})


RECORDS = [record("b", 0.2), record("a", math.nan, "failed", error="ValueError: K"), record("c", 0.3, "stopped")]


def test_the_best_trial_is_chosen_by_validation():
    assert best_of(RECORDS, bigger=True).trial == "c"
    assert best_of(RECORDS, bigger=False).trial == "b"
    assert best_of([record("z", 0.1), record("y", 0.1)], bigger=True).trial == "y"
    assert best_of(RECORDS[1:2], bigger=True) is None
    assert best_of([], bigger=True) is None


def test_a_failed_trial_never_wins():
    failed, sound = record("a", 0.9, "failed"), record("b", 0.1)
    assert best_of([failed, sound], bigger=True) is sound
    assert best_of([failed], bigger=True) is None


def test_the_table_has_the_best_first_and_test_metrics_on_its_line_only(tmp_path):
    frame = table(with_test(RECORDS, "c", {"recall@50": 0.25}), "Recall@50", bigger=True)
    assert list(frame.trial) == ["c", "b", "a"]
    assert list(frame.winner) == [True, False, False]
    assert frame["test recall@50"].notna().tolist() == [True, False, False]
    write_table(frame, tmp_path)
    for read in (pd.read_csv(tmp_path / "results.csv"), pd.read_parquet(tmp_path / "results.parquet")):
        assert list(read.trial) == ["c", "b", "a"]
        assert read.loc[0, "h"] == "[2, 3]"
        assert read.loc[2, "error"] == "ValueError: K"
        assert read.loc[0, "valid recall@50"] == 0.3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["results.csv", "results.parquet"]


def test_a_table_of_nothing_and_of_mixed_types_can_be_written(tmp_path):
    write_table(table([], "Recall@50", True), tmp_path)
    mixed = [record("a", 0.1, point={"x": 1}), record("b", 0.2, point={"x": "one"})]
    write_table(table(mixed, "Recall@50", True), tmp_path)
    assert list(pd.read_parquet(tmp_path / "results.parquet").x) == ["one", "1"]


def test_best_settings_are_the_runs_own_and_end_where_the_trial_did(tmp_path):
    finished = best_settings(RECORDS[0], JOB)
    assert finished == {
        "model": "HetComp", "dataset": "ml-100k", "epochs": 9, "store_dir": "/store",
        "learning_rate": 0.01, "h": [2, 3], "use_gpu": False,
    }  # fmt: skip
    assert best_settings(RECORDS[2], JOB)["epochs"] == 5
    file = write_best(RECORDS[2], JOB, "Recall@50", tmp_path, exact=False)
    text = file.read_text()
    assert yaml.safe_load(text) == best_settings(RECORDS[2], JOB)
    assert "stopped after 5 epochs" in text
    assert "scheduler pbt" in text
    value = record("d", 0.4, point={"learning_rate": 0.1 + 0.2, "h": [1]})
    write_best(value, JOB, "Recall@50", tmp_path)
    assert yaml.safe_load(file.read_text())["learning_rate"] == 0.1 + 0.2


def trial(status: str, tmp_path, **last: object) -> SimpleNamespace:
    error = tmp_path / "error.txt"
    error.write_text("Traceback\n  here\nValueError: K=9 is too long\n\n")
    config = {"learning_rate": np.float64(0.01), "h": "[2, 3]"}
    return SimpleNamespace(
        trial_id="t", status=status, config=config, last_result=last, local_path=str(tmp_path), error_file=str(error)
    )


def test_rays_trials_become_records(tmp_path):
    found = record_of(trial("TERMINATED", tmp_path, objective=0.3, epoch=4, finished=True, best={"r": 0.3}), JOB)
    assert (found.status, found.objective, found.epochs, found.point["h"]) == ("finished", 0.3, 4, [2, 3])
    assert record_of(trial("TERMINATED", tmp_path, objective=0.3), JOB).status == "stopped"
    assert record_of(trial("TERMINATED", tmp_path, objective=0.3), JOB, cut_off=True).status == "interrupted"
    assert record_of(trial("RUNNING", tmp_path), JOB).status == "interrupted"
    failed = record_of(trial("ERROR", tmp_path), JOB)
    assert (failed.status, failed.error) == ("failed", "ValueError: K=9 is too long")
    assert math.isnan(failed.objective)


def sweep_of(count: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rates = 10 ** generator.uniform(-3, -1, count)
    records = [
        record(f"{number:02}", float(np.log10(rate)) + 4, point={"learning_rate": rate, "h": [number % 2]})
        for number, rate in enumerate(rates)
    ]
    return table(records, "Recall@50", True)


def test_importance_finds_the_parameter_that_matters():
    shares = importance(sweep_of(30), ["learning_rate", "h"], "best Recall@50")
    assert list(shares) == ["learning_rate", "h"]
    assert shares["learning_rate"] > 10 * shares["h"] >= 0
    assert importance(sweep_of(3), ["learning_rate", "h"], "best Recall@50") is None


def test_columns_become_numbers():
    assert encoded(pd.Series([1, 2]))[1] is None
    values, options = encoded(pd.Series([True, False]))
    assert (values.tolist(), options) == ([1.0, 0.0], ["False", "True"])


def test_the_report_is_one_page_with_all_its_parts():
    text = page(sweep_of(8), PLAN)
    for part in ("Parallel coordinates", "against each parameter", "Parameter importance", "<table", "parcoords"):
        assert part in text
    assert "cdn.plot.ly/plotly" not in text
    assert "width=device-width" in text
    assert text.count("<figure>") == 3
    assert text.count("plotly.js v") <= 2


@pytest.mark.parametrize("frame", [table([], "Recall@50", True), table(RECORDS[1:2], "Recall@50", True), sweep_of(2)])
def test_a_report_of_little_is_a_page_too(frame):
    text = page(frame, PLAN)
    assert text.startswith("<!DOCTYPE html>")
    assert "No trial was validated" in text or "It takes at least" in text
