"""Fitted weights: found where they pay, of no user that judges them, and left alone where they do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from harmful_teacher import NOISE

from recbole_hetcomp.teachers import fitting
from recbole_hetcomp.teachers.fitting import fit_weights

USERS = 60


class Stub:
    """A panel whose users have metrics of their own making; a user's list is [the user, 1000 x the second weight]."""

    def __init__(self, metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        evaluated = SimpleNamespace(users=torch.arange(1, USERS + 1))
        monkeypatch.setattr(fitting, "EvaluatedUsers", SimpleNamespace(of=lambda loader: evaluated))
        self.metric, self.unfitted_weights = metric, (1.0, 0.5)
        self.config, self.valid_data = {"valid_metric": "NDCG@10"}, None
        self.asked: list[tuple[float, ...]] = []

    def values(self, weights: tuple[float, ...]) -> np.ndarray:
        self.asked.append(weights)
        return self.metric(weights)

    def lists(self, weights: tuple[float, ...]) -> torch.Tensor:
        return torch.stack([torch.arange(USERS + 1), torch.full((USERS + 1,), int(1000 * weights[1]))], dim=1).int()


def test_the_best_weights_are_found(monkeypatch):
    found = fit_weights(Stub(lambda weights: np.full(USERS, -abs(weights[1] - 0.12)), monkeypatch))  # type: ignore[arg-type]
    assert found.weights[0] == 1.0
    assert found.weights[1] == pytest.approx(0.12, abs=0.02)
    assert found.value > found.unfitted


def test_a_user_is_judged_by_weights_that_were_not_fitted_to_it(monkeypatch):
    """One user likes another weight than all others, so much that it decides wherever it is asked."""

    def metric(weights: tuple[float, ...]) -> np.ndarray:
        values = np.full(USERS, -abs(weights[1] - 0.3))
        values[7] = -1000 * abs(weights[1] - 0.9)
        return values

    fits = []
    fit = fitting._fitted

    def keep(panel: Any, first: Any, rows: np.ndarray) -> tuple[float, ...]:
        fits.append((rows, fit(panel, first, rows)))
        return fits[-1][1]

    monkeypatch.setattr(fitting, "_fitted", keep)
    fit_weights(Stub(metric, monkeypatch))  # type: ignore[arg-type]
    assert len(fits) == fitting.FOLDS  # what does not pay for others is not fitted to all in the end
    assert np.array_equal(sum((~rows).astype(int) for rows, _ in fits), np.ones(USERS))  # each is held out once
    for rows, weights in fits:
        assert weights[1] == pytest.approx(0.9 if rows[7] else 0.3, abs=0.05)


def test_where_fitting_does_not_pay_the_weights_stay(monkeypatch, log):
    noise = np.random.default_rng(1)
    likes = noise.uniform(0.05, 1.0, USERS)

    def metric(weights: tuple[float, ...]) -> np.ndarray:  # the given weights are the best there are, in every part
        return np.where(abs(weights[1] - 0.5) < 1e-6, 1.0, -abs(weights[1] - likes))

    found = fit_weights(Stub(metric, monkeypatch))  # type: ignore[arg-type]
    assert found.weights == (1.0, 0.5)
    assert found.value == found.unfitted == 1.0
    assert any("do not pay" in line for line in log)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> dict[str, Any]:
    """Of two teachers of ml-100k, one of which ranks against popularity."""
    (tmp_path / "noise_of_fits.py").write_text(NOISE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return {
        "teachers": ["EASE", "noise_of_fits.Worst"], "quality_weighting": 0.0, "store_dir": str(tmp_path / "store"),
        "checkpoint_dir": str(tmp_path / "saved"), "show_progress": False, "state": "ERROR", "K": 50,
    }  # fmt: skip


def test_the_ensemble_of_fitted_weights_is_better_and_reports_what_no_user_was_fitted_to(settings, monkeypatch, log):
    import recbole_hetcomp
    from recbole_hetcomp.teachers import knowledge

    kept = []
    monkeypatch.setattr(knowledge, "fit_weights", lambda panel: kept.append(fit_weights(panel)) or kept[-1])
    before = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict=dict(settings))
    after = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict={**settings, "fit_weights": True})
    assert kept[0].weights[0] == 1.0
    assert kept[0].weights[1] < 0.5
    assert after["best_valid_result"]["recall@50"] == pytest.approx(kept[0].value, abs=1e-6)
    assert before["best_valid_result"]["recall@50"] == pytest.approx(kept[0].unfitted, abs=1e-6)
    assert kept[0].value > kept[0].unfitted
    again = {**settings, "teacher_weights": list(kept[0].weights)}
    given = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict=again)
    assert given["test_result"] == after["test_result"]  # the final lists are those of the weights


def test_given_weights_are_not_fitted(settings):
    import recbole_hetcomp

    with pytest.raises(ValueError, match="fit_weights=True is not allowed with teacher_weights"):
        recbole_hetcomp.run(
            "TeacherEnsemble", "ml-100k", config_dict={**settings, "fit_weights": True, "teacher_weights": [1, 2]}
        )
