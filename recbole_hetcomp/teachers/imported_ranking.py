"""A recommender that answers with stored lists: a teacher's ranking without the teacher."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.trainer import Trainer
from recbole.utils import InputType, ModelType
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.metrics.lists import ListEvaluation, stored_top_lists
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.teachers.recorder import Scores, model_scores


class ImportedRanking(GeneralRecommender):
    """Recommends from a stored list per user, evaluated by RecBole's evaluator like any other model.

    An item's score is the number of list places at or below it, so that no two listed items tie; items that are not
    listed score 0.
    """

    lists: Tensor
    type = ModelType.TRADITIONAL
    input_type = InputType.POINTWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        self.register_buffer("lists", torch.full((self.n_users, 1), PAD, dtype=torch.int32))

    @torch.no_grad()
    def set_lists(self, lists: Tensor) -> None:
        """Take the lists to recommend from.

        Args:
            lists: item ids, best first, ``PAD`` at the end, int [U, L].

        Raises:
            ValueError: there is not one list per user, or an id is outside the catalogue.
        """
        if lists.shape[0] != self.n_users:
            raise ValueError(f"lists has {lists.shape[0]} rows, the data set {self.n_users} users (padding included)")
        if lists.numel() and not PAD <= int(lists.min()) <= int(lists.max()) < self.n_items:
            raise ValueError(f"lists names item {int(lists.max())}, the catalogue ends at {self.n_items - 1}")
        self.lists = lists.to(device=self.lists.device, dtype=torch.int32)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        saved = state_dict.get(prefix + "lists")
        if saved is not None:  # a saved model's lists may be of any length
            self.lists = torch.full(saved.shape, PAD, dtype=torch.int32, device=self.lists.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Nothing is learnt: 0, as RecBole's one-step models return."""
        return torch.zeros(1, requires_grad=True, device=self.lists.device).sum()

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of all items, float [B, I]."""
        lists = self.lists[interaction[self.USER_ID]].long()  # [B, L]
        length = lists.shape[1]
        places = torch.arange(length, 0, -1, device=lists.device, dtype=torch.float32).expand_as(lists)
        scores = torch.zeros(lists.shape[0], self.n_items + 1, device=lists.device)
        scores.scatter_(1, torch.where(lists == PAD, self.n_items, lists), places)
        return scores[:, : self.n_items]

    def predict(self, interaction: Any) -> Tensor:
        """Scores of user-item pairs, float [B]."""
        lists = self.lists[interaction[self.USER_ID]].long()  # [B, L]
        found = lists == interaction[self.ITEM_ID].unsqueeze(1)
        return (lists.shape[1] - found.float().argmax(1).float()) * found.any(1)


class ListsTrainer(ListEvaluation, Trainer):
    """RecBole's trainer of a model that answers with given lists: it evaluates them, nothing is learnt."""

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self.epochs = self.eval_step = 1

    @classmethod
    def judging(cls, config: Any, train: Any, lists: Tensor) -> ListsTrainer:
        """A trainer that evaluates some lists.

        Args:
            config: RecBole's Config.
            train: RecBole's training Dataset.
            lists: item ids, best first, ``PAD`` at the end, int [U, L].
        """
        ranking = ImportedRanking(config, train).to(config["device"])
        ranking.set_lists(lists)
        trainer = cls(config, ranking)
        trainer.eval_collector.data_collect(SimpleNamespace(dataset=train))
        return trainer

    def _build_optimizer(self, **kwargs: Any) -> torch.optim.Optimizer:
        """An optimizer over nothing: there are no parameters, and torch refuses an empty list."""
        return torch.optim.SGD([torch.zeros(1)], lr=0.0)

    def _train_epoch(self, *args: Any, **kwargs: Any) -> float:
        return 0.0

    def _top_lists(self, evaluated: EvaluatedUsers, length: int) -> Tensor:
        return stored_top_lists(self.model.lists.cpu(), evaluated, length)


def candidate_scores(model: Any, n_items: int) -> Scores:
    """The scores of a general recommender; what a model of lists does not list is no candidate, -inf.

    Args:
        model: the model.
        n_items: I, with the padding item.
    """
    scores = model_scores(model, n_items)
    if not isinstance(model, ImportedRanking):
        return scores

    def listed(users: Tensor) -> Tensor:
        found = scores(users)
        return found.masked_fill(found == 0, -torch.inf)

    return listed
