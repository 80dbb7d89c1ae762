"""The compared methods as trainers: their losses from a student's scores, and runs of seconds through run_recbole."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from typing import Any

import attrs
import baseline_oracles
import oracles
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model

import recbole_hetcomp  # noqa: F401
from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import hide
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.recbole_bridge.property_files import read_properties
from recbole_hetcomp.recbole_bridge.registry import STUDENT, models_of_role, registered
from recbole_hetcomp.recbole_bridge.scoring import clear_cache
from recbole_hetcomp.student.objective import _Batch
from recbole_hetcomp.student.trainer import DistillingTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge
from recbole_hetcomp.trajectories import Trajectory

BACKBONES = ["BPR", "LightGCN", "CML", "NeuMF"]
METHODS = [name for name in models_of_role(STUDENT) if not name.startswith("Mine")]
COMPARED = [name for name in METHODS if name not in ("HetComp", "NoKD")]
USERS = torch.tensor([1, 5, 9, 200])


def lesson(method: str, **settings: Any) -> Any:
    """A trainer of ml-100k whose two teachers list random unobserved items."""
    given = {"K": 12, "embedding_size": 4, "teachers": ["BPR", "EASE"], "show_progress": False, **settings}
    config = Config(model=method, dataset="ml-100k", config_dict=given)
    train, data, teachers = knowledge()
    torch.manual_seed(0)
    model = get_model(method)(config, train)
    trainer = registered()[method].trainer(config, model)
    ensemble = torch.empty(data.n_users, 0, dtype=torch.int32)
    weighed = attrs.evolve(model.settings, teacher_weights=(1.0, 1.0))
    trainer.knowledge = Knowledge(data, "run", teachers, weighed, ensemble, None)
    trainer.begin(trainer.knowledge)
    model.eval()
    trainer.before_epoch(0)
    return trainer


@functools.cache
def knowledge() -> tuple[Any, Interactions, tuple[tuple[str, Trajectory], ...]]:
    """The training split, which all settings here share, and two teachers."""
    config = Config(model="HetComp", dataset="ml-100k", config_dict={})
    train, valid, _ = data_preparation(config, create_dataset(config))
    data = Interactions.from_datasets(train._dataset, valid._dataset)
    return train._dataset, data, tuple((name, trajectory(data, seed)) for seed, name in enumerate(("BPR", "EASE")))


def trajectory(data: Interactions, seed: int) -> Trajectory:
    scores = torch.rand(data.n_users, data.n_items, generator=torch.Generator().manual_seed(seed))
    scores = hide(scores, torch.arange(data.n_users), data.observed)
    lists = scores.topk(15, dim=1)[1].short()
    lists[~data.active] = PAD
    ranks = torch.zeros(1, data.observed.values.shape[0], dtype=torch.int16)
    return Trajectory(
        unobserved=lists[None],
        observed_ranks=ranks,
        served=lists,
        epochs=(1,),
        scores=(0.5,),
        settings={},
        info={},
    )


def of_two_snapshots(named: tuple[str, Trajectory]) -> tuple[str, Trajectory]:
    """The teacher with an earlier snapshot that listed its items the other way round."""
    name, one = named
    both = torch.cat((one.unobserved.flip(2), one.unobserved))
    ranks = one.observed_ranks.expand(2, -1).contiguous()
    return name, dataclasses.replace(one, unobserved=both, observed_ranks=ranks, epochs=(1, 2), scores=(0.4, 0.5))


def seen(trainer: Any, user: int) -> list[int]:
    """The padding item and what the user interacted with: what no rest holds."""
    return [0, *trainer.knowledge.data.observed.padded(torch.tensor([user]))[0].tolist()]


def listed(rows: torch.Tensor) -> list[int]:
    return [item for item in rows.tolist() if item != PAD]


# --- losses ---


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", ["RRD", "CLDRD", "MTD"])
def test_the_rest_is_all_unobserved_items(method, backbone):
    more = {"CLDRD": {"stage_groups": [3, 20]}, "MTD": {"gate_entropy": 0.0}}.get(method, {})
    trainer = lesson(method, student_backbone=backbone, **more)
    losses = trainer.user_losses(USERS).detach()
    everything = trainer.model.all_scores(USERS).detach().double()
    for user, f, loss in zip(USERS.tolist(), everything.tolist(), losses.tolist()):
        history, taught = seen(trainer, user), listed(trainer.lists.unobserved[user])
        assert len(taught) == 12
        if method == "RRD":
            expected = oracles.rank_loss(f, history, taught)
        elif method == "CLDRD":
            rest = oracles.logsumexp([f[i] for i in range(len(f)) if i not in history and i not in taught])
            groups = baseline_oracles.equal_groups(12, 3)
            expected = baseline_oracles.grouped_ranking_loss([f[i] for i in taught], rest, groups)
        else:
            rankings = [listed(teacher.unobserved[-1, user])[:12] for _, teacher in trainer.knowledge.teachers]
            expected = baseline_oracles.gated_ranking_loss(f, history, rankings, [0.5, 0.5])
        assert loss == pytest.approx(expected, rel=1e-5)


def expected_loss(method: str, trainer: Any, user: int, f: list[float]) -> float:
    """The equation of a method whose rest of the catalogue plays no part, or that adds to one whose rest does."""
    own, history, taught = trainer.method, seen(trainer, user), listed(trainer.lists.unobserved[user])
    scores = [f[item] for item in taught]
    if method == "RD":
        sample = f[1:] if trainer.warm else None  # as many draws as items: all of them
        weights = baseline_oracles.ranking_weights(scores, sample, len(f) - 1, own.position_temperature, 0.1)
        return baseline_oracles.weighted_log_loss(scores, weights)
    if method == "CD":
        targets, weights = ([math.exp(-k / T) for k in range(12)] for T in (7.0, 3.0))
        return baseline_oracles.soft_cross_entropy(scores, targets, [weight / sum(weights) for weight in weights])
    if method == "DCD":
        student = oracles.top_k(f, 30, history)
        found = baseline_oracles.corrections(taught, student, 30, own.under_num, own.over_num)
        under, over = ([f[item] for item in items] for items in found)
        return baseline_oracles.rank_loss(under, over) + 0.7 * oracles.rank_loss(f, history, taught)
    closure = listed(trainer.chosen["closure"][user])
    assert len(closure) == 5
    assert set(closure) <= set(oracles.top_k(f, 40, history))
    top = oracles.top_k(f, 12, history)
    return baseline_oracles.split_cross_entropy(f, taught, top, closure, T=7.0, tau=3.0, beta=own.balance)


EQUATIONS = {
    "RD": {"rank_sample_num": 1682, "warmup_epochs": 1},
    "CD": {"target_temperature": 7.0, "sample_temperature": 3.0},
    "DCD": {"student_depth": 30, "under_num": 7, "over_num": 9, "ranking_weight": 0.7, "item_weight": 0.0},
    "RCEKD": {"target_temperature": 7.0, "student_temperature": 3.0, "candidate_num": 40, "closure_num": 5},
}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", sorted(EQUATIONS))
def test_losses_are_those_of_the_equations(method, backbone):
    trainer = lesson(method, student_backbone=backbone, kd_weight=2.0, **EQUATIONS[method])
    everything = trainer.model.all_scores(USERS).detach().double().tolist()
    tolerance = 0.01 if (method, backbone) == ("RD", "CML") else 1e-4  # distances are rounded: an item is above itself
    for epoch in (0, 1) if method == "RD" else (0,):
        trainer.before_epoch(epoch)
        expected = [expected_loss(method, trainer, *user) for user in zip(USERS.tolist(), everything)]
        found, mean = trainer.user_losses(USERS).tolist(), float(trainer.loss(USERS).detach())
        assert found == pytest.approx(expected, rel=tolerance)
        assert mean == pytest.approx(2 * sum(expected) / len(expected), rel=tolerance)


def test_rcekd_with_training_items_as_in_the_published_code():
    """They stand first in the teacher's list; the student's and the drawn ones are of the whole catalogue."""
    more = {**EQUATIONS["RCEKD"], "K": 30, "overlap": "closure"}
    trainer = lesson("RCEKD", training_items="listed", **more)
    hidden = lesson("RCEKD", **more)
    everything = trainer.model.all_scores(USERS).detach().double().tolist()
    mixed = 0
    for user, f, loss in zip(USERS.tolist(), everything, trainer.user_losses(USERS).tolist()):
        history, taught = seen(trainer, user), listed(trainer.lists.unobserved[user])
        first = sorted(history[1:])[:30]  # these teachers rank all of them alike
        others = listed(hidden.lists.unobserved[user])
        assert taught == [*first, *others[: 30 - len(first)]]
        mixed += len(first) < 30
        top, closure = oracles.top_k(f, 30, [0]), listed(trainer.chosen["closure"][user])
        assert set(closure) <= set(oracles.top_k(f, 40, [0]))
        how = {"T": 7.0, "tau": 3.0, "beta": trainer.method.balance, "overlap": "closure"}
        assert loss == pytest.approx(baseline_oracles.split_cross_entropy(f, taught, top, closure, **how), rel=1e-4)
    assert 0 < mixed < len(USERS)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_unkd_compares_pairs_of_one_popularity(backbone):
    trainer = lesson("UnKD", student_backbone=backbone, group_num=3)
    everything = trainer.model.all_scores(USERS).detach().double().tolist()
    group = baseline_oracles.popularity_groups(trainer.knowledge.data.item_counts.tolist(), 3)
    before = trainer.generator.get_state()
    losses = trainer.user_losses(USERS).tolist()
    trainer.generator.set_state(before)
    better, worse = trainer.groups.at(USERS).pairs(trainer.method, trainer.generator)
    for user, f, loss, *pairs in zip(USERS.tolist(), everything, losses, better, worse):
        taught, drawn = listed(trainer.lists.unobserved[user]), list(zip(*map(listed, pairs)))
        assert drawn
        assert all(group[i] == group[j] and taught.index(i) < taught.index(j) for i, j in drawn)
        expected = baseline_oracles.pair_loss([f[i] for i, _ in drawn], [f[j] for _, j in drawn])
        assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", COMPARED)
def test_a_loss_rises_along_its_gradient_by_as_much(method, backbone):
    trainer = lesson(method, student_backbone=backbone)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            # LightGCN's graph is of single precision: scores that differ more; CML's ball has a kink at its surface
            parameter *= {"LightGCN": 5.0, "CML": 0.5}.get(backbone, 1.0)
    if backbone != "LightGCN":
        trainer.model.double()
    parameters = list(trainer.model.parameters())
    state = trainer.generator.get_state()
    clear_cache(trainer.model.backbone)
    loss = trainer.loss(USERS)
    assert loss.dim() == 0
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
    slope, size = (torch.cat([part.flatten() for part in parts]).norm() for parts in (gradients, parameters))
    step, values = (1e-3 if backbone == "LightGCN" else 1e-7) * float(size.detach()), []
    for far in (step, -2 * step):
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter += far / slope * gradient
        clear_cache(trainer.model.backbone)
        trainer.generator.set_state(state)
        values.append(float(trainer.loss(USERS).detach()))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(
        float(slope), rel=0.1 if backbone == "LightGCN" else 1e-3
    )


@pytest.mark.parametrize("method", ["RRD", "MTD"])
def test_a_sampled_rest_comes_close_to_the_exact_one(method):
    exact = float(lesson(method).loss(USERS).detach())
    sampled = lesson(method, rest_sample_num=1600)
    found = torch.stack([sampled.loss(USERS).detach() for _ in range(5)]).mean()
    assert float(found) == pytest.approx(exact, rel=0.01)


def test_cd_draws_come_close_to_the_mean_loss():
    trainer = lesson("CD")
    mean = trainer.user_losses(USERS)
    trainer.method = attrs.evolve(trainer.method, item_sample_num=20_000)
    torch.testing.assert_close(trainer.user_losses(USERS), mean, rtol=0.02, atol=0)


@pytest.mark.parametrize("method", ["DCD", "RCEKD"])
def test_choices_are_kept_between_refreshes_and_in_a_checkpoint(method):
    trainer = lesson(method, refresh_epochs=3)
    chosen = trainer.chosen
    with torch.no_grad():
        trainer.model.backbone.user_embedding.weight.neg_()
    trainer.before_epoch(2)
    assert trainer.chosen is chosen
    trainer.load_method_state({"chosen": {key: value.clone() for key, value in chosen.items()}})
    trainer.before_epoch(2)
    assert all(torch.equal(trainer.chosen[key], chosen[key]) for key in chosen)
    trainer.before_epoch(3)
    fresh = trainer.student_lists(trainer.student_length)
    if method == "RCEKD":
        assert torch.equal(trainer.chosen["top"], fresh[:, :12])
    else:
        again = trainer.choose(fresh)
        assert all(torch.equal(trainer.chosen[key], again[key]) for key in chosen)
    changed = {"DCD": "over", "RCEKD": "top"}[method]
    assert (trainer.chosen[changed] != chosen[changed]).any(1)[USERS].all()


def test_mtd_learns_its_gate():
    trainer = lesson("MTD", gate_entropy=0.0, gate_temperature=2.0)
    with torch.no_grad():
        trainer.model.backbone.user_embedding.weight.mul_(100)
    trainer.model.double()  # the slope is a small difference of large losses
    trainer.loss(USERS).backward()
    torch.testing.assert_close(trainer.model.gate(USERS), torch.full((4, 2), 0.5, dtype=torch.double))
    everything = trainer.model.all_scores(USERS).detach().double().tolist()
    first, second = (
        sum(
            oracles.rank_loss(f, seen(trainer, user), listed(teacher.unobserved[-1, user])[:12])
            for user, f in zip(USERS.tolist(), everything)
        )
        for _, teacher in trainer.knowledge.teachers
    )
    slope = trainer.method.kd_weight / 4 * (first - second) / 4 / 2  # of a softmax at one half, over the temperature
    found = trainer.model.gate_layer.bias.grad
    assert found.tolist() == pytest.approx([slope, -slope], rel=1e-6)


def test_mtd_names_a_backbone_without_user_embedding():
    with pytest.raises(ValueError, match="'MultiVAE' has no user embedding"):
        lesson("MTD", student_backbone="MultiVAE", train_neg_sample_args=None)


def test_cldrd_counts_early_stopping_in_its_last_stage_only():
    trainer = lesson("CLDRD", stage_groups=[1, 4], stage_epochs=2)
    assert not trainer.may_stop()
    trainer.before_epoch(2)
    assert trainer.may_stop()


# --- settings ---


@pytest.mark.parametrize("method", COMPARED)
def test_each_setting_of_a_method_has_a_line_in_its_property_file(method):
    own = registered()[method].model.own_settings
    assert set(own.names()) <= set(read_properties("model", method))


@pytest.mark.parametrize("method", COMPARED)
def test_a_misspelt_setting_of_a_method_is_an_error(method):
    with pytest.raises(ValueError, match="did you mean 'kd_weight'"):
        Config(model=method, dataset="ml-100k", config_dict={"kd_wieght": 1.0})


def test_a_bad_value_is_an_error_before_any_training():
    with pytest.raises(ValueError, match="kd_weight=-1"):
        Config(model="RRD", dataset="ml-100k", config_dict={"kd_weight": -1})
    with pytest.raises(TypeError, match="stage_groups"):
        Config(model="CLDRD", dataset="ml-100k", config_dict={"stage_groups": [1.5]})


def test_a_preset_leaves_what_is_a_methods_own():
    config = Config(model="RRD", dataset="ml-100k", config_dict={"preset": "paper"})
    assert config["K_prime"] == config["K"] == read_properties("preset", "paper")["K"]
    assert config["base_loss_weight"] == read_properties("model", "RRD")["base_loss_weight"]


def test_no_method_teaches():
    for method in METHODS:
        with pytest.raises(ValueError, match="unknown teacher"):
            Config(model="HetComp", dataset="ml-100k", config_dict={"teachers": [method]})


def test_nokd_trains_as_the_companion_does():
    own, companion = read_properties("model", "NoKD"), read_properties("model", "HetComp")["no_kd_config"]
    assert {key: own[key] for key in companion} == companion


# --- runs ---


def report(run: Any) -> dict[str, Any]:
    return json.loads((run.results / "results.json").read_text())


def short(**more: Any) -> dict[str, Any]:
    return {"epochs": 2, "eval_step": 1, "train_batch_size": 16384, "compare_no_kd": False, "K": 20, **more}


@pytest.mark.parametrize("method", COMPARED)
def test_each_method_runs_and_is_named_in_its_table(finished_run, tiny_run, method):
    more = {"stage_groups": [1, 20], "stage_epochs": 1} if method == "CLDRD" else {}
    run = tiny_run(model=method, **short(**more))
    result = report(run)
    assert [row["name"] for row in result["rows"]] == ["BPR", "EASE", "TeacherEnsemble", method]
    row = result["rows"][-1]
    assert row["role"] == "student"
    assert row["parameters"] == (944 + 1683) * 8
    assert row["recall@50"] == run.returned["test_result"]["recall@50"]
    assert result["run"].startswith(f"{method}-")
    assert result["settings"]["kd_weight"] == read_properties("model", method)["kd_weight"]


def test_nokd_alone_is_the_companion_of_other_methods(tiny_run):
    training = {"epochs": 4, "eval_step": 2, "learning_rate": 0.005, "weight_decay": 3e-5, "train_batch_size": 2048}
    training["learning_rate_schedule"] = "constant"
    alone = tiny_run(model="NoKD", **training)
    beside = tiny_run(model="RRD", epochs=1, eval_step=1, no_kd_config=training)
    (row,) = report(alone)["rows"]
    (companion,) = (row for row in report(beside)["rows"] if row["name"] == "NoKD")
    for key in (*alone.returned["test_result"], "valid", "parameters"):
        assert row[key] == companion[key]
    assert row["share_of_ensemble"] is None
    assert not any(line.startswith("teacher 1") for line in alone.log)


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["DCD", "UnKD", "NoKD"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(finished_run, tiny_run, tmp_path, method, monkeypatch):
    more = short(epochs=4, **({"refresh_epochs": 3} if method == "DCD" else {}))
    whole = tiny_run(tmp_path / "whole", method, **more)
    before = DistillingTrainer._train_epoch

    def fails(self, data, epoch, *rest, **named):
        if epoch == 2:
            raise Killed
        return before(self, data, epoch, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(DistillingTrainer, "_train_epoch", fails)
        with pytest.raises(Killed):
            tiny_run(tmp_path / "cut", method, **more)
    resumed = tiny_run(tmp_path / "cut", method, **more)
    assert any("resumed at epoch 2" in line for line in resumed.log)
    assert resumed.returned["test_result"] == whole.returned["test_result"]
    assert resumed.returned["best_valid_score"] == whole.returned["best_valid_score"]


# --- HetComp's ablations ---


def ablated(**settings: Any) -> Any:
    return lesson("HetComp", **settings)


def test_without_a_curriculum_everybody_starts_at_the_final_consensus():
    trainer = ablated(curriculum="none")
    assert trainer.state.finished.all()
    assert trainer.fine.all()
    assert trainer.may_stop()


@pytest.mark.parametrize(("adkt", "fine"), [("fine", True), ("coarse", False)])
def test_one_stage_alone(adkt, fine):
    trainer = ablated(adkt=adkt, curriculum="none")
    assert bool(trainer.fine.all()) is fine
    assert bool(trainer.fine.any()) is fine


def test_without_observed_knowledge():
    trainer = ablated(observed_knowledge="none", curriculum="none")
    assert (trainer.lists.observed == PAD).all()
    f = trainer.model.all_scores(USERS).detach().double().tolist()
    expected = 0.005 * sum(
        oracles.fine_loss(row, seen(trainer, user), [], listed(trainer.lists.unobserved[user]), 12, place_decay=30.0)
        for user, row in zip(USERS.tolist(), f)
    )
    assert float(trainer.loss(USERS).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_student_s_own_list_is_taught_as_much_as_it_lacks(backbone):
    given = {"student_backbone": backbone, "curriculum": "none", "own_list_from": 0.0, "own_list_decay": 7.0}
    plain = ablated(**given)
    trainer = ablated(**given, own_list_weight=3.0)
    trainer.lists.unobserved[USERS[0], :6] = trainer.own.lists[USERS[0]].flip(0)  # one whose list lacks nothing,
    trainer.lists.unobserved[USERS[1], 2:4] = trainer.own.lists[USERS[1], :2]  # one who lacks some
    trainer.lists.unobserved[USERS[2], 2:] = PAD  # and one of two items
    plain.lists.unobserved[:] = trainer.lists.unobserved
    expected, f = 0.0, trainer.model.all_scores(USERS).detach().double().tolist()
    for user, row in zip(USERS.tolist(), f):
        taught, own = listed(trainer.lists.unobserved[user]), listed(trainer.own.lists[user])
        assert own == sorted({*range(1, len(row))}.difference(seen(trainer, user)), key=lambda i: (-row[i], i))[:6]
        lacking = len(set(taught[:6]) - set(own)) / len(taught[:6])
        entropy = baseline_oracles.cross_entropy(row, own, taught, T=7.0, tau=1.0)
        expected += 0.005 * 3.0 * lacking**2 * 0.5 * (6 + 1) * entropy
    assert expected > 0
    found = float((trainer.loss(USERS) - plain.loss(USERS)).detach())
    assert found == pytest.approx(expected, rel=1e-3)


def test_an_own_list_is_taught_late_and_made_anew():
    trainer = ablated(curriculum="none", own_list_weight=3.0, epochs=20, own_list_every=4)
    assert trainer.own.lists is None
    made = []
    for epoch in range(20):
        trainer.before_epoch(epoch)
        made.append(trainer.own.lists)
        trainer.model.backbone.item_embedding.weight.data.neg_()  # what it would list now is another list
    assert made[9] is None
    assert [epoch for epoch in range(10, 20) if made[epoch] is not made[epoch - 1]] == [10, 12, 16]
    assert [line["epoch"] for line in trainer.history if "lacking" in line] == [10, 12, 16]


def test_users_in_the_coarse_stage_are_not_taught_their_own_lists():
    trainer = ablated(curriculum="none", own_list_weight=3.0, own_list_from=0.0)
    trainer.fine[USERS] = False
    assert trainer.own.lists is not None
    assert float(trainer.loss(USERS).detach()) == float(ablated(adkt="coarse", curriculum="none").loss(USERS).detach())


def test_no_own_list_is_made_that_would_not_count():
    trainer = ablated(curriculum="none", own_list_weight=0.0, own_list_from=0.0)
    trainer.before_epoch(0)
    assert trainer.own.lists is None


@pytest.mark.parametrize("without", [{"observed_knowledge": "joint"}, {"adkt": "coarse"}, {"fine_weight": 0.0}])
def test_own_lists_where_none_would_be_taught_are_refused(without):
    ((name, value),) = without.items()
    with pytest.raises(ValueError, match=rf"own_list_weight=3.0 is not allowed with {name}={value!r}: 0 or null"):
        ablated(**without, own_list_weight=3.0)


def test_what_an_own_list_lacks_is_of_what_is_taught_now():
    moving = {"curriculum": "dynamic", "alpha": 0.5, "p": 2, "K_D": 6, "adkt": "fine"}
    trainer = ablated(**moving, own_list_weight=3.0, own_list_from=0.0, own_list_every=99)
    teachers = tuple(map(of_two_snapshots, trainer.knowledge.teachers))
    trainer.knowledge = dataclasses.replace(trainer.knowledge, teachers=teachers)
    trainer.begin(trainer.knowledge)
    trainer.before_epoch(0)
    own, taught = trainer.own.lists, trainer.lists.unobserved.clone()
    before = trainer.own.lacking(own, taught)
    for epoch in range(1, 9):  # the curriculum moves on, the lists stay
        trainer.before_epoch(epoch)
    assert not torch.equal(taught, trainer.lists.unobserved)
    assert trainer.own.lists is own
    now_lacking = trainer.own.lacking(own, trainer.lists.unobserved)
    assert not torch.equal(before, now_lacking)
    expected = [
        len(set(listed(now[:6])) - set(listed(mine))) / max(1, len(listed(now[:6])))
        for now, mine in zip(trainer.lists.unobserved, own)
    ]
    assert now_lacking.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("draws", [0, 1600])
def test_joint_knowledge_is_one_list(draws):
    separate = ablated(curriculum="none")
    trainer = ablated(observed_knowledge="joint", curriculum="none", rest_sample_num=draws, place_decay=None)
    assert (trainer.lists.observed == PAD).all()
    everything = trainer.model.all_scores(USERS).detach().double().tolist()
    expected, batch = 0.0, _Batch(USERS, trainer.lists, trainer.fine[USERS])
    outside = [{*seen(trainer, user), *listed(trainer.lists.unobserved[user])} for user in USERS.tolist()]
    assert batch.rest_size(1683).tolist() == [1683 - len(items) for items in outside]
    for user, f in zip(USERS.tolist(), everything):
        joint = listed(trainer.lists.unobserved[user])
        observed = listed(separate.lists.observed[user])
        assert joint == (observed + listed(separate.lists.unobserved[user]))[:12]
        hidden = [item for item in seen(trainer, user) if item not in joint]
        for length in (6, 1):
            expected += 0.005 * 0.5 * oracles.rank_loss(f, hidden, joint[:length])
    assert float(trainer.loss(USERS).detach()) == pytest.approx(expected, rel=1e-5 if draws == 0 else 0.02)


def test_ablations_run(finished_run, tiny_run):
    run = tiny_run(pace="common", adkt="coarse", observed_knowledge="joint", **short(epochs=6, p=1))
    steps = [line for line in report(run)["history"] if "snapshot_shares" in line]
    assert len(steps) > 2
    assert all(line["fine"] == 0 for line in steps)
    for line in steps:  # all users of a teacher are at one snapshot: shares are multiples of 1 / 2 teachers
        assert all((2 * share) % 1 == 0 for share in line["snapshot_shares"])
