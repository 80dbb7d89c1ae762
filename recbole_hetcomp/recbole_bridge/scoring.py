"""Scores of all items for a batch of users, from any RecBole general recommender."""

from __future__ import annotations

from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.general_recommender import FISM, NAIS, NNCF
from torch import Tensor, nn

from recbole_hetcomp.core import Ragged, top_k
from recbole_hetcomp.core.rankings import hide

SCORES_AT_ONCE = 1 << 24  # scores of a block of users where no memory budget is given: that of the default one
# User-item pairs at once in models without full-sort prediction. A network's layers for 2^18 pairs leave a processor's
# cache and were three to seven times as slow as for 2^13; a GPU wants more to do at a time.
PAIRS_AT_ONCE = 1 << 13
PAIRS_AT_ONCE_ON_GPU = 1 << 16

OWN_SCORES = "scores_of_all_items"
"""Attribute of a model that is asked in a way of its own: users, int64 [B] → scores of all items, float [B, I]."""

# RecBole models whose predict() ends in a sigmoid that is a function call, not a module.
_SIGMOID_PREDICT = (NNCF, NAIS, FISM)


def clear_cache(model: nn.Module) -> None:
    """Forget representations cached for evaluation (LightGCN and its kin), which are stale once weights change."""
    for name in list(vars(model)):
        if name.startswith("restore_"):
            setattr(model, name, None)


def users_at_once(n_items: int, budget: int = SCORES_AT_ONCE) -> int:
    """Users whose scores over all items are held at once.

    Args:
        n_items: I.
        budget: scores that may be held.

    >>> users_at_once(1682)
    9974
    >>> users_at_once(1682, budget=1000)
    1
    """
    return max(1, budget // n_items)


def device_of(model: Any) -> torch.device:
    """Where a recommender computes; one without parameters says so in ``device``."""
    return next((parameter.device for parameter in model.parameters()), torch.device(model.device))


def ranks_by_pairs(model: Any) -> bool:
    """Whether a recommender scores all items no other way than pair by pair, like NeuMF, so that fewer are cheaper.

    >>> from recbole.model.general_recommender import BPR, NeuMF
    >>> ranks_by_pairs(object.__new__(NeuMF)), ranks_by_pairs(object.__new__(BPR))
    (True, False)
    """
    return type(model).full_sort_predict is AbstractRecommender.full_sort_predict


def all_item_scores(model: Any, users: Tensor, n_items: int) -> Tensor:
    """The model's scores of every item for some users, differentiable if gradients are on.

    A model that ends in a sigmoid is scored before it: the order is the same and the scores are not squeezed into
    [0, 1], where no softmax could be sharp.

    Args:
        model: a RecBole general recommender, or one that has :data:`OWN_SCORES`.
        users: user ids, int64 [B].
        n_items: I, with the padding item.

    Returns:
        Scores, float [B, I].
    """
    own = getattr(model, OWN_SCORES, None)
    if own is not None:
        return own(users)
    with without_sigmoid(model):
        try:
            scores = model.full_sort_predict(Interaction({model.USER_ID: users}))
        except NotImplementedError:
            scores = _scores_by_pairs(model, users, n_items)
    return scores.view(users.shape[0], n_items)


def _scores_by_pairs(model: Any, users: Tensor, n_items: int) -> Tensor:
    """Scores of all pairs, user by user, float [B * I]."""
    step = PAIRS_AT_ONCE if users.device.type == "cpu" else PAIRS_AT_ONCE_ON_GPU
    n_pairs = users.shape[0] * n_items
    blocks = [slice(start, min(start + step, n_pairs)) for start in range(0, max(1, n_pairs), step)]
    first, *others = blocks
    scores = _pair_scores(model, users, n_items, first)
    if torch.is_grad_enabled():
        return torch.cat([scores, *(_pair_scores(model, users, n_items, block) for block in others)])
    filled = scores.new_empty(n_pairs)  # small results kept between large intermediates would scatter the heap
    filled[first] = scores
    for block in others:
        filled[block] = _pair_scores(model, users, n_items, block)
    return filled


def pair_scores(model: Any, users: Tensor, items: Tensor) -> Tensor:
    """The model's scores of single pairs, differentiable if gradients are on; before a sigmoid as `all_item_scores`.

    Args:
        model: a RecBole general recommender.
        users: user ids, int64 [n].
        items: item ids, int64 [n].

    Returns:
        Scores, float [n].
    """
    with without_sigmoid(model):
        return _predicted(model, users, items)


def _pair_scores(model: Any, users: Tensor, n_items: int, pairs: slice) -> Tensor:
    """Scores of some of the pairs, user by user, float [P]."""
    pair = torch.arange(pairs.start, pairs.stop, device=users.device)
    item = pair % n_items
    return _predicted(model, users[(pair - item) // n_items], item)


def _predicted(model: Any, users: Tensor, items: Tensor) -> Tensor:
    scores = model.predict(Interaction({model.USER_ID: users, model.ITEM_ID: items})).view(-1)
    if isinstance(model, _SIGMOID_PREDICT):
        scores = torch.logit(scores, eps=torch.finfo(scores.dtype).eps)
    return scores


class without_sigmoid:
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


@torch.no_grad()
def ranked_lists(
    model: Any, users: Tensor, n_items: int, history: Ragged, length: int, budget: int = SCORES_AT_ONCE
) -> Tensor:
    """A model's top lists over the items outside the users' history, in blocks of users.

    The model is used in the mode that it is in, and with the representations that it has cached.

    Args:
        model: a RecBole general recommender.
        users: int64 [B].
        n_items: I, with the padding item, which is never listed.
        history: each user's items that are no candidates, on the device of ``users``.
        length: L.
        budget: scores held at once; no list depends on it.

    Returns:
        Item ids, best first, ties to the smaller id, ``PAD`` behind, int32 [B, L], on the device of ``users``.
    """
    lists = torch.empty(len(users), length, dtype=torch.int32, device=users.device)
    device, start = device_of(model), 0
    for block in users.split(users_at_once(n_items, budget)):
        scores = hide(all_item_scores(model, block.to(device), n_items), block, history)
        lists[start : start + len(block)] = top_k(scores, length)
        start += len(block)
    return lists
