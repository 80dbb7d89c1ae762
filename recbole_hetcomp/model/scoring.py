"""Scores of all items for a batch of users, from any RecBole general recommender."""

from __future__ import annotations

from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

PAIRS_AT_ONCE = 1 << 18  # user-item pairs scored at once by models without full-sort prediction
SCORES_AT_ONCE = 1 << 24  # scores held at once when a whole user set is ranked

# RecBole models whose predict() ends in a sigmoid that is a function call, not a module.
_SIGMOID_PREDICT = {"NNCF", "NAIS", "FISM"}


def clear_cache(model: nn.Module) -> None:
    """Forget representations cached for evaluation (LightGCN and its kin), which are stale once weights change."""
    for name in list(vars(model)):
        if name.startswith("restore_"):
            setattr(model, name, None)


def users_at_once(n_items: int) -> int:
    """Users whose scores over all items are held at once.

    >>> users_at_once(1682)
    9974
    """
    return max(1, SCORES_AT_ONCE // n_items)


def all_item_scores(model: Any, users: Tensor, n_items: int) -> Tensor:
    """The model's scores of every item for some users, differentiable if gradients are on.

    A model that ends in a sigmoid is scored before it: the order is the same and the scores are not squeezed into
    [0, 1], where no softmax could be sharp.

    Args:
        model: a RecBole general recommender.
        users: user ids, int64 [B].
        n_items: I, with the padding item.

    Returns:
        Scores, float [B, I].
    """
    with _without_sigmoid(model):
        try:
            scores = model.full_sort_predict(Interaction({model.USER_ID: users}))
        except NotImplementedError:
            scores = _scores_by_pairs(model, users, n_items)
    return scores.view(users.shape[0], n_items)


def _scores_by_pairs(model: Any, users: Tensor, n_items: int) -> Tensor:
    items = torch.arange(n_items, device=users.device)
    step = max(1, PAIRS_AT_ONCE // n_items)
    blocks = []
    for block in users.split(step):
        pairs = Interaction(
            {model.USER_ID: block.repeat_interleave(n_items), model.ITEM_ID: items.repeat(block.shape[0])}
        )
        scores = model.predict(pairs)
        if type(model).__name__ in _SIGMOID_PREDICT:
            scores = torch.logit(scores, eps=torch.finfo(scores.dtype).eps)
        blocks.append(scores.view(-1, n_items))
    return torch.cat(blocks)


class _without_sigmoid:
    """While open, a model's ``sigmoid`` module (NeuMF, DMF) passes its input through."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.sigmoid = getattr(model, "sigmoid", None)

    def __enter__(self) -> None:
        if isinstance(self.sigmoid, nn.Sigmoid):
            self.model.sigmoid = nn.Identity()

    def __exit__(self, *exception: object) -> None:
        if isinstance(self.sigmoid, nn.Sigmoid):
            self.model.sigmoid = self.sigmoid
