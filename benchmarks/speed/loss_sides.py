"""The listwise losses of a batch: the direct one, the package's exact one and its two sampled ones."""

from __future__ import annotations

from dataclasses import dataclass

import direct
import torch
from draws import mask, random_ranks
from harness import K_OBSERVED, SNAPSHOTS, TEACHERS, K
from inputs import Inputs
from torch import Tensor
from torch.nn.functional import embedding

from recbole_hetcomp.core import (
    PAD,
    Ragged,
    draw_items,
    fused_listwise_loss,
    sample_rest,
    sampled_rest_logsumexp,
    taught_observed,
    taught_unobserved,
    weighted_loss,
)

SAMPLED_REST = 4096
BATCH_ROWS = 1024
COARSE_WEIGHT, FINE_WEIGHT = 0.01, 0.005


@dataclass(frozen=True)
class PlannedTeacher:
    """What a batch of the listwise losses needs beyond the factors.

    Attributes:
        batches: user ids, int64 [B] each.
        observed: pi+ of every user, int64 [U, K/10].
        unobserved: pi- of every user, int64 [U, K].
        history: N+_u.
        not_observed: the history as a dense mask, for the direct side, float32 [U, I].
        generator: source of the draws of the rest.
    """

    batches: list[Tensor]
    observed: Tensor
    unobserved: Tensor
    history: Ragged
    not_observed: Tensor
    generator: torch.Generator


def draw_lesson(inputs: Inputs, generator: torch.Generator) -> PlannedTeacher:
    """Batches of users as a batch of interactions draws them, and the ensemble's taught lists."""
    users = torch.arange(inputs.size.users)
    v = torch.full((len(users), TEACHERS), SNAPSHOTS - 1)
    unobserved, _ = taught_unobserved(inputs.trajectories, v, users, K)
    ranks = [random_ranks(inputs.train, generator) for _ in range(TEACHERS)]
    observed = taught_observed(inputs.train, ranks, v, users, K_OBSERVED)
    batches = [
        torch.multinomial(inputs.activity, BATCH_ROWS, replacement=True, generator=generator)
        for _ in range(inputs.size.batches)
    ]
    not_observed = mask(torch.ones(inputs.size.users, inputs.size.items), inputs.train, users, 0.0)
    return PlannedTeacher(batches, observed, unobserved, inputs.train, not_observed, generator)


def direct_loss(
    lesson: PlannedTeacher, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor
) -> Tensor:
    """The formula as it stands."""
    loss, weight = {"coarse": (direct.coarse_loss, COARSE_WEIGHT), "fine": (direct.fine_loss, FINE_WEIGHT)}[stage]
    observed, unobserved = lesson.observed[users], lesson.unobserved[users]
    return weight * loss(user_factors, item_factors, observed, unobserved, lesson.not_observed[users])


def shared_loss(
    lesson: PlannedTeacher, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor
) -> Tensor:
    """The rest sampled once a batch, as the trainer does by default where it samples."""
    n_items = len(item_factors)
    drawn = draw_items(n_items, SAMPLED_REST, lesson.generator)
    outside = _listed(lesson, users)[1]
    sample = drawn, n_items - (outside != PAD).sum(dim=1)
    return fused_loss(lesson, stage, users, user_factors, item_factors, sample)


def fused_loss(
    lesson: PlannedTeacher,
    stage: str,
    users: Tensor,
    user_factors: Tensor,
    item_factors: Tensor,
    sample: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The package's, exact or with a sampled rest."""
    return fused_listwise_loss(
        user_factors,
        item_factors,
        lesson.observed[users],
        lesson.unobserved[users],
        lesson.history.padded(users),
        torch.full((len(users),), stage == "fine"),
        COARSE_WEIGHT,
        FINE_WEIGHT,
        sample=sample,
        place_decay=None,  # the paper's two lists, as the direct formula has them
    )


def sampled_loss(
    lesson: PlannedTeacher, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor
) -> Tensor:
    """The rest sampled for each user alone."""
    taught, outside, n_items = *_listed(lesson, users), len(item_factors)
    drawn = sample_rest(outside, n_items, SAMPLED_REST, lesson.generator)
    scores = _scores(user_factors, item_factors, torch.cat((taught, drawn), dim=1))
    listed = taught.shape[1]
    rest = sampled_rest_logsumexp(scores[:, listed:], n_items - (outside != PAD).sum(dim=1))
    return _weighted(stage, scores[:, :listed], rest, taught)


def _listed(lesson: PlannedTeacher, users: Tensor) -> tuple[Tensor, Tensor]:
    """Taught items [B, K/10 + K], and items outside the rest [B, H + K]."""
    unobserved = lesson.unobserved[users]
    return (
        torch.cat((lesson.observed[users], unobserved), dim=1),
        torch.cat((lesson.history.padded(users), unobserved), dim=1),
    )


def _scores(user_factors: Tensor, item_factors: Tensor, items: Tensor) -> Tensor:
    return (embedding(items.clamp(min=0), item_factors) * user_factors[:, None]).sum(2)


def _weighted(stage: str, scores: Tensor, rest: Tensor, taught: Tensor) -> Tensor:
    fine = torch.full((len(taught),), stage == "fine")
    weights = COARSE_WEIGHT, FINE_WEIGHT
    return weighted_loss(scores, rest, taught != PAD, K_OBSERVED, fine, *weights, place_decay=None)
