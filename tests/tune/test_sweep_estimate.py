"""What a sweep is about to do, in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from recbole_hetcomp.tune.estimate import sweep_in_words


def words(model: str, teachers: list[str], at_once: int = 1, **settings: Any) -> str:
    job = SimpleNamespace(model=model, dataset="ml-100k", settings=settings)
    return sweep_in_words(SimpleNamespace(job=job, options=SimpleNamespace(num_samples=12)), teachers, at_once)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        (words("HetComp", ["BPR"]), 12 * 15.5 + 20),
        (words("HetComp", ["BPR"], 2), 6 * 15.5 + 20),
        (words("BPR", []), 12 * 30),
    ],
    ids=["one", "two at a time", "no student"],
)
def test_the_time_is_of_teachers_and_trials(said, minutes):
    assert f"at most about {minutes / 60:.0f} min on two CPU cores" in said


def test_who_is_not_known_is_named():
    said = words("SGL", [])
    assert said.startswith("plan: 12 trials of SGL, 1 at a time")
    assert said.endswith("beside SGL, whose time is not known")
    assert "2 teachers, less those in the store, then 12 trials" in words("HetComp", ["EASE", "import:llm"])
