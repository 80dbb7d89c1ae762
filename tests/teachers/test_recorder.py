"""Recorded lists and ranks against naive rankings of the model's scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import get_model
from torch import Tensor, nn

from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.core.rankings import exclusion, hide, without
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.recbole_bridge import scoring
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists
from recbole_hetcomp.teachers import recorder as recording
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import SnapshotSpool

U, I = 7, 13  # noqa: E741  with the padding user and the padding item
USER_6_IS_NEW = 6  # without training items


class Scores(nn.Module):
    """A recommender that answers from a table."""

    USER_ID, ITEM_ID, device = "user_id", "item_id", torch.device("cpu")

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        return self.table[interaction["user_id"]].view(-1)

    def predict(self, interaction: Any) -> Tensor:
        return self.table[interaction["user_id"], interaction["item_id"]]


class PairScores(Scores):
    """The same without full-sort prediction."""

    def full_sort_predict(self, interaction: Any) -> Tensor:
        raise NotImplementedError


def data() -> Interactions:
    pairs = torch.tensor([[1, 3], [1, 5], [1, 9], [2, 1], [3, 2], [3, 12], [4, 7], [5, 1], [5, 2], [5, 3], [5, 4]])
    later = torch.tensor([[1, 4], [2, 12], [5, 11], [USER_6_IS_NEW, 2]])
    observed = Ragged.from_pairs(pairs[:, 0], pairs[:, 1], U)
    both = torch.cat([pairs, later])
    return Interactions(
        n_users=U,
        n_items=I,
        observed=observed,
        served=Ragged.from_pairs(both[:, 0], both[:, 1], U),
        active=observed.lengths() > 0,
        fingerprint="test",
    )


def table(seed: int = 0, ties: bool = False) -> Tensor:
    scores = torch.randn(U, I, generator=torch.Generator().manual_seed(seed))
    scores[:, 0] = 100.0  # the padding item must be hidden, whatever its score
    return scores.round() if ties else scores


def row(ragged: Ragged, user: int) -> list[int]:
    return ragged.values[ragged.offsets[user] : ragged.offsets[user + 1]].tolist()


def naive_list(scores: Tensor, hidden: list[int], length: int) -> list[int]:
    """Best first, ties to the smaller id, padded."""
    items = [item for item in range(1, I) if item not in hidden]
    items.sort(key=lambda item: (-float(scores[item]), item))
    return (items + [PAD] * length)[:length]


def naive_ranks(scores: Tensor, observed: list[int]) -> list[int]:
    order = sorted(observed, key=lambda item: (-float(scores[item]), item))
    return [order.index(item) for item in observed]


def recorded(
    model: Scores, tmp_path: Any, length: int = 6, served_length: int = 8, budget: int = 2**20
) -> tuple[Tensor, Tensor, Tensor]:
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, length, served_length, budget=budget)
        recorder.record(model, 0, 0.1)
        unobserved, ranks, _, _ = spool.build(1)
    return unobserved[0], ranks[0], recorder.served


@pytest.mark.parametrize("kind", [Scores, PairScores])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("users_at_once", [1, 3, 100])
@pytest.mark.parametrize("spare", [0, 32])
def test_lists_and_ranks_equal_a_naive_ranking(tmp_path, monkeypatch, kind, ties, users_at_once, spare):
    monkeypatch.setattr(scoring, "PAIRS_AT_ONCE", 2 * I + 3)
    monkeypatch.setattr(recording, "_SPARE", spare)  # with none, lists lack places once validation items are left out
    scores = table(ties=ties)
    unobserved, ranks, served = recorded(kind(scores), tmp_path, budget=users_at_once * I)
    for user in range(U):
        seen = row(data().observed, user)
        if not seen:
            continue
        assert unobserved[user].tolist() == naive_list(scores[user], seen, 6), user
        positions = slice(int(data().observed.offsets[user]), int(data().observed.offsets[user + 1]))
        assert ranks[positions].tolist() == naive_ranks(scores[user], seen), user
        assert served[user].tolist() == naive_list(scores[user], row(data().served, user), 8), user


def test_served_lists_hide_validation_items_and_taught_lists_do_not(tmp_path):
    scores = table()
    scores[1, 4] = scores[5, 11] = 50.0  # validation items of users 1 and 5
    unobserved, _, served = recorded(Scores(scores), tmp_path)
    assert (unobserved[1, 0], unobserved[5, 0]) == (4, 11)
    assert 4 not in served[1]
    assert 11 not in served[5]
    assert 4 in recorded(Scores(scores), tmp_path)[2][2]  # another user's validation item is not hidden


def test_users_without_training_items_are_ranked_over_all_items_and_the_padding_user_is_not(tmp_path):
    unobserved, ranks, served = recorded(Scores(table()), tmp_path)
    assert unobserved[0].unique().tolist() == served[0].unique().tolist() == [PAD]
    new = USER_6_IS_NEW
    assert unobserved[new].tolist() == naive_list(table()[new], [], unobserved.shape[1])
    assert served[new].tolist() == naive_list(table()[new], row(data().served, new), served.shape[1])
    assert ranks.shape == data().observed.values.shape


def test_lists_longer_than_the_candidates_are_padded(tmp_path):
    unobserved, _, served = recorded(Scores(table()), tmp_path, length=20, served_length=20)
    assert (unobserved != PAD).sum(1).tolist() == [0, 9, 11, 10, 11, 8, 12]
    assert (served != PAD).sum(1).tolist() == [0, 8, 10, 10, 11, 7, 12 - len(row(data().served, USER_6_IS_NEW))]


@pytest.mark.parametrize("bigger", [True, False])
def test_served_lists_are_those_of_the_best_validation(tmp_path, bigger):
    tables, validation = [table(seed) for seed in range(4)], [0.1, 0.3, 0.3, 0.2]
    if not bigger:
        validation = [1 - score for score in validation]
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8, bigger)
        for epoch, (scores, score) in enumerate(zip(tables, validation)):
            recorder.record(Scores(scores), epoch, score)
        unobserved, _, epochs, kept = spool.build(4, "even", bigger)
    assert epochs[-1] == 2  # of two equally good ones the later, as in RecBole's early stopping
    assert kept[-1] == validation[2]
    assert recorder.served[1].tolist() == naive_list(tables[2][1], row(data().served, 1), 8)
    assert unobserved[-1, 1].tolist() == naive_list(tables[2][1], row(data().observed, 1), 6)


@pytest.mark.parametrize("training", [True, False])
def test_recording_leaves_the_mode_and_the_gradients_alone(tmp_path, training):
    model = Scores(table()).train(training)
    recorded(model, tmp_path)
    assert model.training is training
    assert model.table.grad is None


def test_recording_draws_no_random_number(tmp_path):
    model = Scores(table())
    before = torch.get_rng_state()
    recorded(model, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def evaluated(history: Ragged, users: list[int]) -> EvaluatedUsers:
    """Users to be evaluated whose candidates are all items but their history; no positives."""
    nothing = Ragged.from_pairs(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), U)
    return EvaluatedUsers(torch.tensor(users), Membership.of(nothing), Membership.of(history), I)


class CountedScores(Scores):
    """A table that counts how often it is asked."""

    asked = 0

    def full_sort_predict(self, interaction: Any) -> Tensor:
        self.asked += 1
        return super().full_sort_predict(interaction)


def test_a_validation_and_its_recording_score_the_catalogue_once(tmp_path):
    model, users = CountedScores(table()), [3, 1, USER_6_IS_NEW]
    history = Ragged.from_pairs(torch.tensor([1, 1, 1, 3, 3]), torch.tensor([3, 5, 9, 2, 12]), U)
    validated = evaluated(history, users)
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8)
        assert recorder.covers(validated)
        lists = recorder.validation_lists(model, validated, 9)
        recorder.record(model, 0, 0.1)
        unobserved, ranks, _, _ = spool.build(1)
    assert model.asked == 1
    for place, user in enumerate(users):
        assert lists[place].tolist() == naive_list(model.table[user], row(data().observed, user), 9), user
    expected = recorded(model, tmp_path)
    assert model.asked == 2
    assert all(torch.equal(one, other) for one, other in zip((unobserved[0], ranks[0], recorder.served), expected))


def test_rankings_of_one_validation_are_not_recorded_for_the_next(tmp_path):
    first, second = Scores(table(0)), Scores(table(1))
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8)
        recorder.validation_lists(first, evaluated(data().observed, [1, 2, 3, 4, 5]), 5)
        recorder.record(first, 0, 0.1)
        recorder.record(second, 1, 0.2)
        unobserved, _, _, _ = spool.build(2)
    assert unobserved[1, 1].tolist() == naive_list(second.table[1], row(data().observed, 1), 6)


@pytest.mark.parametrize(
    ("pairs", "covered"),
    [
        ([[1, 3], [1, 5], [1, 9], [2, 1]], True),
        ([[1, 3], [1, 5], [2, 1]], False),  # a training item of user 1 is a candidate: it is a positive too
        ([[1, 3], [1, 5], [1, 9], [1, 4], [2, 1]], False),  # as at test time
        ([[1, 3], [1, 5], [1, 8], [2, 1]], False),
    ],
)
def test_the_recorder_serves_only_evaluations_whose_history_is_the_training_items(tmp_path, pairs, covered):
    users, items = torch.tensor(pairs).T
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8)
        assert recorder.covers(evaluated(Ragged.from_pairs(users, items, U), [1, 2])) is covered


@pytest.mark.parametrize("budget", [1, 3 * I, 10**6])
@pytest.mark.parametrize("ties", [False, True])
def test_ranked_lists_equal_a_naive_ranking(ties, budget):
    scores, users = table(ties=ties), torch.tensor([5, 1, USER_6_IS_NEW])
    model = Scores(scores)
    lists = ranked_lists(model, users, I, data().served, 12, budget)
    assert lists.dtype == torch.int32
    for place, user in enumerate(users.tolist()):
        assert lists[place].tolist() == naive_list(scores[user], row(data().served, user), 12), user
    assert torch.equal(model.table, scores)
    assert ranked_lists(model, users[:0], I, data().served, 4).shape == (0, 4)


def test_hiding_equals_exclusion():
    users = torch.tensor([5, 0, 1])
    hidden = hide(torch.zeros(3, I), users, data().observed) == -torch.inf
    assert torch.equal(hidden, exclusion(3, I, data().observed.padded(users)))


def test_without_keeps_the_order():
    lists = torch.tensor([[4, 2, 9, 7], [1, 3, PAD, PAD]])
    dropped = torch.tensor([[False, True, True, False], [True, False, False, False]])
    assert without(lists, dropped).tolist() == [[4, 7, PAD, PAD], [3, PAD, PAD, PAD]]
    assert without(lists, torch.zeros_like(dropped)).tolist() == lists.tolist()


def test_membership_equals_a_naive_search():
    lists = torch.randint(PAD, I, (U, 9), generator=torch.Generator().manual_seed(0))
    for ragged in (data().observed, data().served, Ragged.from_pairs(torch.tensor([2]), torch.tensor([3]), U)):
        holds = Membership.of(ragged).holds(torch.arange(U), lists)
        assert holds.tolist() == [[item in row(ragged, user) for item in lists[user].tolist()] for user in range(U)]


def test_exclusion_hides_padding_and_the_listed_items():
    hidden = exclusion(2, 5, torch.tensor([[1, PAD], [PAD, PAD]]), torch.tensor([[4], [2]]))
    assert hidden.tolist() == [[True, True, False, False, True], [True, False, True, False, False]]


def test_a_lightgcn_on_real_data_is_recorded_as_it_scores_now(tmp_path):
    """LightGCN caches representations for evaluation; a stale cache would be recorded."""
    config = Config(model="LightGCN", dataset="ml-100k", config_dict={"embedding_size": 4, "eval_batch_size": 2**21})
    train, valid, _ = data_preparation(config, create_dataset(config))
    interactions = Interactions.from_datasets(train._dataset, valid._dataset)
    model = get_model("LightGCN")(config, train._dataset)
    trainer = Trainer(config, model)
    trainer.eval_collector.data_collect(train)
    trainer.evaluate(valid, load_best_model=False)  # fills LightGCN's cache
    model.calculate_loss(next(iter(train)))  # training goes on and clears it
    with torch.no_grad():
        model.user_embedding.weight.mul_(-1)
    with SnapshotSpool(tmp_path) as spool:
        SnapshotRecorder(interactions, spool, 10, 10).record(model, 0, 0.1)
        unobserved, _, _, _ = spool.build(1)
    users, items = model.forward()
    scores = (users[5] @ items.T).detach()
    hidden = set(row(interactions.observed, 5)) | {0}
    expected = [item for item in scores.argsort(descending=True).tolist() if item not in hidden][:10]
    assert unobserved[0, 5].tolist() == expected


# --- teachers from outside of RecBole ---


def test_scores_from_outside_are_recorded_as_a_models_are(tmp_path):
    scores = table(3)
    expected = recorded(Scores(scores), tmp_path / "model")
    with SnapshotSpool(tmp_path / "outside") as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8, budget=2 * I, snapshots=2)
        asked = []

        def scores_of(users: Tensor) -> Tensor:
            asked.append(len(users))
            return scores[users].double()

        assert recorder.record_scores(scores_of, score=0.1) == 0.1
        trajectory = recorder.trajectory(parameters=5)
    assert torch.equal(trajectory.unobserved[0], expected[0])
    assert torch.equal(trajectory.observed_ranks[0], expected[1])
    assert torch.equal(trajectory.served, expected[2])
    assert (trajectory.epochs, trajectory.scores, trajectory.info) == ((0,), (0.1,), {"parameters": 5, "valid": {}})
    assert asked == [2, 2, 2]  # six users, in blocks that fit the budget
    assert torch.equal(scores, table(3))  # what it is given is not written to


def test_epochs_follow_each_other_and_the_best_is_the_last_snapshot(tmp_path):
    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8, snapshots=3)
        for score in (0.1, 0.3, 0.2):
            recorder.record_scores(lambda users, seed=score: table(int(10 * seed))[users], score=score)
        trajectory = recorder.trajectory()
    assert (trajectory.epochs, trajectory.scores) == ((0, 1), (0.1, 0.3))
    assert trajectory.served[1].tolist() == naive_list(table(3)[1], row(data().served, 1), 8)


def test_the_lists_are_judged_where_no_score_is_given(tmp_path):
    judged = []

    def judge(lists: Tensor) -> dict[str, float]:
        judged.append(lists[1].tolist())
        return {"recall@5": 0.25, "ndcg@5": 0.5}

    with SnapshotSpool(tmp_path) as spool:
        recorder = SnapshotRecorder(data(), spool, 6, 8, judge=(judge, "ndcg@5"))
        assert recorder.record_scores(lambda users: table()[users]) == 0.5
        assert recorder.trajectory().info["valid"] == {"recall@5": 0.25, "ndcg@5": 0.5}
    assert judged == [naive_list(table()[1], row(data().observed, 1), 8)]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda users: table()[users, :5], r"shape \(6, 5\); allowed: \(6, 13\)"),
        (lambda users: table()[users][0], r"shape \(13,\); allowed: \(6, 13\)"),
        (lambda users: torch.full((len(users), I), torch.nan), "scores hold NaN"),
    ],
)
def test_scores_of_another_form_are_refused(tmp_path, scores, message):
    with SnapshotSpool(tmp_path) as spool, pytest.raises(ValueError, match=message):
        SnapshotRecorder(data(), spool, 6, 8).record_scores(scores, score=0.1)


def test_without_a_judge_a_score_is_needed(tmp_path):
    with SnapshotSpool(tmp_path) as spool, pytest.raises(ValueError, match="score is not given"):
        SnapshotRecorder(data(), spool, 6, 8).record_scores(lambda users: table()[users])
