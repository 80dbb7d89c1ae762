"""The objective's ways to the same loss: fused, plain, and with a sampled rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation

from recbole_hetcomp.core import PAD
from recbole_hetcomp.interactions import Interactions
from recbole_hetcomp.model.student.hetcomp import HetComp
from recbole_hetcomp.trainer.objective import ListwiseObjective, TaughtLists


class Lesson:
    """A student of ml-100k and random lists to teach it."""

    def __init__(self, **settings: Any) -> None:
        given = {"epochs": 1, "K": 30, "embedding_size": 4, **settings}
        config = Config(model="HetComp", dataset="ml-100k", config_dict=given)
        dataset = create_dataset(config)
        train, valid, _ = data_preparation(config, dataset)
        torch.manual_seed(0)
        self.model = HetComp(config, train._dataset)
        self.data = Interactions.from_datasets(train._dataset, valid._dataset)
        self.settings = self.model.settings
        self.lists = TaughtLists(self.data, [], [], self.settings, torch.device("cpu"))
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
@pytest.mark.parametrize("backbone", ["BPR", "LightGCN"])
def test_the_fused_loss_of_a_dot_product_student_is_that_of_the_plain_path(
    backbone: str, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = Lesson(student_backbone=backbone, rest_sample_num=draws)
    fused, fused_gradients = float(lesson.loss()), lesson.gradients()
    monkeypatch.setattr(HetComp, "factors", lambda self, users: None)
    assert fused == pytest.approx(float(lesson.loss()), rel=1e-5)
    assert error(fused_gradients, lesson.gradients()) < 1e-5


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("backbone", ["BPR", "MultiVAE"])
def test_more_draws_come_closer_to_the_exact_gradient(backbone: str, shared: bool) -> None:
    settings = {"train_neg_sample_args": None} if backbone == "MultiVAE" else {}
    errors = []
    for draws in (0, 8, 1200):
        lesson = Lesson(student_backbone=backbone, rest_sample_num=draws, rest_sample_shared=shared, **settings)
        lesson.model.eval()  # no dropout
        if draws == 0:
            exact, value = lesson.gradients(), float(lesson.loss())
        else:
            errors.append(error(lesson.gradients(), exact))
            found = float(lesson.loss())
    assert errors[1] < errors[0]
    assert found == pytest.approx(value, rel=0.01)


def test_draws_by_the_catalogues_size() -> None:
    settings = Lesson().settings
    assert settings.rest_sample_num is None
    assert settings.draws(1682) == 0
    assert settings.draws(200_000) > 0
    assert Lesson(rest_sample_num=7).settings.draws(1682) == 7


def test_lists_padded_from_the_start_teach_nothing() -> None:
    lesson = Lesson()
    lesson.lists.unobserved[:] = PAD
    lesson.lists.observed[:] = PAD
    assert float(lesson.loss()) == 0.0
