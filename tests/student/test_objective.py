"""The objective's ways to the same loss: fused, plain, and with a sampled rest."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import BLOCK_ELEMENTS
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.lesson_settings import EXACT_UP_TO, OWN_LIST_WEIGHT, REST_DRAWS, Consensus
from recbole_hetcomp.recbole_bridge.scoring import all_item_scores, pair_scores
from recbole_hetcomp.student import model as base
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.student.objective import ListwiseObjective, TaughtLists
from recbole_hetcomp.teachers.knowledge import Knowledge
from recbole_hetcomp.trajectories import Trajectory


def taught_lists(data: Interactions, consensus: Consensus, teachers: list[Trajectory]) -> TaughtLists:
    named = tuple((str(number), teacher) for number, teacher in enumerate(teachers))
    ensemble = torch.empty(data.n_users, 0, dtype=torch.int32)
    knowledge = Knowledge(data, "run", named, consensus, ensemble, None)
    return TaughtLists(knowledge, BLOCK_ELEMENTS, torch.device("cpu"), "separate")


class TaughtStudent:
    """A student of ml-100k and random lists to teach it."""

    def __init__(self, **settings: Any) -> None:
        given = {"epochs": 1, "K": 30, "embedding_size": 4, **settings}
        config = Config(model="HetComp", dataset="ml-100k", config_dict=given)
        dataset = create_dataset(config)
        train, valid, _ = data_preparation(config, dataset)
        torch.manual_seed(0)
        self.model = get_model("HetComp")(config, train._dataset)
        self.data = Interactions.from_datasets(train._dataset, valid._dataset)
        self.settings = self.model.settings
        self.lists = taught_lists(self.data, self.settings, [])
        generator = torch.Generator().manual_seed(1)
        for user in self.data.users.tolist():
            history = self.data.observed.padded(torch.tensor([user]))[0]
            order = torch.randperm(self.data.n_items - 1, generator=generator) + 1
            self.lists.unobserved[user] = order[~torch.isin(order, history)][:30].int()
            self.lists.observed[user, : min(3, len(history))] = history[:3].int()
        self.users = self.data.users[:200]
        self.fine = torch.arange(200) % 2 == 0

    def loss(self, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        objective = ListwiseObjective(self.lists, self.settings, self.data.n_items, generator)
        return objective(self.model, self.users, self.fine)

    def gradients(self, seed: int = 0) -> list[torch.Tensor]:
        return list(torch.autograd.grad(self.loss(seed), list(self.model.parameters())))


def error(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max(float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(found, expected))


@pytest.mark.parametrize("draws", [0, 500])
@pytest.mark.parametrize("backbone", ["BPR", "LightGCN", "CML"])
def test_the_fused_loss_of_a_dot_product_student_is_that_of_the_plain_path(
    backbone: str, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = TaughtStudent(student_backbone=backbone, rest_sample_num=draws)
    fused, fused_gradients = float(lesson.loss()), lesson.gradients()
    monkeypatch.setattr(DistilledStudent, "factors", lambda self, users: None)
    assert fused == pytest.approx(float(lesson.loss()), rel=1e-5)
    assert error(fused_gradients, lesson.gradients()) < 1e-5


@pytest.mark.parametrize("backbone", ["BPR", "CML", "NeuMF"])
def test_losses_see_scaled_scores_and_metrics_the_backbones_own(backbone: str) -> None:
    model = TaughtStudent(student_backbone=backbone, score_scale=3.0).model.eval()
    users, items = torch.arange(1, 9), torch.arange(1, 41).view(8, 5)
    expected = 3 * all_item_scores(model.backbone, users, model.n_items)
    if backbone != "NeuMF":  # which ranks by pairs
        served = model.full_sort_predict(Interaction({model.USER_ID: users})).view(8, -1)
        torch.testing.assert_close(3 * served, expected)
    own, shared = model.scores_of(users, items, shared=torch.tensor([7, 9]))
    torch.testing.assert_close(model.all_scores(users), expected)
    torch.testing.assert_close(own, expected.gather(1, items))
    torch.testing.assert_close(shared, expected[:, [7, 9]])
    torch.testing.assert_close(model.scores_of_pairs(users, items[:, 0]), expected.gather(1, items[:, :1])[:, 0])


def test_bounded_scores_are_scaled_by_default() -> None:
    assert TaughtStudent().model.scale == 1.0
    assert TaughtStudent(student_backbone="CML").model.scale == 20.0
    assert TaughtStudent(student_backbone="CML", score_scale=2.5).model.scale == 2.5
    assert TaughtStudent(student_backbone="CML", preset="paper").model.scale == 1.0


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_scale_that_orders_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"score_scale={value} is not allowed"):
        TaughtStudent(score_scale=value)


def test_a_metric_students_step_starts_in_the_unit_ball() -> None:
    model = TaughtStudent(student_backbone="CML").model
    tables = model.backbone.user_embedding.weight, model.backbone.item_embedding.weight
    with torch.no_grad():
        tables[0].mul_(5)
        tables[1].mul_(0.1)
    inside = tables[1].clone()
    model.before_step()
    assert float(tables[0].norm(dim=1).max()) == pytest.approx(1.0)
    assert torch.equal(tables[1], inside)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("backbone", ["BPR", "MultiVAE"])
def test_more_draws_come_closer_to_the_exact_gradient(backbone: str, shared: bool) -> None:
    settings = {"train_neg_sample_args": None} if backbone == "MultiVAE" else {}
    errors = []
    for draws in (0, 8, 1200):
        lesson = TaughtStudent(student_backbone=backbone, rest_sample_num=draws, rest_sample_shared=shared, **settings)
        lesson.model.eval()  # no dropout
        if draws == 0:
            exact, value = lesson.gradients(), float(lesson.loss())
        else:
            errors.append(error(lesson.gradients(), exact))
            found = float(lesson.loss())
    assert errors[1] < errors[0]
    assert found == pytest.approx(value, rel=0.01)


def test_a_student_that_ranks_by_pairs_scores_only_what_is_listed_and_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = TaughtStudent(student_backbone="NeuMF", rest_sample_num=50, student_config={"mlp_hidden_size": [4]})
    lesson.users, lesson.fine = lesson.users[:20], lesson.fine[:20]
    lesson.model.eval()  # no dropout
    found, gradients = float(lesson.loss()), lesson.gradients()
    scored = []
    monkeypatch.setattr(base, "pair_scores", lambda *given: scored.append(given[1].shape[0]) or pair_scores(*given))
    lesson.loss()
    assert scored == [20 * (3 + 30 + 50)]
    monkeypatch.setattr(base, "ranks_by_pairs", lambda model: False)
    assert found == pytest.approx(float(lesson.loss()), rel=1e-5)
    torch.testing.assert_close(gradients, lesson.gradients(), rtol=1e-4, atol=1e-6)  # the last bias's is 0


@pytest.mark.parametrize(("draws", "shared"), [(0, True), (1600, True), (1600, False)])
def test_the_padding_item_is_in_no_rest(draws: int, shared: bool) -> None:
    lesson = TaughtStudent(rest_sample_num=draws, rest_sample_shared=shared)
    expected = float(lesson.loss())
    with torch.no_grad():
        lesson.model.backbone.item_embedding.weight[0] = 1e4
    assert float(lesson.loss()) == pytest.approx(expected, rel=1e-6)


def test_draws_by_the_catalogues_size() -> None:
    settings = TaughtStudent().settings
    assert settings.rest_sample_num is None
    assert settings.draws(1682) == 0
    assert (settings.draws(EXACT_UP_TO), settings.draws(EXACT_UP_TO + 1)) == (0, REST_DRAWS)
    assert TaughtStudent(rest_sample_num=7).settings.draws(1682) == 7


def test_own_lists_are_taught_by_themselves_where_dimensions_are_few() -> None:
    settings = TaughtStudent().settings
    assert settings.own_list_weight is None
    assert [settings.own_weight(items, 8) for items in (21_999, 22_000)] == [0.0, OWN_LIST_WEIGHT]
    assert [settings.own_weight(items, 8) for items in (EXACT_UP_TO, EXACT_UP_TO + 1)] == [OWN_LIST_WEIGHT, 0.0]
    assert settings.own_weight(22_000, 0) == 0.0
    for without in ({"observed_knowledge": "joint"}, {"adkt": "coarse"}, {"fine_weight": 0.0}):
        assert attrs.evolve(settings, **without).own_weight(22_000, 8) == 0.0
    assert TaughtStudent(own_list_weight=7).settings.own_weight(1682, 8) == 7
    assert TaughtStudent(preset="paper", own_list_weight=None).settings.own_weight(22_000, 8) == OWN_LIST_WEIGHT
    assert TaughtStudent(preset="paper").settings.own_weight(22_000, 8) == 0.0


def test_lists_padded_from_the_start_teach_nothing() -> None:
    lesson = TaughtStudent()
    lesson.lists.unobserved[:] = PAD
    lesson.lists.observed[:] = PAD
    assert float(lesson.loss()) == 0.0


def test_a_popularity_discount_teaches_less_popular_items() -> None:
    lesson = TaughtStudent(popularity_discount=0.2)
    generator = torch.Generator().manual_seed(2)
    data, n_users = lesson.data, lesson.data.n_users
    rankings = [
        torch.stack([torch.randperm(data.n_items - 1, generator=generator)[:60] + 1 for _ in range(n_users)])[None]
        for _ in range(2)
    ]  # one snapshot each of two teachers
    ranks = torch.zeros(1, data.observed.values.shape[0], dtype=torch.int16)
    teachers = [Trajectory(lists.short(), ranks, epochs=(1,), scores=(0.5,)) for lists in rankings]
    taught = {}
    for discount in (0.0, 0.2):
        consensus = attrs.evolve(lesson.settings, popularity_discount=discount, teacher_weights=None)
        lists = taught_lists(data, consensus, teachers)
        lists.rebuild(data.users, torch.zeros(n_users, 2, dtype=torch.int64))
        taught[discount] = lists.unobserved[data.users]
    assert (taught[0.0] != PAD).all()
    popularity = {discount: float(data.item_counts[items.long()].double().mean()) for discount, items in taught.items()}
    assert popularity[0.2] < 0.9 * popularity[0.0]


@pytest.mark.parametrize("follow", [True, False])
def test_taught_observed_items_follow_the_snapshots_or_stay_those_of_the_start(follow):
    student = TaughtStudent()
    data, n_pairs = student.data, student.data.observed.values.shape[0]
    user = int(data.users[0])
    lists = torch.arange(1, 31, dtype=torch.int32).expand(2, data.n_users, 30).contiguous()
    ranks = torch.zeros(2, n_pairs, dtype=torch.int32)
    start, stop = data.observed.offsets[user : user + 2].tolist()
    ranks[0, start:stop] = torch.arange(stop - start, dtype=torch.int32)
    ranks[1] = ranks[0].flip(0)
    ranks[1, start:stop] = ranks[0, start:stop].flip(0)
    teacher = Trajectory(lists, ranks, (1, 2), (0.1, 0.2))
    knowledge = Knowledge(data, "run", (("A", teacher),), Consensus(K=20), torch.empty(data.n_users, 0), None)
    first, last = (torch.full((data.n_users, 1), number) for number in (0, 1))
    device = torch.device("cpu")
    taught = TaughtLists(knowledge, BLOCK_ELEMENTS, device, "separate", None if follow else first)
    rows = torch.tensor([user])
    taught.rebuild(rows, first)
    before = taught.observed[user].tolist()
    taught.rebuild(rows, last)
    history = data.observed.values[start:stop].tolist()
    assert before == history[:2]
    assert taught.observed[user].tolist() == (history[::-1][:2] if follow else before)
