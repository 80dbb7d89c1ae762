"""What the service answers, and what it refuses: each endpoint."""

from __future__ import annotations

import json
import re

import pytest
from export_folders import random_export, small_export
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_hetcomp.serving.exported import read
from recbole_hetcomp.serving.service import schemas
from recbole_hetcomp.serving.service.app import create_app
from recbole_hetcomp.serving.service.ranking import Ranker

TOKEN = "open-sesame"


def items(answer, place: int = 0) -> list[str]:
    return [item["item"] for item in answer.json()["lists"][place]["items"]]


def test_one_user(client):
    answer = client.post("/recommend", json={"users": "ann", "k": 2})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    listed = answer.json()["lists"]
    assert listed == [
        {"user": "ann", "fallback": False, "items": [{"item": "w", "score": 3.0}, {"item": "z", "score": 2.0}]}
    ]
    assert answer.json()["export"] == client.get("/health").json()["export"]["id"]


def test_many_users_numbers_as_ids_and_unknown_ones(client):
    answer = client.post("/recommend", json={"users": ["bob", 7, "nobody", "bob"], "k": 2, "exclude": ["y", "new"]})
    assert [listed["user"] for listed in answer.json()["lists"]] == ["bob", "7", "nobody", "bob"]
    assert [listed["fallback"] for listed in answer.json()["lists"]] == [False, False, True, False]
    assert [items(answer, place) for place in range(4)] == [["z"], ["x", "z"], ["z", "w"], ["z"]]
    assert answer.json()["lists"][2]["items"][0]["score"] == 5


def test_titles_where_they_are_asked_for(client, tmp_path):
    found = client.post("/recommend", json={"users": "7", "k": 4, "titles": True}).json()["lists"][0]["items"]
    assert [item["title"] for item in found] == ["Ex", "Why", "<b>Zed</b>", None]
    untitled = TestClient(create_app(small_export(tmp_path / "untitled", titles=None)))
    found = untitled.post("/recommend", json={"users": "7", "k": 4, "titles": True}).json()["lists"][0]["items"]
    assert all("title" not in item for item in found)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"users": "ann", "k": 0}', "k: 0 is not allowed: Input should be greater than or equal to 1"),
        ('{"users": "ann", "k": 1001}', "k: 1001 is not allowed: Input should be less than or equal to 1000"),
        ('{"users": "ann", "k": "5"}', "k: '5' is not allowed: Input should be a valid integer"),
        ('{"users": "ann", "k": true}', "k: True is not allowed"),
        ('{"users": []}', "users: List should have at least 1 item"),
        ('{"users": [null]}', "users.0: None is not allowed: Input should be a valid string"),
        ('{"users": [1.5]}', "users.0: 1.5 is not allowed"),
        ('{"users": true}', "users.0: True is not allowed"),
        ('{"user": "ann"}', "user: 'ann' is not allowed: Extra inputs are not permitted"),
        ('{"k": 3}', "users: Field required"),
        ('{"users": "ann", "exclude": "x"}', "exclude: 'x' is not allowed: Input should be a valid"),
        ('{"users": "ann", "titles": 1}', "titles: 1 is not allowed"),
        ('{"users": ' + json.dumps(["u"] * 1001) + "}", "users: List should have at most 1000 items"),
        ('{"users": ' + json.dumps(["u"] * 101) + ', "k": 1000}', "101 users with k=1000 are more than 100000 items"),
        ('{"users": ' + "9" * 5000 + "}", ""),
        ('{"users": "\\ud800"}', "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("\x00\xff", "Invalid JSON"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_allowed_is_named(client, body, said):
    answer = client.post("/recommend", content=body.encode("latin-1"))
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]
    assert len(answer.json()["error"]) < 300


def test_a_request_that_is_too_large_is_refused(client):
    answer = client.post("/recommend", content=b'{"users": "' + b"a" * schemas.MAX_BODY + b'"}')
    assert (answer.status_code, answer.json()) == (413, {"error": "a request has at most 1048576 bytes"})


def test_items_alike(client):
    answer = client.post("/similar-items", json={"item": "y", "k": 1, "titles": True})
    assert answer.json()["title"] == "Why"
    assert answer.json()["items"] == [{"item": "z", "score": 1.0, "title": "<b>Zed</b>"}]
    answer = client.post("/similar-items", json={"item": "q"})
    assert answer.status_code == 404
    assert re.fullmatch(r"item 'q' is not known to export [0-9a-f]{12}", answer.json()["error"])
    assert client.post("/similar-items", json={"items": ["y"]}).status_code == 422


def test_what_the_page_asks_for(client):
    page = client.get("/user", params={"id": "bob", "k": 1, "history": 1}).json()
    assert page["history"] == [{"item": "w", "title": None, "interactions": 2}]
    assert page["history_size"] == 2
    assert page["student"] == [{"item": "y", "title": "Why", "interactions": 5, "score": 3.0}]
    assert page["ensemble"] == [{"item": "y", "title": "Why", "interactions": 5}]
    page = client.get("/user", params={"id": "nobody"}).json()
    assert (page["fallback"], page["ensemble"], page["history"]) == (True, None, [])
    assert [item["item"] for item in page["student"]] == ["y", "z", "w", "x"]
    assert "k: 'many' is not allowed" in client.get("/user", params={"id": "bob", "k": "many"}).json()["error"]


def test_known_users(client):
    assert client.get("/users").json() == {"users": ["7", "ann", "bob"]}
    assert client.get("/users", params={"prefix": "b"}).json() == {"users": ["bob"]}
    assert client.get("/users", params={"prefix": "c"}).json() == {"users": []}
    assert client.get("/users", params={"limit": 1}).json() == {"users": ["7"]}


def test_health(client):
    told = client.get("/health").json()
    assert (told["status"], told["refused"], told["reloads"]) == ("ok", None, 0)
    assert told["export"].items() >= {
        "users": 3, "items": 4, "dimensions": 2, "schema": 1, "titles": True, "ensemble": True
    }.items()  # fmt: skip


def test_numbers_for_prometheus(client):
    client.post("/recommend", json={"users": ["ann", "nobody"]})
    client.post("/recommend", json={"users": 1.5})
    client.get("/what/ever")
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'hetcomp_requests_total{endpoint="/recommend",status="200"} 1.0',
        'hetcomp_requests_total{endpoint="/recommend",status="422"} 1.0',
        'hetcomp_requests_total{endpoint="other",status="404"} 1.0',
        'hetcomp_request_seconds_count{endpoint="/recommend"} 2.0',
        "hetcomp_fallback_lists_total 1.0",
        'hetcomp_reloads_total{outcome="taken"} 0.0',
        "hetcomp_export_schema 1.0",
        "hetcomp_export_items 4.0",
    ):
        assert line in lines


def test_it_describes_itself_without_a_network(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/recommend", "/similar-items", "/user", "/users", "/health", "/metrics"}
    assert described["paths"]["/recommend"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "properties"
    ]
    page = client.get("/docs").text
    assert "://" not in re.sub(r"https?://[^\"']*schema[^\"']*", "", page)
    script = re.search(r'src="([^"]*\.js)"', page)
    assert script
    assert client.get(script[1]).status_code == 200


def test_the_page_fetches_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert set(re.findall(r"https?://[^'\"\s]*", answer.text)) == {"http://www.w3.org/2000/svg"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    users=st.lists(st.integers(0, 70), min_size=1, max_size=5), k=st.integers(1, 30), out=st.sets(st.integers(0, 210))
)
def test_any_allowed_request_gets_the_rankers_lists(served_at_random, users, k, out):
    client, ranker = served_at_random
    asked = {"users": [f"u{user}" for user in users], "k": k, "exclude": [f"i{item}" for item in out]}
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == 200
    for place, user in enumerate(users):
        had = set() if user >= 60 else {f"i{item}" for item in ranker.history(user).tolist()}
        found = items(answer, place)
        assert len(found) == min(k, 200 - len(had | {f"i{item}" for item in out if item < 200}))
        assert not set(found) & (had | set(asked["exclude"]))
        assert answer.json()["lists"][place]["fallback"] == (user >= 60)
        scores = [item["score"] for item in answer.json()["lists"][place]["items"]]
        assert scores == sorted(scores, reverse=True)


@pytest.fixture(scope="module")
def served_at_random(tmp_path_factory):
    export = random_export(tmp_path_factory.mktemp("random") / "export")
    return TestClient(create_app(export)), Ranker(read(export))


# --- the token ---


@pytest.fixture
def guarded(folder):
    return TestClient(create_app(folder, TOKEN))


WRONG = [{}, *({"Authorization": text} for text in ("Bearer wrong", TOKEN, f"Basic {TOKEN}", "Bearer \u00e9"))]


@pytest.mark.parametrize("given", WRONG)
def test_without_the_token_nothing_is_told(guarded, given):
    given = {name: text.encode("latin-1") for name, text in given.items()}
    for answer in (
        guarded.post("/recommend", json={"users": "ann"}, headers=given),
        guarded.get("/user", params={"id": "ann"}, headers=given),
        guarded.get("/metrics", headers=given),
    ):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json() == {"error": "a token is needed: Authorization: Bearer TOKEN"}


def test_with_the_token_everything_is(guarded):
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert guarded.post("/recommend", json={"users": "ann"}, headers=headers).status_code == 200
    for path in ("/", "/health", "/docs", "/openapi.json"):
        assert guarded.get(path).status_code == 200
    described = guarded.get("/openapi.json").json()
    assert described["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert described["paths"]["/recommend"]["post"]["security"] == [{"token": []}]
    assert described["paths"]["/health"]["get"]["security"] == []
