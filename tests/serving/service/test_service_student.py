"""A real student: exported with its ensemble, served, and asked as a client would."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi.testclient import TestClient

import recbole_hetcomp
from recbole_hetcomp import cli
from recbole_hetcomp.serving.exported import read
from recbole_hetcomp.serving.service.app import create_app

pytest.importorskip("faiss")
pytest.importorskip("onnxruntime")
K = 20


@pytest.fixture(scope="module")
def student(finished_run, tmp_path_factory):
    target = tmp_path_factory.mktemp("served") / "student"
    words = ["--checkpoint", str(finished_run.checkpoint), "--to", str(target), "--k", "5", "--ensemble", "30"]
    assert cli.main(["export", *words]) == 0
    with TestClient(create_app(target)) as client:
        yield client


def test_its_lists_are_those_of_recommend(student, finished_run):
    recommender = recbole_hetcomp.load(finished_run.checkpoint)
    users = [*recommender.users, "a new user"]
    wanted = recommender.recommend(users, K)
    answer = student.post("/recommend", json={"users": users, "k": K})
    same = 0
    for row, listed in enumerate(answer.json()["lists"]):
        found = [item["item"] for item in listed["items"]]
        assert listed["user"] == users[row]
        assert listed["fallback"] == bool(wanted.fallback[row])
        assert [item["score"] for item in listed["items"]] == pytest.approx(wanted.scores[row].tolist(), abs=1e-4)
        same += found == wanted.items[row].tolist()
    assert same > 0.99 * len(users)  # scores that differ in their last digit aside


def test_the_page_has_titles_history_and_the_ensemble(student):
    page = student.get("/user", params={"id": "196", "k": K, "history": 1000}).json()
    assert page["history_size"] == len(page["history"]) == 39  # of user 196 in ml-100k
    lists = [page["history"], page["student"], page["ensemble"]]
    assert [len(listed) for listed in lists[1:]] == [K, K]
    assert all(item["title"] for listed in lists for item in listed)
    had, student_has, ensemble_has = ({item["item"] for item in listed} for listed in lists)
    assert not had & (student_has | ensemble_has)
    assert student_has & ensemble_has
    told = student.get("/health").json()["export"]
    assert (told["users"], told["items"], told["data"]["name"]) == (943, 1682, "ml-100k")


def test_items_alike_are_those_of_its_vectors(student):
    alike = student.post("/similar-items", json={"item": "50", "k": K, "titles": True}).json()
    assert alike["title"] == "Star Wars"
    exported = read(student.app.state.watched.folder)
    unit = exported.items / np.linalg.norm(exported.items, axis=1, keepdims=True)
    cosines = unit @ unit[exported.item_ids.tolist().index("50")]
    wanted = np.argsort(-cosines, kind="stable")[1 : K + 1]
    assert [item["score"] for item in alike["items"]] == pytest.approx(cosines[wanted].tolist(), abs=1e-5)
    assert {item["item"] for item in alike["items"][:-1]} <= set(exported.item_ids[wanted])
