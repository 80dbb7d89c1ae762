"""Backbone adapters: dot products that are the model's scores, also of a model that is not ours."""

from __future__ import annotations

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import BPR
from recbole.utils import get_model

from recbole_hetcomp.recbole_bridge.registry import register_model
from recbole_hetcomp.recbole_bridge.scoring import all_item_scores
from recbole_hetcomp.student.backbones import Backbone, adapter_of, backbone_adapter


class Doubled(BPR):
    """Scores that are twice the dot product; an inherited adapter would be wrong."""

    def full_sort_predict(self, interaction):
        return 2 * super().full_sort_predict(interaction)


@backbone_adapter(Doubled)
class DoubledBackbone(Backbone):
    scale = 3.0
    steps = 0

    def factors(self, users):
        return 2 * self.model.user_embedding(users), self.model.item_embedding.weight

    def before_step(self):
        DoubledBackbone.steps += 1


class Bare(BPR):
    """Another class of the same parts, without an adapter."""


register_model(Doubled)
register_model(Bare)


def student(backbone: str, **more):
    config = Config(model="HetComp", dataset="ml-100k", config_dict={"student_backbone": backbone, "K": 20, **more})
    train, _, _ = data_preparation(config, create_dataset(config))
    torch.manual_seed(1)
    return get_model("HetComp")(config, train._dataset)


@pytest.mark.parametrize("backbone", ["BPR", "LightGCN", "CML", "Doubled"])
def test_factors_are_the_models_scores(backbone):
    model = student(backbone).backbone.eval()
    users = torch.tensor([1, 5, 900])
    own, items = adapter_of(model).factors(users)
    with torch.no_grad():
        torch.testing.assert_close(own @ items.T, all_item_scores(model, users, 1683), rtol=1e-4, atol=1e-5)


def test_a_model_that_is_not_ours_takes_the_fused_path_with_its_scale():
    model, users = student("Doubled"), torch.tensor([1, 2])
    own, items = model.factors(users)
    with torch.no_grad():
        torch.testing.assert_close(own @ items.T, 3 * all_item_scores(model.backbone, users, 1683))
    before = DoubledBackbone.steps
    model.before_step()
    assert DoubledBackbone.steps == before + 1
    assert student("Doubled", score_scale=1.0).scale == 1.0


def test_a_subclass_inherits_no_adapter():
    model = student("Bare")
    assert model.factors(torch.tensor([1])) is None
    assert type(model.adapter) is Backbone
    assert model.all_scores(torch.tensor([1, 2])).shape == (2, 1683)


def test_any_model_with_user_embeddings_can_be_represented():
    model = student("Bare")
    assert torch.equal(model.adapter.user_representation(torch.tensor([3])), model.backbone.user_embedding.weight[3:4])
    assert model.adapter.user_representation().shape == (944, 8)


class Skewed(BPR):
    """A backbone whose adapter is wrong."""


class Frozen(BPR):
    """A backbone whose adapter gives no gradient."""


register_model(Skewed)
register_model(Frozen)


@backbone_adapter(Skewed)
class SkewedBackbone(Backbone):
    def factors(self, users):
        return 3 * self.model.user_embedding(users), self.model.item_embedding.weight


@backbone_adapter(Frozen)
class FrozenBackbone(Backbone):
    def factors(self, users):
        return self.model.user_embedding(users).detach(), self.model.item_embedding.weight.detach()


@pytest.mark.parametrize(
    ("backbone", "message"),
    [("Skewed", "SkewedBackbone.factors are not the scores of Skewed"), ("Frozen", "have no gradient")],
)
def test_a_wrong_adapter_is_refused(backbone, message):
    with pytest.raises(ValueError, match=message):
        student(backbone).check_adapter()
    student("Doubled").check_adapter()
