"""CML, ItemVAE and the item loader: hand-computed cases, naive oracles, a short real training."""

from __future__ import annotations

import copy
import itertools
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import recbole
import torch
import yaml
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.trainer import Trainer
from recbole.utils import InputType, init_seed

from recbole_hetcomp.recbole_bridge.loaders import ItemDataLoader
from recbole_hetcomp.recbole_bridge.training_rules import ALL as TRAINING_RULES
from recbole_hetcomp.teachers.cml import CML, covariance_penalty, into_unit_ball, metric_hinge_loss, rank_weight
from recbole_hetcomp.teachers.itemvae import UNSEEN_SCORE, ItemVAE, bags_of_users, kl_to_standard_normal

PROPERTIES = Path(__file__).resolve().parents[2] / "properties" / "model"
TEACHERS = ("IALS", "BPR", "CML", "NeuMF", "LightGCN", "MultiVAE", "ItemVAE")
FIELDS = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "NEG_PREFIX": "neg_",
    "device": torch.device("cpu"),
    "single_spec": True,
    "seed": 1,
    "worker": 0,
}

# Five users and five items; item 5 has no interaction, (2, 3) comes twice.
USERS = torch.tensor([1, 1, 2, 2, 2, 3, 4, 4, 5, 2])
ITEMS = torch.tensor([1, 2, 1, 3, 4, 1, 2, 3, 4, 3])
UNSEEN_ITEM = 5


def property_file(name: str) -> dict:
    return yaml.safe_load((PROPERTIES / f"{name}.yaml").read_text(encoding="utf-8"))


def small_dataset() -> SimpleNamespace:
    sizes = {"user_id": 6, "item_id": 6}
    interactions = Interaction({"user_id": USERS, "item_id": ITEMS})
    return SimpleNamespace(num=sizes.__getitem__, inter_feat=interactions, uid_field="user_id", iid_field="item_id")


def small_cml(**settings) -> CML:
    negatives = {"distribution": "uniform", "sample_num": 2}
    config = {**FIELDS, **property_file("CML"), "embedding_size": 3, "train_neg_sample_args": negatives}
    torch.manual_seed(3)
    return CML({**config, **settings}, small_dataset())


def small_item_vae(**settings) -> ItemVAE:
    config = {**FIELDS, **property_file("ItemVAE"), "latent_dimension": 2, "mlp_hidden_size": [4]}
    torch.manual_seed(4)
    return ItemVAE({**config, "item_block_size": 2, **settings}, small_dataset())


def all_users() -> Interaction:
    return Interaction({"user_id": torch.arange(6)})


# --- CML: pure functions ---


def test_unit_ball_moves_outside_points_to_the_surface_only():
    points = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [0.0, -1.0]])
    expected = torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(into_unit_ball(points), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_unit_ball_is_idempotent_and_bounded(dtype):
    points = into_unit_ball(torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).to(dtype))
    assert points.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps
    assert points.norm(dim=1).max() <= 1 + tolerance
    torch.testing.assert_close(into_unit_ball(points), points, rtol=tolerance, atol=0)


def test_rank_weight_by_hand():
    # 100 items, 3 negatives: floor(0), floor(33.3), floor(66.7), floor(100)
    expected = torch.tensor([0.0, math.log(34), math.log(67), math.log(101)])
    torch.testing.assert_close(rank_weight(torch.arange(4), sample_num=3, item_num=100), expected)


def test_hinge_loss_by_hand():
    positive = torch.tensor([1.0, 0.2])
    negative = torch.tensor([[1.2, 2.0], [0.5, 3.0]])  # hinges .3 and 1 | 0 and 0
    weight = math.log(11)  # both of 2 violate: rank 10 of 10
    loss = metric_hinge_loss(positive, negative, margin=0.5, item_num=10)
    torch.testing.assert_close(loss, torch.tensor([0.65 * weight, 0.0]))
    hardest = metric_hinge_loss(positive, negative, margin=0.5, item_num=10, negative_choice="hardest")
    torch.testing.assert_close(hardest, torch.tensor([1.0 * weight, 0.0]))


def naive_hinge_loss(positive, negative, margin, item_num, use_rank_weight, negative_choice) -> list[float]:
    losses = []
    for pair in range(len(positive)):
        hinges = [max(0.0, margin + positive[pair] - row[pair]) for row in negative]
        violations = sum(hinge > 0 for hinge in hinges)
        weight = math.log(1 + item_num * violations // len(hinges)) if use_rank_weight else 1.0
        loss = max(hinges) if negative_choice == "hardest" else sum(hinges) / len(hinges)
        losses.append(weight * loss)
    return losses


@pytest.mark.parametrize("negative_choice", ["all", "hardest"])
@pytest.mark.parametrize("use_rank_weight", [True, False])
@pytest.mark.parametrize("sample_num", [1, 7])
def test_hinge_loss_matches_a_naive_loop(negative_choice, use_rank_weight, sample_num):
    generator = torch.Generator().manual_seed(sample_num)
    positive = 4 * torch.rand(20, generator=generator, dtype=torch.float64)
    negative = 4 * torch.rand(sample_num, 20, generator=generator, dtype=torch.float64)
    arguments = (0.7, 1683, use_rank_weight, negative_choice)
    expected = naive_hinge_loss(positive.tolist(), negative.tolist(), *arguments)
    loss = metric_hinge_loss(positive, negative, *arguments)
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_hinge_loss_gradient():
    positive = torch.tensor([1.0, 0.2], dtype=torch.float64, requires_grad=True)
    negative = torch.tensor([[1.2, 2.0], [0.5, 0.6]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, n: metric_hinge_loss(p, n, 0.5, 10), (positive, negative))


def test_covariance_penalty_matches_a_naive_loop_and_vanishes_where_uncorrelated():
    points = torch.randn(9, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    centred = points - points.mean(0)
    expected = 0.0
    for a in range(4):
        for b in range(4):
            if a != b:
                expected += float((centred[:, a] * centred[:, b]).mean()) ** 2
    assert float(covariance_penalty(points)) == pytest.approx(expected)
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(covariance_penalty(square)) == pytest.approx(0.0)
    assert float(covariance_penalty(square[:1])) == pytest.approx(0.0)


# --- CML: the model ---


def cml_batch() -> Interaction:
    user, item = torch.tensor([1, 2, 4]), torch.tensor([1, 3, 2])
    negative = torch.tensor([[3, 2, 1], [4, 5, 5]])  # [S, B]
    return Interaction({"user_id": user.repeat(2), "item_id": item.repeat(2), "neg_item_id": negative.reshape(-1)})


@pytest.mark.parametrize("negative_choice", ["all", "hardest"])
def test_cml_loss_matches_the_definition(negative_choice):
    model = small_cml(covariance_weight=2.0, margin=0.8, negative_choice=negative_choice, use_rank_weight=True)
    with torch.no_grad():
        model.user_embedding.weight.mul_(3)  # outside the ball: the loss is over the projected points
    users = into_unit_ball(model.user_embedding.weight).detach()
    items = into_unit_ball(model.item_embedding.weight).detach()
    batch = cml_batch()
    user, item, negative = (batch[name].tolist() for name in ("user_id", "item_id", "neg_item_id"))

    def squared_distance(u: int, i: int) -> float:
        return sum((float(a) - float(b)) ** 2 for a, b in zip(users[u], items[i]))

    positive = [squared_distance(u, i) for u, i in zip(user[:3], item[:3])]
    sampled = [[squared_distance(user[b], negative[3 * s + b]) for b in range(3)] for s in range(2)]
    hinge = naive_hinge_loss(positive, sampled, 0.8, 5, True, negative_choice)
    points = torch.cat([users[user[:3]], items[item[:3]], items[negative]])
    expected = sum(hinge) / 3 + 2.0 * float(covariance_penalty(points))
    assert float(model.calculate_loss(batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_cml_scores_are_negative_squared_distances_one_way_or_the_other():
    model = small_cml()
    with torch.no_grad():
        model.item_embedding.weight.mul_(5)
    full = model.full_sort_predict(all_users()).view(6, 6)
    users, items = into_unit_ball(model.user_embedding.weight), into_unit_ball(model.item_embedding.weight)
    expected = -(users[:, None] - items[None]).square().sum(-1)
    torch.testing.assert_close(full, expected, rtol=1e-5, atol=1e-5)
    user, item = torch.cartesian_prod(torch.arange(6), torch.arange(6)).unbind(1)
    pairs = model.predict(Interaction({"user_id": user, "item_id": item})).view(6, 6)
    torch.testing.assert_close(full, pairs, rtol=1e-5, atol=1e-5)


def test_cml_points_stay_in_the_unit_ball_whatever_the_step():
    model = small_cml()
    optimizer = torch.optim.SGD(model.parameters(), lr=50.0)
    for _ in range(5):
        optimizer.zero_grad()
        model.calculate_loss(cml_batch()).backward()
        optimizer.step()
        for points in (model.get_user_embedding(torch.arange(6)), model.get_item_embedding(torch.arange(6))):
            assert points.norm(dim=1).max() <= 1 + 1e-6
        before = model.full_sort_predict(all_users())
        model.project()  # a projection changes no score
        torch.testing.assert_close(model.full_sort_predict(all_users()), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"negative_choice": "nearest"}, "nearest.*hardest"),
        ({"margin": 0.0}, "margin=0.0 is not allowed"),
        ({"covariance_weight": -1.0}, "covariance_weight=-1.0 is not allowed"),
        ({"train_neg_sample_args": {"sample_num": "none"}}, "sample_num='none' is not allowed"),
    ],
)
def test_cml_names_a_bad_setting(settings, named):
    with pytest.raises(ValueError, match=named):
        small_cml(**settings)


# --- ItemVAE ---


def test_bags_of_users_by_hand():
    bags = bags_of_users(USERS, ITEMS, item_num=6)
    assert bags.start.tolist() == [0, 0, 3, 5, 7, 9, 9]
    assert bags.users.tolist() == [1, 2, 3, 1, 4, 2, 4, 2, 5]
    padding = bags_of_users(torch.tensor([0, 1]), torch.tensor([2, 0]), item_num=3)
    assert padding.start.tolist() == [0, 0, 0, 0]


def test_item_rows_are_the_columns_of_the_interaction_matrix():
    rows = small_item_vae().item_rows(torch.tensor([3, UNSEEN_ITEM, 1, 3, 0]))
    expected = torch.zeros(5, 6)
    expected[0, [2, 4]] = expected[2, [1, 2, 3]] = expected[3, [2, 4]] = 1
    assert torch.equal(rows, expected)
    assert small_item_vae().item_rows(torch.tensor([UNSEEN_ITEM])).sum() == 0


def test_divergence_matches_torch_distributions():
    generator = torch.Generator().manual_seed(6)
    mean, log_variance = torch.randn(2, 5, 3, generator=generator)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(torch.zeros(5, 3), torch.ones(5, 3))
    expected = torch.distributions.kl_divergence(posterior, standard).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def naive_scores(model: ItemVAE) -> torch.Tensor:
    """log (softmax over users x popularity), item by item, from the weights alone: [U, I], padding 0."""
    scores = torch.zeros(6, 6)
    for item in range(1, 6):
        users = sorted({int(u) for u, i in zip(USERS, ITEMS) if i == item})
        if not users:
            scores[:, item] = UNSEEN_SCORE
            continue
        row = torch.zeros(6)
        row[users] = 1 / math.sqrt(len(users))
        first, last = model.encoder[0], model.encoder[2]
        mean = (last.weight @ torch.tanh(first.weight @ row + first.bias) + last.bias)[:2]
        hidden = torch.tanh(model.decoder[0].weight @ mean + model.decoder[0].bias)
        logits = model.output.weight @ hidden + model.output.bias
        probability = torch.softmax(logits[1:].double(), 0)
        scores[1:, item] = (probability * len(users)).log().float()
    return scores


@pytest.mark.parametrize("item_block_size", [1, 4, 100])
def test_item_vae_score_is_log_softmax_times_popularity(item_block_size):
    model = small_item_vae(item_block_size=item_block_size).eval()
    scores = model.full_sort_predict(all_users()).view(6, 6)
    torch.testing.assert_close(scores[1:, 1:], naive_scores(model)[1:, 1:], rtol=1e-5, atol=1e-5)
    expected_users = scores[1:, 1:UNSEEN_ITEM].exp().sum(0)  # a softmax sums to 1 over users: n_i remains
    torch.testing.assert_close(expected_users, torch.tensor([3.0, 2.0, 2.0, 2.0]))
    user, item = torch.cartesian_prod(torch.arange(6), torch.arange(6)).unbind(1)
    pairs = model.predict(Interaction({"user_id": user, "item_id": item})).view(6, 6)
    torch.testing.assert_close(scores, pairs, rtol=1e-5, atol=1e-5)


def test_item_vae_unseen_items_are_finite_and_last():
    model = small_item_vae().eval()
    scores = model.full_sort_predict(all_users()).view(6, 6)
    assert torch.isfinite(scores).all()
    assert (scores[1:, 1:UNSEEN_ITEM] > scores[1:, UNSEEN_ITEM, None]).all()


def test_item_vae_loss_matches_the_definition_without_noise():
    model = small_item_vae(dropout_prob=0.0, anneal_cap=0.3, total_anneal_steps=10).eval()
    items = torch.tensor([1, 3, 4])
    scores, divergence = naive_scores(model), 0.0
    cross_entropy = 0.0
    for item in items.tolist():
        users = sorted({int(u) for u, i in zip(USERS, ITEMS) if i == item})
        cross_entropy -= sum(float(scores[user, item]) - math.log(len(users)) for user in users)
    mean, log_variance = model.encode(model.item_rows(items))
    divergence = float(kl_to_standard_normal(mean, log_variance).sum())
    for update in range(1, 6):
        expected = (cross_entropy + min(0.3, update / 10) * divergence) / 3
        loss = float(model.calculate_loss(Interaction({"item_id": items})))
        assert loss == pytest.approx(expected, rel=1e-5)


def train_step(model: ItemVAE) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model.calculate_loss(Interaction({"item_id": torch.tensor([1, 2, 3])})).backward()
    optimizer.step()
    model.eval()


def test_item_vae_forgets_its_outputs_when_training_goes_on():
    model = small_item_vae().eval()
    before = model.full_sort_predict(all_users())
    train_step(model)
    after = model.full_sort_predict(all_users()).view(6, 6)
    assert not torch.allclose(before.view(6, 6), after)
    torch.testing.assert_close(after[1:, 1:], naive_scores(model)[1:, 1:], rtol=1e-5, atol=1e-5)


def test_item_vae_forgets_its_outputs_when_weights_are_loaded():
    model = small_item_vae().eval()
    saved = copy.deepcopy(model.state_dict())
    expected = model.full_sort_predict(all_users())
    train_step(model)
    model.full_sort_predict(all_users())  # kept
    model.load_state_dict(saved)
    assert torch.equal(model.full_sort_predict(all_users()), expected)
    whole = torch.nn.ModuleDict({"teacher": model})  # as a part of another model
    train_step(model)
    model.full_sort_predict(all_users())
    whole.load_state_dict({f"teacher.{name}": value for name, value in saved.items()})
    assert torch.equal(model.full_sort_predict(all_users()), expected)


def test_item_vae_keeps_its_outputs_between_batches_and_drops_them_when_moved():
    model = small_item_vae().eval()
    assert model.item_outputs()[0] is model.item_outputs()[0]
    assert not model.item_outputs()[0].requires_grad
    model.double()
    assert model.full_sort_predict(all_users()).dtype == torch.float64


def test_item_vae_checkpoint_goes_on_annealing_and_holds_no_interactions():
    model = small_item_vae()
    train_step(model)
    state = model.state_dict()
    assert int(state["updates"]) == 1
    assert not any("bag" in name for name in state)


def test_item_vae_padding_user_takes_no_part():
    model = small_item_vae(dropout_prob=0.0).eval()
    before = model.full_sort_predict(all_users()).view(6, 6)[1:]
    with torch.no_grad():
        model.output.bias[0] += 100.0
        model.encoder[0].weight[:, 0] += 100.0
    model.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.full_sort_predict(all_users()).view(6, 6)[1:], before)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dropout_prob": 1.0}, "dropout_prob=1.0 is not allowed"),
        ({"latent_dimension": 0}, "latent_dimension=0 is not allowed"),
        ({"anneal_cap": -0.1}, "anneal_cap=-0.1 is not allowed"),
        ({"item_block_size": None}, "item_block_size is not set"),
    ],
)
def test_item_vae_names_a_bad_setting(settings, named):
    with pytest.raises((ValueError, TypeError), match=named):
        small_item_vae(**settings)


# --- the item loader ---


def item_loader(seed: int = 1, batch_size: int = 3) -> ItemDataLoader:
    config = dict.fromkeys(("transform", "MODEL_TYPE")) | FIELDS | {"train_batch_size": batch_size, "seed": seed}
    return ItemDataLoader(config, small_dataset(), None, shuffle=True)


def test_item_loader_visits_each_seen_item_once():
    loader = item_loader()
    for _ in range(3):
        batches = [batch["item_id"].tolist() for batch in loader]
        assert [len(batch) for batch in batches] == [3, 1]
        assert sorted(itertools.chain(*batches)) == [1, 2, 3, 4]


def test_item_loader_shuffles_by_its_own_generator():
    def epochs(loader: ItemDataLoader) -> list[list[int]]:
        return [[item for batch in loader for item in batch["item_id"].tolist()] for _ in range(6)]

    torch.manual_seed(0)
    first = epochs(item_loader(seed=1))
    torch.manual_seed(123)
    assert epochs(item_loader(seed=1)) == first
    assert len({tuple(epoch) for epoch in first}) > 1


# --- property files and a real data set ---


@pytest.mark.parametrize("name", TEACHERS)
def test_property_file_holds_known_keys_only(name):
    own = {"CML", "IALS", "ItemVAE"}
    stock = Path(recbole.__file__).parent / "properties"
    known = {*yaml.safe_load((stock / "overall.yaml").read_text()), *TRAINING_RULES}
    if name not in own:
        known |= set(yaml.safe_load((stock / "model" / f"{name}.yaml").read_text()))
        assert set(property_file(name)) <= known
    for line in (PROPERTIES / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert "# (" in line, f"{name}.yaml: {line!r} says neither type nor meaning"


class Popularity(GeneralRecommender):
    """Ranks by training counts; the bar that a trained model has to clear."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        counts = torch.bincount(dataset.inter_feat[self.ITEM_ID], minlength=self.n_items)
        self.counts = torch.nn.Parameter(counts.float())

    def full_sort_predict(self, interaction):
        return self.counts.expand(len(interaction), -1).clone().view(-1)


def ml_100k(model_class, monkeypatch, tmp_path, **settings):
    monkeypatch.setattr(sys, "argv", sys.argv[:1])  # RecBole reads pytest's arguments as its own
    monkeypatch.chdir(tmp_path)  # RecBole writes its logs to the working directory
    shared = {
        "eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "user", "order": "RO", "mode": "full"},
        "metrics": ["Recall", "NDCG"],
        "topk": [50],
        "valid_metric": "Recall@50",
        "eval_batch_size": 2_000_000,
        "checkpoint_dir": str(tmp_path),
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }
    config = Config(model=model_class, dataset="ml-100k", config_dict={**shared, **settings})
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))
    if model_class is ItemVAE:
        train_data = ItemDataLoader(config, train_data._dataset, None, shuffle=True)
    model = model_class(config, train_data._dataset)
    return Trainer(config, model), train_data, valid_data


def test_teachers_beat_popularity_on_ml_100k(monkeypatch, tmp_path):
    trainer, train_data, valid_data = ml_100k(Popularity, monkeypatch, tmp_path)
    trainer.eval_collector.data_collect(train_data)
    popularity = trainer.evaluate(valid_data, load_best_model=False)["recall@50"]
    assert 0.15 < popularity < 0.4
    for model_class, epochs in ((CML, 8), (ItemVAE, 6)):
        settings = {**property_file(model_class.__name__), "epochs": epochs, "eval_step": epochs}
        trainer, train_data, valid_data = ml_100k(model_class, monkeypatch, tmp_path, **settings)
        recall, result = trainer.fit(train_data, valid_data, verbose=False, saved=False)
        assert recall > popularity + 0.05, (model_class.__name__, result, popularity)
