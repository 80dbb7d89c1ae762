"""The plan's words: what is trained, from what the time is guessed, and what is not known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recbole_hetcomp.teachers.estimate import Size, model_seconds, plan_in_words, size_of_files, student_seconds
from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore

LISTS = torch.zeros(1, 3, 4, dtype=torch.int16)


def planned(label: str, epochs: int = 500, **identity: Any) -> Any:
    return SimpleNamespace(
        label=label, outside=None, config={"epochs": epochs}, identity={"epochs": epochs, **identity}
    )


def data(interactions: int = 60_000) -> Any:
    values = torch.zeros(interactions)
    return SimpleNamespace(fingerprint="data", observed=SimpleNamespace(values=values), n_users=944, n_items=1683)


def in_words(to_train: list[Any], store: TrajectoryStore, interactions: int = 60_000) -> str:
    return plan_in_words("HetComp", 100, to_train, None, to_train, store, data(interactions))


@pytest.fixture
def store(tmp_path):
    made = TrajectoryStore(tmp_path)

    def add(label: str, seconds: float, **identity: Any) -> None:
        settings = {"epochs": 500, **identity}
        info = {"seconds": seconds}
        made.write("data", label, settings, Trajectory(LISTS, LISTS[:, 0], (1,), (0.5,), info=info))

    made.add = add  # type: ignore[attr-defined]
    return made


def test_what_is_stored_is_not_counted(store):
    kept, new = planned("BPR"), planned("CML")
    words = plan_in_words("HetComp", 100, [kept, new], None, [new], store, data())
    assert words.startswith("plan: 2 teachers, 1 of them from the store, then HetComp; about a minute")


def test_the_time_is_that_of_a_stored_model_with_other_settings(store):
    store.add("SGL", 3600, seed=1)
    words = in_words([planned("SGL")], store)
    assert "about 60 min on two CPU cores" in words
    assert words.endswith("cores")
    half = in_words([planned("SGL", epochs=250)], store)
    assert "about 30 min" in half


def test_a_model_of_which_nothing_is_known_is_named(store):
    words = in_words([planned("SGL"), planned("BPR"), planned("NCL")], store, 600_000)
    assert words.endswith("on two CPU cores, beside NCL and SGL, whose time is not known")


def test_a_damaged_entry_says_nothing(store):
    store.add("SGL", 3600, seed=1)
    (manifest,) = store.root.glob("*/SGL-*/manifest.json")
    manifest.write_text(manifest.read_text().replace("3600", "9999"))
    assert store.seconds("data") == {}


def test_the_size_of_data_that_are_not_loaded(tmp_path):
    assert size_of_files(None, "ml-100k") == Size(60_000, 943, 1682)
    (tmp_path / "mine").mkdir()
    for part, user in (("train", "a"), ("valid", "b")):
        lines = "".join(f"{time}\t{user}\t{time % 5}\n" for time in range(10))
        (tmp_path / "mine" / f"mine.{part}.inter").write_text(f"time:float\tuser_id:token\titem_id:token\n{lines}")
    assert size_of_files(str(tmp_path), "mine") == Size(12, 2, 5)
    assert size_of_files(str(tmp_path), "no such") == Size(0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"who:token\twhat:token\n1\t2\n", b"user_id:token\n1\n", b"\xff\xfe\t1\n2\n"])
def test_what_is_no_file_of_interactions_is_no_error_here(tmp_path, content):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.inter").write_bytes(content)
    assert size_of_files(str(tmp_path), "mine") in (Size(0, 0, 0), Size(0.6, 1, 1))


def test_a_larger_catalogue_takes_longer_with_as_many_interactions():
    small, large = Size(60_000, 1000, 1000), Size(60_000, 1000, 100_000)
    assert model_seconds("MultiVAE", None, large) > 10 * model_seconds("MultiVAE", None, small)
    half = model_seconds("MultiVAE", 60, large)
    assert half == pytest.approx(model_seconds("MultiVAE", None, large) / 2)
    assert model_seconds("SASRec", None, large) is None
    alone = student_seconds(None, large, alone=True)
    assert model_seconds("NoKD", None, large) == alone == model_seconds("NoKD", 120, large) / 2
    assert student_seconds(None, large, 8, alone=True) == 3 * alone
    assert student_seconds(None, large, 8) == 3 * student_seconds(60, large, 8) == 3 * student_seconds(None, large)
