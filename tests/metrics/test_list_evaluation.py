"""Evaluating lists against RecBole's own evaluation of score matrices, on ml-100k."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.evaluator import Collector
from recbole.evaluator.collector import DataStruct
from recbole.trainer import Trainer
from recbole.utils import get_model, get_trainer, init_seed
from torch import Tensor

from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.metrics import lists as evaluation
from recbole_hetcomp.metrics.lists import (
    ListCollector,
    evaluating_lists,
    needs_lists_only,
    stored_top_lists,
    top_list_entries,
)
from recbole_hetcomp.recbole_bridge.config import memory_for_scores, run_settings
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import SCORES_AT_ONCE
from recbole_hetcomp.teachers.fusion import ensemble_lists
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import SnapshotSpool, Trajectory

LIST_METRICS = ["Recall", "NDCG", "MRR", "Precision", "Hit", "MAP"]
COUNT_METRICS = ["ItemCoverage", "AveragePopularity", "ShannonEntropy", "GiniIndex", "TailPercentage"]
SETTINGS = {
    "eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "user", "order": "RO", "mode": "full"},
    "metrics": LIST_METRICS,
    "topk": [10, 50],
    "valid_metric": "Recall@10",
    "metric_decimal_place": 12,
    "eval_batch_size": 200_000,
    "train_batch_size": 16384,
    "epochs": 2,
    "eval_step": 1,
}


class Part:
    """A model, its data and both trainers: RecBole's and the one that evaluates lists."""

    def __init__(self, model: str, **more: Any) -> None:
        batch = {"train_batch_size": 256} if model == "MultiVAE" else {}
        self.config = Config(model=model, dataset="ml-100k", config_dict={**SETTINGS, **batch, **more})
        init_seed(1, reproducibility=True)  # the split's too
        self.train, self.valid, self.test = data_preparation(self.config, create_dataset(self.config))
        self.model = get_model(model)(self.config, self.train._dataset)
        kind = get_trainer(self.config["MODEL_TYPE"], model)
        self.recboles, self.ours = kind(self.config, self.model), evaluating_lists(kind)(self.config, self.model)
        assert isinstance(self.ours, kind)
        for trainer in (self.recboles, self.ours):
            trainer.eval_collector.data_collect(self.train)

    def learn(self) -> Part:
        self.recboles.fit(self.train, None, verbose=False, saved=False)
        return self

    @property
    def interactions(self) -> Interactions:
        return Interactions.from_datasets(self.train._dataset, self.valid._dataset)


def evaluated_by_lists(trainer: Any, loader: Any, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """Evaluate, and fail if RecBole's collector saw a matrix of scores."""

    def fail(*_: Any) -> None:
        raise AssertionError("RecBole's evaluation of scores ran")

    with monkeypatch.context() as patch:
        patch.setattr(Collector, "eval_batch_collect", fail)
        return trainer.evaluate(loader, **{"load_best_model": False, **more})


# --- the same numbers ---


@pytest.mark.parametrize("model", ["BPR", "LightGCN", "EASE", "MultiVAE"])
def test_metrics_are_recboles_to_the_last_digit(model, monkeypatch):
    part = Part(model).learn()
    assert max(part.valid.uid2items_num) > 50  # users with more positives than places
    for loader in (part.valid, part.test):
        expected = part.recboles.evaluate(loader, load_best_model=False)
        found = evaluated_by_lists(part.ours, loader, monkeypatch)
        assert isinstance(found, OrderedDict)
        assert list(found.items()) == list(expected.items())
        assert len(found) == 2 * len(LIST_METRICS)


def test_without_full_sort_prediction_too(monkeypatch):
    """NeuMF, whose every pair goes through its network."""
    part = Part("NeuMF", mlp_hidden_size=[8], mf_embedding_size=8, mlp_embedding_size=8)
    expected = part.recboles.evaluate(part.valid, load_best_model=False)
    found = evaluated_by_lists(part.ours, part.valid, monkeypatch)
    assert found == pytest.approx(expected, abs=2e-3)  # the sigmoid's ties go elsewhere


def test_equal_scores_change_little(monkeypatch):
    """Pop: many items are as popular as others; RecBole leaves their order to the sort."""
    part = Part("Pop")
    part.model.item_cnt = part.interactions.item_counts[:, None]
    part.model.max_cnt = part.model.item_cnt.max()
    for loader in (part.valid, part.test):
        expected = part.recboles.evaluate(loader, load_best_model=False)
        assert evaluated_by_lists(part.ours, loader, monkeypatch) == pytest.approx(expected, abs=1e-2)


def test_metrics_of_items_and_counts(monkeypatch):
    """RecBole's own collector fails on the counts of data.*; its metrics do not."""
    part = Part("BPR", metrics=["Recall", *COUNT_METRICS]).learn()
    with pytest.raises(AttributeError):
        part.recboles.evaluate(part.valid, load_best_model=False)
    struct = recboles_collection(part)
    expected = part.recboles.evaluator.evaluate(struct)
    for _ in range(2):  # the counts stay for the next evaluation
        found = evaluated_by_lists(part.ours, part.valid, monkeypatch)
        assert list(found.items()) == list(expected.items())


@torch.no_grad()
def recboles_collection(part: Part) -> DataStruct:
    """What RecBole collects of a validation, the counts put in by hand."""
    collector, counts = Collector(part.config), Collector(part.config)
    for batch in part.valid:
        interaction, *rest = part.recboles._full_sort_batch_eval(batch)
        collector.eval_batch_collect(rest[0], interaction, *rest[1:])
    struct = collector.get_data_struct()
    counts.data_collect(part.train)
    for key in ("data.num_items", "data.count_items"):
        struct.set(key, counts.data_struct.get(key))
    return struct


def test_the_best_model_is_loaded_as_recbole_loads_it(monkeypatch, tmp_path):
    part = Part("BPR").learn()
    expected = part.recboles.evaluate(part.test, load_best_model=False)
    part.recboles._save_checkpoint(0, verbose=False, saved_model_file=str(tmp_path / "best.pth"))
    with torch.no_grad():
        part.model.item_embedding.weight.mul_(-1)
    assert evaluated_by_lists(part.ours, part.test, monkeypatch) != expected
    file = str(tmp_path / "best.pth")
    found = evaluated_by_lists(part.ours, part.test, monkeypatch, load_best_model=True, model_file=file)
    assert found == expected
    part.ours.saved_model_file = file
    assert evaluated_by_lists(part.ours, part.test, monkeypatch, load_best_model=True) == expected


@pytest.mark.parametrize("budget", [16, 17, 256])
def test_no_metric_depends_on_the_memory(monkeypatch, budget):
    part = Part("BPR", memory_budget_mb=budget).learn()
    monkeypatch.setattr(evaluation, "memory_for_scores", lambda config: memory_for_scores(config) // 100)
    found = evaluated_by_lists(part.ours, part.valid, monkeypatch)
    assert found == part.recboles.evaluate(part.valid, load_best_model=False)


def test_the_default_budget_is_one():
    assert memory_for_scores(Config(model="BPR", dataset="ml-100k", config_dict={})) == SCORES_AT_ONCE


# --- when RecBole's own evaluation stays ---


@pytest.mark.parametrize(
    "more",
    [
        {"metrics": ["Recall", "GAUC"]},
        {"eval_args": {**SETTINGS["eval_args"], "mode": "uni50"}},
    ],
    ids=["whole score vectors", "sampled candidates"],
)
def test_what_needs_scores_is_left_to_recbole(monkeypatch, more):
    part = Part("BPR", **more).learn()
    torch.manual_seed(0)
    expected = part.recboles.evaluate(copy.copy(part.valid), load_best_model=False)
    monkeypatch.setattr(ListCollector, "collect_lists", None)
    torch.manual_seed(0)
    assert set(part.ours.evaluate(part.valid, load_best_model=False)) == set(expected)
    if "GAUC" in part.config["metrics"]:
        assert part.ours.evaluate(part.valid, load_best_model=False) == expected
    with pytest.raises(ValueError, match="need more than top lists"):
        part.ours.evaluate_lists(torch.zeros(944, 5, dtype=torch.int32), part.valid)


def test_nothing_to_evaluate_gives_nothing():
    assert Part("BPR").ours.evaluate(None, load_best_model=False) is None


def test_needs():
    config = {"metrics": ["recall", "ItemCoverage"]}
    assert needs_lists_only(config)
    for metric in ("GAUC", "AUC", "LogLoss"):
        assert not needs_lists_only({"metrics": ["Recall", metric]})


def test_a_trainer_with_an_evaluation_of_its_own_keeps_it():
    class Own(Trainer):
        def _full_sort_batch_eval(self, batched_data: Any) -> Any:
            return super()._full_sort_batch_eval(batched_data)

    assert evaluating_lists(Own) is Own
    assert evaluating_lists(Trainer) is evaluating_lists(Trainer)
    assert evaluating_lists(Trainer).__name__ == "Trainer"


# --- the parts ---


def small(history: list[list[int]], positives: list[list[int]], users: list[int]) -> EvaluatedUsers:
    def membership(pairs: list[list[int]]) -> Membership:
        both = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
        return Membership.of(Ragged.from_pairs(both[:, 0], both[:, 1], 4))

    return EvaluatedUsers(torch.tensor(users), membership(positives), membership(history), 10)


def test_entries_by_hand():
    lists = torch.tensor([[5, 2, 8], [5, 2, PAD], [1, 2, 3]], dtype=torch.int32)
    users = small([], [[3, 2], [3, 8], [3, 9], [3, 7], [1, 5]], [3, 1, 2])  # user 2 has nothing to be found
    entries = top_list_entries(lists, users)
    assert entries["rec.topk"].tolist() == [[0, 1, 1, 4], [1, 0, 0, 1], [0, 0, 0, 0]]
    assert entries["rec.topk"].dtype == torch.int32
    assert entries["rec.items"].tolist() == [[5, 2, 8], [5, 2, 0], [1, 2, 3]]


def test_nobody_has_anything_to_be_found():
    assert top_list_entries(torch.tensor([[5, 2]]), small([], [], [1]))["rec.topk"].tolist() == [[0, 0, 0]]


def test_stored_lists_are_served_without_the_history():
    lists = torch.tensor([[PAD] * 4, [5, 2, 8, 1], [3, 4, PAD, PAD], [9, 8, 7, 6]])
    users = small([[1, 5], [1, 8], [2, 9]], [], [2, 1])
    assert stored_top_lists(lists, users, 2).tolist() == [[3, 4], [2, 1]]
    assert stored_top_lists(lists, users, 6).tolist() == [[3, 4] + [PAD] * 4, [2, 1] + [PAD] * 4]


def test_a_loader_is_read_once():
    loader = Part("BPR").valid
    read = EvaluatedUsers.of(loader)
    assert EvaluatedUsers.of(loader) is read
    assert torch.equal(read.users, loader.uid_list)
    for user in read.users[:50].tolist():
        for kept, items in ((read.positives, loader.uid2positive_item), (read.history, loader.uid2history_item)):
            rows = kept.items.values[kept.items.offsets[user] : kept.items.offsets[user + 1]]
            assert rows.tolist() == sorted(items[user].tolist())


# --- one scoring a validation ---


@pytest.mark.parametrize(("length", "topk"), [(60, [10, 50]), (5, [3, 20])])
def test_a_recorded_validation_has_recboles_metrics_and_scores_once(tmp_path, monkeypatch, length, topk):
    part = Part("BPR", topk=topk, valid_metric=f"Recall@{topk[0]}").learn()
    expected = part.recboles.evaluate(part.valid, load_best_model=False)
    scored: list[int] = []
    predict = type(part.model).full_sort_predict

    def counted(self: Any, interaction: Any) -> Tensor:
        scored.append(len(interaction))
        return predict(self, interaction)

    monkeypatch.setattr(type(part.model), "full_sort_predict", counted)
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(part.interactions, spool, length, 30)
        part.ours.recorder = recorder
        assert evaluated_by_lists(part.ours, part.valid, monkeypatch) == expected
        recorder.record(part.model, 0, 0.5)
        once = spool.build(1)
        assert sum(scored) == 943
        assert evaluated_by_lists(part.ours, part.test, monkeypatch) != expected  # another history: not the recorder's
    with SnapshotSpool(tmp_path) as spool:
        alone = SnapshotRecorder(part.interactions, spool, length, 30, budget=100 * 1683)
        alone.record(part.model, 0, 0.5)
        again = spool.build(1)
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    assert torch.equal(recorder.served, alone.served)


# --- the ensemble's length ---


def test_a_cut_ensemble_serves_what_the_whole_one_would():
    """Teachers that list many validation items: enough of the ensemble is left behind them."""
    generator = torch.Generator().manual_seed(3)
    n_users, n_items, each = 6, 60, 12
    users = torch.arange(1, n_users).repeat_interleave(8)
    items = torch.randint(1, n_items, (len(users),), generator=generator)
    observed = Ragged.from_pairs(users[::2], items[::2], n_users)
    data = Interactions(
        n_users, n_items, observed, Ragged.from_pairs(users, items, n_users), observed.lengths() > 0, "test"
    )
    teachers = [one_snapshot(data, each, generator) for _ in range(3)]
    settings = run_settings(Config(model="HetComp", dataset="ml-100k", config_dict={}))
    whole, cut = (
        ensemble_lists(data, teachers, settings, served_length, settings.block_elements) for served_length in (100, 5)
    )
    left_out = int((data.served.lengths() - observed.lengths()).max())
    assert whole.shape == (n_users, 3 * each)
    assert cut.shape == (n_users, 5 + left_out)
    assert torch.equal(cut, whole[:, : cut.shape[1]])
    wanted = EvaluatedUsers(data.users, Membership.of(observed), Membership.of(data.served), n_items)
    assert torch.equal(stored_top_lists(cut, wanted, 5), stored_top_lists(whole, wanted, 5))


def one_snapshot(data: Interactions, length: int, generator: torch.Generator) -> Trajectory:
    lists = torch.stack([torch.randperm(data.n_items - 1, generator=generator)[:length] + 1 for _ in data.active])
    lists[~data.active] = PAD
    return Trajectory(
        unobserved=lists.int()[None],
        observed_ranks=torch.zeros(1, data.observed.values.shape[0], dtype=torch.int16),
        epochs=(0,),
        scores=(0.1,),
        settings={},
    )
