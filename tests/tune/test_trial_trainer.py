"""Watched trainers, without Ray: a trial that is cut off goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recbole.quick_start.quick_start as recbole_quick_start
import torch

import recbole_hetcomp  # noqa: F401
from recbole_hetcomp.tune.trial_trainer import Revalidated, ValidationDiffersError, observing, trainers_with

MODELS = {
    "BPR": {"epochs": 4, "eval_step": 1, "train_batch_size": 16384, "eval_batch_size": 2**21},
    "MultiVAE": {"epochs": 4, "eval_step": 1, "train_neg_sample_args": None, "eval_batch_size": 2**21},
    "EASE": {},
    "HetComp": {"epochs": 6, "eval_step": 2, "p": 1, "K": 50, "K_prime": 100, "compare_no_kd": False, "resume": True},
}


class CutOffError(Exception):
    pass


@pytest.fixture
def watched(quick):
    """``watched(folder, model, cut_after=None, **more)``: all reports of a run, cut off after some of them."""

    def run(folder: Path, model: str, cut_after: int | None = None, **more: Any) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []

        def tell(metrics: dict[str, Any]) -> None:
            told.append(metrics)
            if len(told) == cut_after:
                raise CutOffError

        folder.mkdir(parents=True, exist_ok=True)
        settings = {**MODELS[model], "checkpoint_dir": str(folder), "show_progress": False, **more}
        if model == "HetComp":
            settings = {**quick(), **settings, "result_dir": str(folder)}
        with trainers_with(observing, folder=folder, tell=tell):
            try:
                result = recbole_quick_start.run_recbole(model=model, dataset="ml-100k", config_dict=settings)
            except CutOffError:
                return told
        assert result["test_result"] == {}, "a trial never looks at the test split"
        return told

    return run


def comparable(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in report.items() if key != "seconds"} for report in reports]


@pytest.mark.parametrize("model", ["BPR", "MultiVAE", "HetComp"])
def test_a_trial_that_is_cut_off_goes_on_as_if_nothing_had_been(watched, tmp_path, model):
    whole = watched(tmp_path / "whole", model)
    first = watched(tmp_path / "cut", model, cut_after=2)
    rest = watched(tmp_path / "cut", model)
    assert len(first) == 2
    assert comparable(first + rest) == comparable(whole)


def test_every_validation_is_told_with_all_that_is_known(watched, tmp_path):
    reports = watched(tmp_path, "HetComp")
    assert [report["epoch"] for report in reports] == [2, 4, 6]
    for report in reports:
        assert set(report["valid"]) == {"recall@10", "recall@50", "ndcg@10", "ndcg@50"}
        assert report["score"] == report["valid"]["recall@50"]
        assert (
            report["objective"]
            == report["best"]["recall@50"]
            == max(r["score"] for r in reports[: report["epoch"] // 2])
        )
        assert report["seconds"] >= 0
    assert set(reports[-1]["curriculum"]) >= {"fine", "snapshot_shares"}


def test_a_model_fitted_in_one_step_is_told_of_once(watched, tmp_path):
    (report,) = watched(tmp_path, "EASE")
    assert report["epoch"] == 1
    assert (tmp_path / "best.pth").is_file()


def test_what_is_saved_validates_as_it_was_told_and_is_tested_only_then(watched, tmp_path):
    reports = watched(tmp_path, "BPR")
    settings = {**MODELS["BPR"], "checkpoint_dir": str(tmp_path / "x"), "show_progress": False}
    best = reports[-1]["best"]

    def again(expected: dict[str, float]) -> dict[str, Any]:
        with trainers_with(lambda trainer: Revalidated, file=tmp_path / "best.pth", expected=expected):
            return recbole_quick_start.run_recbole(model="BPR", dataset="ml-100k", config_dict=dict(settings))

    result = again(best)
    assert dict(result["best_valid_result"]) == best
    assert result["test_result"].keys() == best.keys()
    assert dict(result["test_result"]) != best  # of another split
    with pytest.raises(ValidationDiffersError, match="not as"):
        again({**best, "recall@10": 0.5})


def test_a_trial_may_take_over_another_ones_model_with_other_settings(watched, tmp_path):
    """What population-based training does: the folder of one trial, the settings of the next."""
    watched(tmp_path, "HetComp", cut_after=2)
    before = torch.load(tmp_path / "resume.pt", weights_only=True)
    (report,) = watched(tmp_path, "HetComp", learning_rate=0.02)
    after = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert report["epoch"] == 6
    assert before["run"] != after["run"]
    assert before["optimizer"]["param_groups"][0]["lr"] != 0.02
    assert after["optimizer"]["param_groups"][0]["lr"] == 0.02
    assert len(list(tmp_path.glob("*.pth"))) == 1


def test_a_trainer_that_tells_nothing_is_refused():
    class Silent:
        def fit(self, train_data, valid_data=None):
            pass

    with pytest.raises(ValueError, match="Silent does not report its validations"):
        observing(Silent)
