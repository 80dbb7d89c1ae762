"""A metric from outside of RecBole and the package: known wherever either looks, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.evaluator import register as tables
from recbole.evaluator.base_metric import AbstractMetric, TopkMetric
from recbole.evaluator.metrics import Recall
from recbole.trainer import Trainer
from recbole.utils import EvaluatorType, get_model, init_seed

from recbole_hetcomp.comparison.checks import check_plan
from recbole_hetcomp.comparison.plan_file import make_plan
from recbole_hetcomp.metrics.lists import ListCollector, evaluating_lists, needs_lists_only
from recbole_hetcomp.metrics.per_user import KeepingEvaluator, is_per_user, per_user_values
from recbole_hetcomp.metrics.register import register_metric
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists
from recbole_hetcomp.teachers.ensemble import TeacherEnsembleTrainer

PERSISTENCE = 0.8


class RBP(TopkMetric):
    """Rank-biased precision: each place is looked at with 0.8 of the probability of the one before."""

    def calculate_metric(self, dataobject):
        hits, _ = self.used_info(dataobject)
        return self.topk_result("rbp", self.metric_info(hits))

    def metric_info(self, pos_index, pos_len=None):
        looked_at = (1 - PERSISTENCE) * PERSISTENCE ** np.arange(pos_index.shape[1])
        return np.cumsum(pos_index * looked_at, axis=1)


class RBPLost(RBP):
    """What is missing to 1, of items instead of hits: smaller is better."""

    smaller = True

    def calculate_metric(self, dataobject):
        hits, _ = self.used_info(dataobject)
        return self.topk_result("rbplost", 1 - self.metric_info(hits))


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """Both metrics registered, and RecBole's tables as they were afterwards."""
    maps = (tables.metrics_dict, tables.metric_types, tables.metric_information)
    before, smaller = [dict(table) for table in maps], list(tables.smaller_metrics)
    register_metric(RBP)
    register_metric(RBPLost)
    yield
    for table, entries in zip(maps, before):
        table.clear()
        table.update(entries)
    tables.smaller_metrics[:] = smaller


SETTINGS = {
    "eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "user", "order": "RO", "mode": "full"},
    "metrics": ["Recall", "RBP", "rbplost"],
    "topk": [5, 20],
    "valid_metric": "RBP@5",
    "metric_decimal_place": 12,
    "eval_batch_size": 200_000,
}


class Part:
    """BPR as it is made, its data, and a list of 20 + history items for each user as a teacher's is stored."""

    def __init__(self) -> None:
        self.config = Config(model="BPR", dataset="ml-100k", config_dict=SETTINGS)
        init_seed(1, reproducibility=True)
        self.train, _, self.test = data_preparation(self.config, create_dataset(self.config))
        self.model = get_model("BPR")(self.config, self.train._dataset)
        self.evaluated = EvaluatedUsers.of(self.test)
        users, history = torch.arange(self.train._dataset.user_num), self.evaluated.history.items
        length = 20 + int(history.lengths().max())
        nothing = type(history).from_pairs(users[:0], users[:0], len(users))
        self.stored = ranked_lists(self.model, users, self.evaluated.n_items, nothing, length)
        self.lists = ranked_lists(self.model, self.evaluated.users, self.evaluated.n_items, history, 20)


@pytest.fixture
def part() -> Part:
    return Part()


def by_hand(part: Part) -> dict[int, np.ndarray]:
    """The metric of each evaluated user at 5 and at 20, by a loop over places."""
    values: dict[int, list[float]] = {5: [], 20: []}
    for user, row in zip(part.evaluated.users.tolist(), part.lists.tolist()):
        positives = set(part.test.uid2positive_item[user].tolist())
        for k, column in values.items():
            column.append(sum(0.2 * 0.8**place for place, item in enumerate(row[:k]) if item in positives))
    return {k: np.array(column) for k, column in values.items()}


# --- known everywhere ---


def test_a_config_takes_it():
    config = Config(model="BPR", dataset="ml-100k", config_dict=SETTINGS)
    assert config["eval_type"] == EvaluatorType.RANKING
    assert config["valid_metric_bigger"]
    assert needs_lists_only(config)
    assert not Config(model="BPR", dataset="ml-100k", config_dict={**SETTINGS, "valid_metric": "RBPLost@5"})[
        "valid_metric_bigger"
    ]
    with pytest.raises(ValueError, match="metrics names the unknown 'RBPs'"):
        Config(model="BPR", dataset="ml-100k", config_dict={**SETTINGS, "metrics": ["RBPs"]})


def test_recboles_evaluator_computes_it(part):
    found = Trainer(part.config, part.model).evaluate(part.test, load_best_model=False)
    for k, values in by_hand(part).items():
        assert 0 < found[f"rbp@{k}"] == pytest.approx(values.mean(), abs=1e-11)
        assert found[f"rbplost@{k}"] == pytest.approx(1 - values.mean(), abs=1e-11)


def test_scores_and_stored_lists_give_the_same(part, monkeypatch):
    expected = Trainer(part.config, part.model).evaluate(part.test, load_best_model=False)
    monkeypatch.setattr(ListCollector.__base__, "eval_batch_collect", None)  # no matrix of scores
    student = evaluating_lists(Trainer)(part.config, part.model)
    teachers = TeacherEnsembleTrainer(part.config, part.model)
    assert list(student.evaluate(part.test, load_best_model=False).items()) == list(expected.items())
    assert teachers.evaluate_lists(part.stored, part.test) == dict(expected)


def test_it_has_a_value_for_each_user(part):
    trainer = evaluating_lists(Trainer)(part.config, part.model)
    trainer.evaluator = KeepingEvaluator(trainer.evaluator)
    trainer.evaluate(part.test, load_best_model=False)
    values = per_user_values(part.config, trainer.evaluator.struct)
    assert list(values) == [f"{name}@{k}" for name in ("recall", "rbp", "rbplost") for k in (5, 20)]
    for k, expected in by_hand(part).items():
        np.testing.assert_allclose(values[f"rbp@{k}"], expected, rtol=0, atol=1e-15)


def test_a_plan_takes_it():
    settings = {"metrics": ["Recall", "RBP"], "topk": [10, 50], "valid_metric": "RBP@10"}
    plan = {
        "dataset": "ml-100k",
        "seeds": [1],
        "teachers": {"models": ["BPR"]},
        "students": {"backbones": {"BPR": {"dimensions": [4]}}, "methods": {"HetComp": {}}},
        "settings": settings,
        "metric": "rbp@50",
    }
    check_plan(make_plan(plan))
    with pytest.raises(ValueError, match=r"'RBPs'; did you mean 'rbp'\?.*bigger is better: .*rbp, recall"):
        check_plan(make_plan({**plan, "settings": {**settings, "metrics": ["RBPs"]}}))
    with pytest.raises(ValueError, match=r"settings\.metrics names 'RBPLost'"):
        check_plan(make_plan({**plan, "settings": {**settings, "metrics": ["RBP", "RBPLost"]}}))


# --- what has no value for each user ---


def test_means_are_not_taken_for_users_values(part):
    @register_metric
    class Mean(RBP):
        def calculate_metric(self, dataobject):
            return {"mean@5": 0.5}

    @register_metric
    class Median(RBP):
        def topk_result(self, metric, value):
            return {f"median@{k}": np.median(value[:, k - 1]) for k in self.topk}

    @register_metric
    class OfCounts(RBP):
        metric_need = ("rec.topk", "data.count_items")

    assert [name for name in ("RBP", "RBPLost", "Mean", "Median", "OfCounts") if is_per_user(name)] == [
        "RBP",
        "RBPLost",
        "Mean",
    ]
    with pytest.raises(ValueError, match="'Mean' has no value for each user"):
        per_user_values({**SETTINGS, "metrics": ["Mean"]}, None)


# --- what is refused ---


def test_a_taken_name_is_refused():
    for name, message in (("recall", r"'recall' is taken: recbole\.evaluator\.metrics\.Recall"), ("Rbp", "'rbp' is")):
        with pytest.raises(ValueError, match=message):
            register_metric(type(name, (TopkMetric,), {}))
    assert tables.metrics_dict["recall"] is Recall
    assert tables.metrics_dict["rbp"] is RBP


def test_the_same_class_twice_is_one_metric():
    assert register_metric(RBPLost) is RBPLost
    assert register_metric(Recall) is Recall
    assert tables.smaller_metrics.count("rbplost") == 1


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"metric_type": "ranking"}, "Odd.metric_type is 'ranking'; allowed: EvaluatorType.RANKING or .VALUE"),
        (
            {"metric_need": ["rec.tops"]},
            r"Odd.metric_need is \['rec.tops'\]; allowed: a list of some of rec.items",
        ),
        ({"metric_need": "rec.topk"}, "Odd.metric_need is 'rec.topk'"),
        ({"metric_need": []}, r"Odd.metric_need is \[\]"),
        ({"smaller": 1}, "Odd.smaller is 1; allowed: True or False"),
    ],
)
def test_a_wrong_attribute_is_refused(attributes, message):
    with pytest.raises(ValueError, match=message):
        register_metric(type("Odd", (TopkMetric,), attributes))
    assert "odd" not in tables.metrics_dict


def test_what_is_no_metric_is_refused():
    with pytest.raises(ValueError, match="metric_type is None"):
        register_metric(type("Bare", (AbstractMetric,), {}))
    for other in (int, RBP.calculate_metric):
        with pytest.raises(TypeError, match="is no metric"):
            register_metric(other)


def test_recboles_own_metrics_would_be_taken():
    """What is refused is nothing that RecBole has."""
    for name, metric in list(tables.metrics_dict.items()):
        own = type(f"Own{name}", (metric,), {})
        assert register_metric(own) is own
