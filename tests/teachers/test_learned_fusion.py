"""A learned fusion: what the trees see, whom they were fitted to, and what they find."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from harmful_teacher import NOISE

from recbole_hetcomp.core import PAD, Ragged, taught_unobserved
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.teachers import learned_fusion
from recbole_hetcomp.teachers.fusion import fuse_of
from recbole_hetcomp.teachers.learned_fusion import FEWEST, FOLDS, LearnedFusion, _candidates

pytest.importorskip("lightgbm")
USERS, ITEMS, LENGTH = 240, 60, 20
LEARNED = Consensus(fusion="learned", K=20, T_r=10.0)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """They find what is looked for here, in a fifth of the time."""
    monkeypatch.setitem(learned_fusion._TREES, "n_estimators", 20)
    monkeypatch.setitem(learned_fusion._TREES, "learning_rate", 0.2)


def interactions(n_users: int = USERS) -> Interactions:
    users = torch.arange(1, n_users + 1)
    observed = Ragged.from_pairs(users, users % (ITEMS - 1) + 1, n_users + 1)
    return Interactions(n_users + 1, ITEMS, observed, observed, observed.lengths() > 0, "made up")


def validation(wanted: dict[int, list[int]], n_users: int = USERS) -> Any:
    """A loader that evaluates these users."""
    pairs = torch.tensor([(user, item) for user, items in sorted(wanted.items()) for item in items])
    positives = Ragged.from_pairs(pairs[:, 0], pairs[:, 1], n_users + 1)
    nothing = Ragged.from_pairs(pairs[:0, 0], pairs[:0, 1], n_users + 1)
    users = torch.tensor(sorted(wanted))
    evaluated = EvaluatedUsers(users, Membership.of(positives), Membership.of(nothing), ITEMS)
    return SimpleNamespace(_evaluated_users=evaluated)


def made_up(seed: int = 0) -> tuple[list[torch.Tensor], dict[int, list[int]]]:
    """Lists of a teacher that knows, of one that draws, and each user's validation items: 3 of the first one's best 5.

    Both have two snapshots, the first of which is drawn.
    """
    draws = torch.Generator().manual_seed(seed)

    def drawn() -> torch.Tensor:
        lists = [torch.randperm(ITEMS - 1, generator=draws)[:LENGTH] + 1 for _ in range(USERS + 1)]
        lists[0] = torch.full((LENGTH,), PAD)
        return torch.stack(lists).short()

    knows, draws_on = torch.stack([drawn(), drawn()]), torch.stack([drawn(), drawn()])
    wanted = {user: knows[1, user, :5][torch.randperm(5, generator=draws)[:3]].tolist() for user in range(1, USERS + 1)}
    return [draws_on, knows], wanted


def everyone(fuse: Any, lists: list[torch.Tensor], k: int = 10, snapshot: int = 1, **more: Any) -> torch.Tensor:
    users = torch.arange(1, USERS + 1)
    v = torch.full((USERS, len(lists)), snapshot)
    return fuse(lists, v, users, k, LEARNED, **more)[0]


def found_in(lists: torch.Tensor, wanted: dict[int, list[int]], k: int = 5) -> float:
    return float(np.mean([len(set(row[:k].tolist()) & set(wanted[user])) / 3 for user, row in enumerate(lists, 1)]))


def test_what_the_trees_see_by_hand():
    lists = [torch.tensor([[[4, 2, 7]]]), torch.tensor([[[2, 9, PAD]]])]
    counts = torch.arange(10) * 100
    found = _candidates(lists, torch.zeros(1, 2).long(), torch.tensor([0]), LEARNED, counts, 1000)
    assert found.items.tolist() == [[2, 4, 9, 7]]
    two, four, nine, seven = found.features.tolist()
    score = math.exp(-1 / 10)
    # ranks, how many list it, mean, least, deviation, consensus score, place, interactions
    assert two == pytest.approx([1, 0, 2, 0.5, 0, 0.5, 1 + score, 0, 200])
    assert four == pytest.approx([0, math.nan, 1, 0, 0, 0, 1, 1, 400], nan_ok=True)
    assert nine == pytest.approx([math.nan, 1, 1, 1, 1, 0, score, 2, 900], nan_ok=True)
    assert seven == pytest.approx([2, math.nan, 1, 2, 2, 0, score**2, 3, 700], nan_ok=True)


def test_a_teacher_that_does_not_count_is_not_seen():
    lists = [torch.tensor([[[4, 2, 7]]]), torch.tensor([[[2, 9, 1]]])]
    chosen = Consensus(fusion="learned", teacher_weights=(1.0, 0.0))
    found = _candidates(lists, torch.zeros(1, 2).long(), torch.tensor([0]), chosen, torch.zeros(10), 1000)
    assert found.items.tolist() == [[4, 2, 7]]
    assert found.features[:, :3].tolist() == [[0, 1, 0], [1, 1, 1], [2, 1, 2]]


def test_a_teacher_that_draws_is_found_out():
    lists, wanted = made_up()
    learned = LearnedFusion.fitted(interactions(), lists, LEARNED, validation(wanted), seed=1)
    fused = everyone(learned, lists)
    plain = everyone(taught_unobserved, lists)
    assert found_in(plain, wanted) < 0.7
    assert found_in(fused, wanted) > 0.95  # the first five of the one that knows


def test_a_users_own_validation_items_do_not_move_its_list():
    lists, wanted = made_up()
    before = LearnedFusion.fitted(interactions(), lists, LEARNED, validation(wanted), seed=1)
    mine = 17
    others = {**wanted, mine: lists[0][1, mine, -3:].tolist()}  # the last of the other teacher's
    after = LearnedFusion.fitted(interactions(), lists, LEARNED, validation(others), seed=1)
    same = before.part == before.part[mine]
    one, two = (everyone(fusion, lists, k=30) for fusion in (before, after))
    assert torch.equal(one[same[1:]], two[same[1:]])
    assert not torch.equal(one, two)  # whereas those of other parts learn from it


def test_every_user_is_ordered_by_the_model_that_did_not_see_it(monkeypatch):
    lists, wanted = made_up()
    seen: list[Any] = []

    class Model:
        def __init__(self, fold: int) -> None:
            self.fold = fold

        def predict(self, features: Any, **more: Any) -> Any:
            return np.full(len(features), float(self.fold))

    def fit(features: Any, labels: Any, groups: Any, seed: int) -> Model:
        assert groups.sum() == len(features) == len(labels)
        seen.append(len(groups))
        return Model(len(seen) - 1)

    monkeypatch.setattr(learned_fusion, "_fit", fit)
    fusion = LearnedFusion.fitted(interactions(), lists, LEARNED, validation(wanted), seed=3)
    assert seen == [USERS - int((fusion.part[1:] == fold).sum()) for fold in range(FOLDS)]
    users = torch.arange(1, USERS + 1)
    items, scores = fusion(lists, torch.ones(USERS, 2).long(), users, 6, LEARNED)
    assert torch.equal(scores[:, 0].long(), fusion.part[users])
    assert torch.equal(items, everyone(taught_unobserved, lists, k=6))  # equal scores keep the consensus's order


def test_the_same_seed_gives_the_same_whatever_the_memory_and_the_threads(monkeypatch):
    monkeypatch.setitem(learned_fusion._TREES, "n_estimators", 4)
    lists, wanted = made_up(5)
    data, loader = interactions(), validation(wanted)
    first = everyone(LearnedFusion.fitted(data, lists, LEARNED, loader, seed=1), lists)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        small = LearnedFusion.fitted(data, lists, LEARNED, loader, seed=1, budget=77)
        assert torch.equal(everyone(small, lists, budget=41), first)
    finally:
        torch.set_num_threads(before)
    other = LearnedFusion.fitted(data, lists, LEARNED, loader, seed=2)
    assert not torch.equal(everyone(other, lists), first)


def test_earlier_snapshots_are_ordered_by_the_same_trees():
    lists, wanted = made_up()
    learned = LearnedFusion.fitted(interactions(), lists, LEARNED, validation(wanted), seed=1)
    early = everyone(learned, lists, snapshot=0)
    of_lists = {user: set(lists[0][0, user].tolist()) | set(lists[1][0, user].tolist()) for user in range(1, USERS + 1)}
    assert all(set(row.tolist()) <= of_lists[user] for user, row in enumerate(early, 1))
    alike = [len(set(row[:5].tolist()) & set(lists[1][0, user, :5].tolist())) for user, row in enumerate(early, 1)]
    assert np.mean(alike) > 4.5  # it trusts the same teacher


def test_users_without_lists_and_no_users_at_all():
    lists, wanted = made_up()
    learned = LearnedFusion.fitted(interactions(), lists, LEARNED, validation(wanted), seed=1)
    for one in lists:
        one[:, [7, 9]] = PAD
    items, scores = learned(lists, torch.ones(3, 2).long(), torch.tensor([7, 8, 9]), 50, LEARNED)
    assert (items[[0, 2]] == PAD).all()
    assert (scores[[0, 2]] == -torch.inf).all()
    distinct = len(set(lists[0][1, 8].tolist()) | set(lists[1][1, 8].tolist()))
    assert (items[1] != PAD).sum() == len(set(items[1, :distinct].tolist())) == distinct
    only = learned(lists, torch.ones(1, 2).long(), torch.tensor([7]), 5, LEARNED)[0]
    assert only.tolist() == [[PAD] * 5]
    nobody = torch.empty(0, dtype=torch.int64)
    assert learned(lists, nobody.view(0, 2), nobody, 5, LEARNED)[0].shape == (0, 5)


def test_too_few_users_are_refused():
    lists, wanted = made_up()
    few = {user: wanted[user] for user in range(1, FEWEST)}
    with pytest.raises(ValueError, match=rf"the validation split has {FEWEST - 1} users.*at least {FEWEST}"):
        learned_fusion.check_learnable(validation(few))
    learned_fusion.check_learnable(validation(wanted))
    unlisted = [torch.where(one.eq(1), 2, 2 * (one // 2)) for one in lists]  # even items, an odd one is wanted
    with pytest.raises(ValueError, match="0 users have a validation item in a teacher's list"):
        LearnedFusion.fitted(interactions(), unlisted, LEARNED, validation({user: [1] for user in wanted}), seed=1)


def test_a_single_teacher_stays_as_it_is():
    assert fuse_of(interactions(), [object()], LEARNED, None, 1, 100) is taught_unobserved  # type: ignore[list-item]


@pytest.mark.parametrize("more", [{"popularity_discount": 0.1}, {"fit_weights": True}])
def test_what_does_not_go_with_it(more):
    with pytest.raises(ValueError, match=rf"{next(iter(more))}=.* is not allowed with fusion='learned'"):
        HetCompSettings(fusion="learned", **more)


def test_popularity_is_not_discounted_silently():
    learned = LearnedFusion([], torch.zeros(2).long(), torch.zeros(5))
    with pytest.raises(ValueError, match="item_weights is not allowed"):
        learned([], torch.zeros(1, 0).long(), torch.tensor([1]), 5, LEARNED, item_weights=torch.ones(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("learned")
    (folder / "noise_of_learned.py").write_text(NOISE)
    return folder


def with_noise(folder: Any, monkeypatch: pytest.MonkeyPatch, **more: Any) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(folder))
    return {
        "teachers": ["EASE", "noise_of_learned.Worst"], "quality_weighting": 0.0, "store_dir": str(folder / "store"),
        "checkpoint_dir": str(folder / "saved"), "show_progress": False, "K": 50, **more,
    }  # fmt: skip


def test_an_ensemble_of_ml_100k_unlearns_a_harmful_teacher(folder, monkeypatch, log):
    import recbole_hetcomp

    found = {}
    for fusion in ("consensus", "learned"):
        settings = with_noise(folder, monkeypatch, fusion=fusion)
        found[fusion] = recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict=settings)
    for part in ("best_valid_result", "test_result"):
        assert found["learned"][part]["recall@50"] > 1.05 * found["consensus"][part]["recall@50"]
    (said,) = {line for line in log if line.startswith("learned fusion:")}
    learned, plain = (found[fusion]["best_valid_result"]["recall@50"] for fusion in ("learned", "consensus"))
    assert f"Recall@50 {learned:.4f} of users that it was not fitted to, {plain:.4f} of the consensus" in said


def test_where_it_does_not_pay_that_is_said(folder, monkeypatch, log):
    import recbole_hetcomp

    class Backwards:
        def predict(self, features: Any, **more: Any) -> Any:
            return features[:, -2]  # the last place first

    monkeypatch.setattr(learned_fusion, "_fit", lambda *given: Backwards())
    recbole_hetcomp.run("TeacherEnsemble", "ml-100k", config_dict=with_noise(folder, monkeypatch, fusion="learned"))
    assert any(line.startswith("the learned fusion does not pay (Recall@50 ") for line in log)


def test_a_student_is_taught_it_at_every_snapshot(tiny_run, monkeypatch):
    from recbole_hetcomp.methods.hetcomp import HetCompTrainer

    kept = []
    begin = HetCompTrainer.begin
    monkeypatch.setattr(HetCompTrainer, "begin", lambda self, knowledge: (begin(self, knowledge), kept.append(self)))
    run = tiny_run(fusion="learned", epochs=2, eval_step=1, compare_no_kd=False)
    (trainer,) = kept
    knowledge, users = trainer.knowledge, trainer.knowledge.data.users[:40]
    assert isinstance(knowledge.fuse, LearnedFusion)
    assert run.returned["test_result"]["recall@50"] > 0
    last = torch.tensor(knowledge.snapshots) - 1
    for v in (torch.zeros_like(trainer.state.v), last.expand_as(trainer.state.v)):
        trainer.lists.rebuild(users, v)
        k = knowledge.consensus.K
        wanted, _ = knowledge.fuse(knowledge.trajectories, v[users], users, k, knowledge.consensus)
        plain, _ = taught_unobserved(knowledge.trajectories, v[users], users, k, knowledge.consensus)
        assert torch.equal(trainer.lists.unobserved[users].long(), wanted)
        assert not torch.equal(wanted, plain)
    final = knowledge.ensemble[users].long()
    assert torch.equal(final[:, : wanted.shape[1]], wanted[:, : final.shape[1]])


def test_who_pays_is_judged_by_the_learned_ensemble(folder, monkeypatch):
    from recbole_hetcomp.teachers.assessing import assess

    learned = assess("ml-100k", settings=with_noise(folder, monkeypatch, fusion="learned"))
    plain = assess("ml-100k", settings=with_noise(folder, monkeypatch))
    assert [one.alone for one in learned.teachers] == [one.alone for one in plain.teachers]
    assert learned.teachers[1].gain > plain.teachers[1].gain  # it harms less
