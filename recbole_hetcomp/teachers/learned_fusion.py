"""A learned fusion: boosted trees order what the teachers list, by ranks and agreement (LightGBM's LambdaRank).

The candidates of a user are all items that a teacher lists, in the order of the consensus. The trees see of each: its
rank in every teacher's list, how many list it, the mean, least and standard deviation of these ranks, its consensus
score and place, and its training interactions. They learn from the run's validation items, so users are dealt into
:data:`FOLDS` parts: what orders a user's list was fitted to the other parts. Every use of a list, validation, test and
teaching alike, is of a user that it was not fitted to.

Source: *From RankNet to LambdaRank to LambdaMART* (Burges, 2010), as LightGBM has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_hetcomp.core import PAD, taught_unobserved
from recbole_hetcomp.core.rankings import BLOCK_ELEMENTS, lists_at, ranks_in, user_blocks
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.extras import require
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers

FOLDS = 5
FEWEST = 50
"""Users with a validation item among their candidates, below which nothing is learnt."""
MOST = 10_000
"""Evaluated users that are learnt from; of more, as many are drawn."""
# Small: larger trees order unseen users of ml-100k worse than the consensus (docs/results/notebook/teachers.md).
_TREES: dict[str, Any] = {
    "n_estimators": 100,
    "learning_rate": 0.05,
    "num_leaves": 7,
    "lambdarank_truncation_level": 50,
}


@dataclass(frozen=True)
class Candidates:
    """What may stand in some users' lists, flat: each user's items, best by the consensus first, one user's after
    another's.

    Attributes:
        items: item ids, int64 [B, C], ``PAD`` behind the last of a row.
        features: of each item that is not ``PAD``, row by row, float32 [n, F].
    """

    items: Tensor
    features: NDArray[np.float32]

    @property
    def listed(self) -> Tensor:
        """Where an item is, bool [B, C]."""
        return self.items != PAD


class LearnedFusion:
    """Orders candidates by boosted trees; it is called as :func:`~recbole_hetcomp.core.taught_unobserved` is.

    Args:
        models: one a part of the users, LightGBM's boosters.
        part: the part of each user, whom no other model may order, int64 [U].
        item_counts: training interactions of each item, int64 [I].
    """

    def __init__(self, models: Sequence[Any], part: Tensor, item_counts: Tensor) -> None:
        self.models, self.part, self.item_counts = tuple(models), part, item_counts

    @classmethod
    def fitted(
        cls,
        data: Interactions,
        trajectories: Sequence[Tensor],
        consensus: Consensus,
        valid_data: Any,
        seed: int,
        budget: int = BLOCK_ELEMENTS,
    ) -> LearnedFusion:
        """Learn the order of the final snapshots' candidates from the validation items.

        Args:
            data: the interactions.
            trajectories: pi of each teacher, int [E_m, U, K'_m].
            consensus: its weights decided.
            valid_data: RecBole's validation loader.
            seed: of the parts, of the users that are drawn, and of the trees.
            budget: elements of one intermediate matrix; changes no list.

        Raises:
            ValueError: too few users have a validation item among their candidates.
            MissingPackageError: LightGBM is not installed.
        """
        draw = np.random.default_rng(seed)
        part = torch.zeros(data.n_users, dtype=torch.int64)
        part[data.ranked_users] = torch.from_numpy(draw.permutation(data.n_users - 1) % FOLDS)
        evaluated = EvaluatedUsers.of(valid_data)
        drawn = np.sort(draw.permutation(len(evaluated))[:MOST])
        users, features, labels, groups = _examples(
            evaluated, evaluated.users[torch.from_numpy(drawn)], trajectories, consensus, data.item_counts, budget
        )
        if len(users) < FEWEST:
            raise ValueError(_too_few(f"{len(users)} users have a validation item in a teacher's list"))
        of_row = part[users].numpy().repeat(groups)
        of_group = part[users].numpy()
        models = [
            _fit(features[of_row != fold], labels[of_row != fold], groups[of_group != fold], seed)
            for fold in range(FOLDS)
        ]
        return cls(models, part, data.item_counts)

    def __call__(
        self,
        trajectories: Sequence[Tensor],
        v: Tensor,
        users: Tensor,
        k: int,
        settings: Consensus,
        budget: int = BLOCK_ELEMENTS,
        item_weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The taught list of unobserved items, and its scores.

        Args, returns: as :func:`~recbole_hetcomp.core.taught_unobserved`; equal scores stand in the consensus's order.

        Raises:
            ValueError: popular items are to count less, for which the trees' scores have no scale.
        """
        if item_weights is not None:
            raise ValueError("item_weights is not allowed with fusion='learned'")
        items = torch.full((len(users), k), PAD, dtype=torch.int64)
        scores = torch.full((len(users), k), -torch.inf, dtype=torch.float64)
        v, given = v.cpu(), users.cpu()
        for block in _blocks(len(users), trajectories, budget):
            found = _candidates(trajectories, v[block], given[block], settings, self.item_counts, budget)
            predicted = torch.full(found.items.shape, -torch.inf, dtype=torch.float64)
            predicted[found.listed] = self._predicted(found, self.part[given[block]])
            best, order = torch.sort(predicted, dim=1, descending=True, stable=True)
            length = min(k, order.shape[1])
            items[block, :length] = found.items.gather(1, order)[:, :length]
            scores[block, :length] = best[:, :length]
        return items.to(users.device), scores.to(users.device)

    def _predicted(self, found: Candidates, part: Tensor) -> Tensor:
        """Each candidate's score by the model of its user's part, float64 [n]."""
        of_row = part.repeat_interleave(found.listed.sum(dim=1)).numpy()
        predicted = np.empty(len(of_row))
        for fold in np.unique(of_row):
            rows = of_row == fold
            predicted[rows] = self.models[fold].predict(found.features[rows], num_threads=torch.get_num_threads())
        return torch.from_numpy(predicted)


def check_learnable(valid_data: Any) -> None:
    """Refuse a validation split of too few users to learn from, before any training.

    Raises:
        ValueError: names how many there are, and the least that are allowed.
    """
    count = len(EvaluatedUsers.of(valid_data))
    if count < FEWEST:
        raise ValueError(_too_few(f"the validation split has {count} users"))


def _too_few(found: str) -> str:
    return f"fusion='learned' is not allowed here: {found}, and it learns from at least {FEWEST}"


def _blocks(count: int, trajectories: Sequence[Tensor], budget: int) -> Any:
    """Blocks of users whose candidates fit the memory budget."""
    return user_blocks(count, sum(trajectory.shape[2] for trajectory in trajectories), budget)


def _candidates(
    trajectories: Sequence[Tensor], v: Tensor, users: Tensor, settings: Consensus, item_counts: Tensor, budget: int
) -> Candidates:
    """The items that any teacher that counts lists for some users in the snapshots v, int64 [B, M]."""
    width = sum(trajectory.shape[2] for trajectory in trajectories)
    items, scores = taught_unobserved(trajectories, v, users, width, settings, budget)
    items, scores = (one[:, : int((items != PAD).sum(dim=1).max())] for one in (items, scores))
    listed = items != PAD
    counting = [m for m, weight in enumerate(settings.weights(len(trajectories))) if weight > 0]
    ranks = torch.stack([_ranks(lists_at(trajectories[m], v[:, m], users), items)[listed] for m in counting], dim=1)
    mean = ranks.nanmean(dim=1, keepdim=True)
    columns = [
        ranks,
        (~ranks.isnan()).sum(dim=1, keepdim=True),
        mean,
        ranks.nan_to_num(torch.inf).amin(dim=1, keepdim=True),
        ((ranks - mean) ** 2).nanmean(dim=1, keepdim=True).sqrt(),
        scores[listed][:, None],
        torch.arange(items.shape[1]).expand_as(items)[listed][:, None],
        item_counts[items[listed]][:, None],
    ]
    return Candidates(items, torch.cat([column.float() for column in columns], dim=1).numpy())


def _ranks(lists: Tensor, items: Tensor) -> Tensor:
    """Each item's rank in its row's list, NaN where it is not listed, float32 [B, C]."""
    ranks = ranks_in(lists, items, absent=-1)
    return ranks.float().masked_fill(ranks < 0, torch.nan)


def _examples(
    evaluated: EvaluatedUsers,
    users: Tensor,
    trajectories: Sequence[Tensor],
    consensus: Consensus,
    item_counts: Tensor,
    budget: int,
) -> tuple[Tensor, NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """The final snapshots' candidates of the users of whom one is a validation item.

    Returns:
        The users, int64 [N]; features, float32 [n, F]; 1 for a validation item and else 0, int [n]; and how many
        candidates each user has, int [N].
    """
    last = torch.tensor([trajectory.shape[0] - 1 for trajectory in trajectories])
    kept, features, labels, groups = [users[:0]], [], [], []
    for block in _blocks(len(users), trajectories, budget):
        here = users[block]
        found = _candidates(trajectories, last.expand(len(here), -1), here, consensus, item_counts, budget)
        wanted = evaluated.positives.holds(here, found.items)  # [B, C]
        learnable = wanted.any(dim=1)
        rows = learnable[:, None].expand_as(found.listed)[found.listed]
        kept.append(here[learnable])
        features.append(found.features[rows.numpy()])
        labels.append(wanted[found.listed][rows].numpy().astype(np.int64))
        groups.append(found.listed.sum(dim=1)[learnable].numpy())
    return torch.cat(kept), np.concatenate(features), np.concatenate(labels), np.concatenate(groups)


def _fit(features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> Any:
    """The trees of some users' candidates, LightGBM's booster; the same whatever the number of threads."""
    require("fusion='learned'", "lightgbm")
    from lightgbm import LGBMRanker

    ranker = LGBMRanker(
        objective="lambdarank",
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=torch.get_num_threads(),
        verbose=-1,
        **_TREES,
    )
    return ranker.fit(features, labels, group=groups).booster_
