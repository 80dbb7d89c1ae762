"""From a CSV to the report with the real commands, once; then what runs again, and what does not."""

from __future__ import annotations

import json
import os
import re

import pandas as pd
import pytest

import recbole_hetcomp
from recbole_hetcomp.cli import main
from recbole_hetcomp.files import read_json
from recbole_hetcomp.serving.exported import read

STEPS = ("prepare", "teachers", "distil", "evaluate", "export", "profile", "report")
pytestmark = pytest.mark.slow  # a minute: ten processes that import RecBole


def said(capsys, *words: str) -> list[str]:
    capsys.readouterr()
    assert main(["pipeline", "run", *words]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]


def test_every_step_left_what_it_is_for(ran):
    out = ran.folder / "out"
    table = pd.read_csv(out / "student" / "results.csv")
    assert list(table["name"]) == ["EASE", "ItemKNN", "TeacherEnsemble", "NoKD", "HetComp"]
    told = read_json(out / "evaluation.json")
    assert told["largest_difference"] == 0
    assert told["test"]["recall@50"] == pytest.approx(table["recall@50"].iloc[-1])
    exported = read(out / "export")
    assert len(exported.item_ids) == len(exported.items)
    assert set(pd.read_csv(out / "profile" / "profile.csv")["name"]) >= {"EASE", "TeacherEnsemble", "HetComp"}
    recommender = recbole_hetcomp.load(out / "student" / "student.pth")
    assert len(set(recommender.recommend(["196"], k=10).items[0])) == 10


def test_the_report_shows_what_was_measured(ran):
    out = ran.folder / "out"
    page, text = ((out / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    card = json.loads((out / "data" / "movies" / "movies.card.json").read_text(encoding="utf-8"))
    table = pd.read_csv(out / "student" / "results.csv").set_index("name")
    for shown in (page, text):
        assert f"{card['users']:,} users, {card['items']:,} items" in shown
        assert f"{card['read']['interactions']:,}" in shown
        assert f"{table.loc['TeacherEnsemble', 'recall@50']:.4f}" in shown
        assert "the largest difference is 0" in shown
        assert "recommend.onnx" in shown
        assert "users_per_second" in shown
        assert "hetcomp prepare --format=table" in shown
    assert "data:image/png;base64," in page
    assert 'src="http' not in page


def test_a_second_run_does_nothing(ran, capsys):
    for file in (ran.folder / "ratings.csv", ran.folder / "out" / "student" / "student.pth"):
        os.utime(file, (1, 1))
    unchanged = [f"{name}: unchanged" for name in STEPS]
    assert said(capsys, str(ran.file), "--dry") == unchanged
    *lines, last = said(capsys, str(ran.file))
    assert lines == unchanged
    assert last.startswith("0 of 7 steps run in ")


def test_a_setting_of_the_student_leaves_data_and_teachers_alone(ran, capsys):
    ran.write(student={**ran.keys["student"], "embedding_size": 16})
    try:
        lines = said(capsys, str(ran.file), "--dry")
    finally:
        ran.write()
    assert lines[:2] == ["prepare: unchanged", "teachers: unchanged"]
    assert lines[2] == ("distil: would run, settings have changed: now --embedding_size=16; before --embedding_size=8")
    assert all("would run" in line for line in lines[3:])


def test_a_stored_teacher_that_is_gone_is_noticed(ran, capsys):
    entry = next((ran.folder / "out" / "store").glob("*/EASE-*"))
    hidden = entry.with_name(f".{entry.name}")
    entry.rename(hidden)
    try:
        lines = said(capsys, str(ran.file), "--dry")
    finally:
        hidden.rename(entry)
    assert re.fullmatch(r"teachers: would run, out/store/\w+/EASE-\w+, which it wrote, is gone", lines[1])


def test_a_wrong_setting_of_the_student_is_said_before_teachers_are_trained(small_pipeline, capfd):
    made = small_pipeline()
    made.write(student={"embeding_size": 8})
    assert main(["pipeline", "run", str(made.file)]) == 1
    printed = capfd.readouterr()
    assert "did you mean 'embedding_size'" in printed.err
    assert "the step distil ended with exit status 2" in printed.err
    assert (made.folder / "out" / "data" / "movies").is_dir()
    assert not (made.folder / "out" / "store").exists()
