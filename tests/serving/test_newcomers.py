"""Users who come with their items: near what training gives them, far above popularity; what a model cannot do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import recbole_hetcomp
from recbole_hetcomp.core import Ragged
from recbole_hetcomp.serving.export.write import Wanted, export
from recbole_hetcomp.serving.newcomers import Newcomers
from recbole_hetcomp.serving.recommender import Recommender, load

WELL_TRAINED = {
    "teachers": ["EASE"], "curriculum": "none", "use_consistency": False, "compare_no_kd": False,
    "learning_rate": 0.06, "learning_rate_schedule": "cosine", "epochs": 30, "eval_step": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def student(tiny_run) -> Any:
    return tiny_run(**WELL_TRAINED).checkpoint


@pytest.fixture(scope="module")
def split(student) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Each user's training items, and validation and test items, by external ids."""
    *_, train, valid, test = recbole_hetcomp.load_data_and_model(str(student))
    had: dict[str, list[str]] = {}
    later: dict[str, set[str]] = {}
    for data in (train, valid, test):
        dataset = data._dataset
        users, items = (dataset.field2id_token[field] for field in ("user_id", "item_id"))
        for user, item in zip(dataset.inter_feat["user_id"], dataset.inter_feat["item_id"]):
            if data is train:
                had.setdefault(users[user], []).append(items[item])
            else:
                later.setdefault(users[user], set()).add(items[item])
    return had, later


def recall(found: Any, later: dict[str, set[str]]) -> float:
    """Of held-out items, the share among a user's first 50; a newcomer is a user with ``new-`` before the id."""
    shares = []
    for user, items in zip(found.users, found.items):
        wanted = later.get(user.removeprefix("new-"), set())
        if wanted:
            shares.append(len(wanted & set(items)) / len(wanted))
    return float(np.mean(shares))


def test_the_closed_form_of_known_users_is_near_what_was_trained_and_far_above_popularity(student, split):
    """The model's closed form is fitted to one half of the users, the other half is asked for."""
    had, later = split
    recommender = load(student, seen="training")
    everyone = [user for user in recommender.users if user in had]
    strangers = everyone[::2]
    forget = torch.tensor([recommender._users[user] for user in strangers])
    newcomers = recommender._newcomers
    assert newcomers is not None
    kept = torch.ones(newcomers._training.n_rows, dtype=torch.bool)
    kept[forget] = False
    owner = torch.arange(len(kept)).repeat_interleave(newcomers._training.lengths())
    pairs = owner[kept[owner]], newcomers._training.values[kept[owner]]
    newcomers._training = Ragged.from_pairs(*pairs, len(kept))

    trained = recall(recommender.recommend(strangers, 50), later)
    histories = {f"new-{user}": had[user] for user in strangers}
    closed = recommender.recommend(histories, 50, histories=histories)
    popular = recommender.recommend(histories, 50, exclude=histories)
    assert popular.fallback.all()
    assert not closed.fallback.any()
    assert recall(closed, later) > 0.95 * trained
    assert recall(closed, later) > 1.3 * recall(popular, later)


def test_a_newcomer_is_not_recommended_what_they_came_with_and_known_users_are_untouched(student):
    recommender = load(student)
    found = recommender.recommend(["new", "196", "other"], 20, histories={"new": ["50", "172", "nothing"], "other": []})
    assert not {"50", "172"} & set(found.items[0])
    assert found.fallback.tolist() == [False, False, True]
    assert found.items[1].tolist() == recommender.recommend(["196"], 20).items[0].tolist()


def test_a_known_user_may_come_with_newer_items(student):
    recommender = load(student)
    both = recommender.recommend(["196", "new"], 20, histories={"196": ["50", "172"], "new": ["172", "50"]})
    assert both.items[0].tolist() == both.items[1].tolist()


def test_a_vector_scores_by_its_dot_product(student):
    recommender = load(student)
    vector = recommender.vector_of(["50", 172, "50", "nothing"])
    found = recommender.recommend(["new"], 5, histories={"new": ["50", "172"]})
    assert recommender._newcomers is not None
    items = recommender._newcomers.form.other
    ids = [recommender._items[item] for item in found.items[0]]
    np.testing.assert_allclose(items[ids].numpy() @ vector, found.scores[0], rtol=1e-5)


def test_an_export_ranks_newcomers_as_its_student_does(student, tmp_path):
    """With the training split left out of both, the linear model is fitted to the same items."""
    export(student, tmp_path / "export", Wanted(seen="training"))
    asked: dict[str, Any] = {"users": ["new"], "k": 10, "histories": {"new": ["50", "172", "181"]}}
    one, other = (load(place, seen="training").recommend(**asked) for place in (student, tmp_path / "export"))
    assert one.items.tolist() == other.items.tolist()
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3)


def test_items_that_nobody_knows_have_no_vector(student):
    with pytest.raises(ValueError, match="knows none of the 1 items"):
        load(student).vector_of(["nothing"])


def test_a_model_without_factors_says_so():
    seen, counts = Ragged.from_pairs(torch.tensor([1]), torch.tensor([1]), 2), torch.ones(2)
    recommender = Recommender(lambda users: torch.zeros(len(users), 2), ["", "u"], ["", "i"], seen, counts, 10)
    for ask in (
        lambda: recommender.vector_of(["i"]),
        lambda: recommender.recommend(["new"], 1, histories={"new": ["i"]}),
    ):
        with pytest.raises(ValueError, match="its scores are no dot products"):
            ask()


@pytest.mark.parametrize("backbone", ["LightGCN", "CML"])
def test_other_backbones_whose_score_is_a_dot_product(backbone, tiny_run):
    run = tiny_run(**{**WELL_TRAINED, "epochs": 2, "eval_step": 2, "student_backbone": backbone})
    recommender = load(run.checkpoint)
    found = recommender.recommend(["new"], 30, histories={"new": ["50", "172", "181", "174"]})
    liked = recommender.recommend(["new"], 30, histories={"new": ["288", "294", "300", "313"]})
    assert not found.fallback.any()
    assert set(found.items[0]) != set(liked.items[0])


def test_only_dot_products_have_newcomers():
    model = torch.nn.Linear(1, 1)
    model.device = "cpu"
    adapter = SimpleNamespace(model=model, factors=lambda users: None)
    pairs = Ragged.from_pairs(torch.tensor([1]), torch.tensor([1]), 2)
    assert Newcomers.of(SimpleNamespace(adapter=adapter), pairs) is None
