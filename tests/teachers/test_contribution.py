"""What each teacher gives: Shapley values by hand and by their axioms, agreement, and who is left out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harmful_teacher import NOISE
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core import PAD
from recbole_hetcomp.teachers import contribution
from recbole_hetcomp.teachers.assessing import assess
from recbole_hetcomp.teachers.contribution import Contribution, Contributions, agreement, shapley_values
from recbole_hetcomp.teachers.contribution_picture import draw_contributions

GLOVES = {(0,): 0.0, (1,): 0.0, (2,): 0.0, (0, 1): 1.0, (0, 2): 1.0, (1, 2): 0.0, (0, 1, 2): 1.0}


def test_the_glove_game_by_hand():
    found = shapley_values(lambda members: GLOVES.get(members, 0.0), 3)
    assert found == pytest.approx([2 / 3, 1 / 6, 1 / 6])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 5))
def test_the_values_add_up_and_who_adds_nothing_has_nothing(seed, count):
    draw, known = random.Random(seed), {(): 0.0}

    def value(members: tuple[int, ...]) -> float:
        members = tuple(member for member in members if member != 0)  # who joins as the first one adds nothing
        return known.setdefault(members, draw.random())

    found = shapley_values(value, count)
    assert sum(found) == pytest.approx(value(tuple(range(count))) if count > 1 else 0.0)
    assert found[0] == pytest.approx(0.0)


def test_of_many_random_orders_are_enough_for_what_adds_up():
    weights = [1.0, 2.0, 0.5, 0.0, 4.0, 1.5, 3.0, 0.25]
    assert len(weights) > contribution.EXACT
    assert shapley_values(lambda members: sum(weights[one] for one in members), 8) == pytest.approx(weights)
    squares = [shapley_values(lambda members: float(len(members) ** 2), 8, seed) for seed in (0, 0, 1)]
    assert squares[0] == squares[1] != squares[2]


def test_agreement_by_hand():
    mine = torch.tensor([[1, 2, 3], [4, 5, 6]])
    other = torch.tensor([[2, 1, 9], [4, PAD, PAD]])
    nobody = torch.full((2, 3), PAD)
    found = agreement([mine, other, nobody], 2)
    assert found[0].tolist() == [1.0, 0.75, 0.0]
    assert found[1].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(found[2]).all()


def test_harm_is_told_from_noise():
    rows = tuple(Contribution(name, 0.3, gain, 0.01, 0.1) for name, gain in (("a", 0.02), ("b", -0.015), ("c", -0.03)))
    found = Contributions("ndcg@10", 0.5, rows, np.eye(3), 10, True)
    assert [one.harms for one in rows] == [False, False, True]
    (said,) = found.in_words()
    assert said.startswith("Without c the ensemble would have ndcg@10 0.5300 for 0.5000")


@pytest.fixture(scope="module")
def with_harm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of two teachers of which one ranks against popularity, both counting the same."""
    folder = tmp_path_factory.mktemp("harm")
    (folder / "noise_of_ours.py").write_text(NOISE)
    return {
        "teachers": ["EASE", "noise_of_ours.Worst"], "quality_weighting": 0.0, "store_dir": str(folder / "store"),
        "checkpoint_dir": str(folder / "saved"), "show_progress": False, "state": "ERROR", "K": 50,
        "folder": folder,
    }  # fmt: skip


def given_settings(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **more: Any) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(settings["folder"]))
    return {**{key: value for key, value in settings.items() if key != "folder"}, **more}


def test_the_numbers_are_those_of_the_models_themselves(with_harm, monkeypatch):
    import recbole_hetcomp

    own = given_settings(with_harm, monkeypatch)
    found = assess("ml-100k", settings=own)
    ensemble = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict=dict(own))["best_valid_result"]
    alone = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict={**own, "teachers": ["EASE"]})
    ease, worst = found.teachers
    assert found.ensemble == pytest.approx(ensemble[found.metric], abs=1e-6)
    assert ease.alone == pytest.approx(alone["best_valid_result"][found.metric], abs=1e-6)
    assert worst.harms
    assert worst.gain == pytest.approx(found.ensemble - ease.alone)
    assert ease.shapley + worst.shapley == pytest.approx(found.ensemble)


def test_a_teacher_that_harms_is_left_out_and_that_is_said(with_harm, monkeypatch, log):
    import recbole_hetcomp

    own = given_settings(with_harm, monkeypatch, leave_out_harmful=True)
    without = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict=dict(own))
    alone = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict={**own, "teachers": ["EASE"]})
    assert without["test_result"] == alone["test_result"]
    assert sum("teacher noise_of_ours.Worst is left out" in line for line in log) == 1


def test_given_weights_go_with_their_teachers(with_harm, monkeypatch):
    own = given_settings(with_harm, monkeypatch, teacher_weights=[1.0, 0.0])
    found = assess("ml-100k", settings=own)
    assert [one.alone > 0 for one in found.teachers] == [True, False]
    assert found.teachers[1].gain == 0.0


def test_one_teacher_alone_is_refused(with_harm, monkeypatch):
    with pytest.raises(ValueError, match="at least two"):
        assess("ml-100k", settings=given_settings(with_harm, monkeypatch, teachers=["EASE"]))


def test_mtd_wants_all_of_them(with_harm, monkeypatch):
    import recbole_hetcomp

    own = given_settings(with_harm, monkeypatch, leave_out_harmful=True)
    with pytest.raises(ValueError, match="leave_out_harmful=True is not allowed for MTD"):
        recbole_hetcomp.run("MTD", "ml-100k", config_dict=own)


def test_the_command_writes_its_tables(with_harm, monkeypatch, tmp_path, capsys):
    from recbole_hetcomp.cli import main

    own = given_settings(with_harm, monkeypatch)
    words = [f"--{name}={value}" for name, value in own.items() if name not in ("teachers", "state")]
    status = main(
        ["teachers", "contribution", "--teachers=[EASE, noise_of_ours.Worst]", f"--output={tmp_path / 'out'}", *words]
    )
    said = capsys.readouterr().out
    assert status == 0
    assert "Without noise_of_ours.Worst the ensemble would have recall@50" in said
    lines = (Path(tmp_path) / "out" / "contribution.csv").read_text().splitlines()
    assert lines[0] == "teacher,alone,gain,standard_error,shapley"
    assert len(lines) == 3
    assert (tmp_path / "out" / "agreement.csv").is_file()
    assert (tmp_path / "out" / "contribution.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("names", [("A", "B"), ("LightGCN", "import:a_rather_long_name", "C", "D", "E", "F", "G", "H")])
def test_the_picture_has_every_teacher_and_nothing_overlaps(names, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    save = Figure.savefig

    def watch(self: Figure, *given: Any, **more: Any) -> None:
        drawn.append(self)
        save(self, *given, **more)

    monkeypatch.setattr(Figure, "savefig", watch)
    rows = tuple(Contribution(name, 0.3, 0.002 - 0.001 * place, 0.0002, 0.1) for place, name in enumerate(names))
    found = Contributions("recall@50", 0.5, rows, np.full((len(names), len(names)), 0.4), 50, True)
    draw_contributions(found, tmp_path / "new" / "contribution.png")
    (figure,) = drawn
    figure.canvas.draw()
    gains, shares = figure.axes
    assert [label.get_text().split("\n")[0] for label in gains.get_yticklabels()] == list(names)
    assert len(shares.texts) == len(names) * (len(names) - 1)
    assert {text.get_text() for text in shares.texts} == {"0.60"}  # 1 less the agreement
    harms = [patch.get_facecolor() for patch in gains.patches]
    assert len(set(harms)) == (2 if any(row.harms for row in rows) else 1)
    boxes = [label.get_window_extent() for label in shares.get_yticklabels()]
    assert not any(one.overlaps(other) for one in boxes for other in boxes if one is not other)
    assert gains.get_window_extent().x1 <= min(box.x0 for box in boxes)


@pytest.mark.parametrize("setting", ["leave_out_harmful", "fit_weights"])
def test_a_metric_that_is_no_mean_over_users_is_refused_before_any_training(setting, with_harm, monkeypatch):
    import recbole_hetcomp

    own = given_settings(with_harm, monkeypatch, metrics=["Recall", "ItemCoverage"], valid_metric="ItemCoverage@10")
    with pytest.raises(ValueError, match="valid_metric='ItemCoverage@10' is not allowed here"):
        recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict={**own, setting: True})
    with pytest.raises(ValueError, match="valid_metric='ItemCoverage@10' is not allowed here"):
        assess("ml-100k", settings=own)


def test_other_metrics_may_be_of_any_kind(with_harm, monkeypatch):
    own = given_settings(with_harm, monkeypatch, metrics=["Recall", "ItemCoverage"], valid_metric="Recall@10")
    assert assess("ml-100k", settings=own).metric == "recall@10"
