"""Speed and memory of the package against the direct, dense formulation of the same formulas (``direct.py``).

    python benchmarks/speed.py --size citeulike --json speed.json

Inputs are random, of a real data set's size: factors shared by all models give the scores, teachers add noise of their
own that shrinks from snapshot to snapshot, interactions are drawn from the same scores with skewed activity and
popularity. Both sides get the same inputs and the same threads, are timed in turn after a warm-up, and their answers
are compared in the same run. A ratio is the direct side's median time divided by the package's. Where the direct side
would take minutes, both sides work on the same random share of the users or batches, and seconds are scaled to all.

With glibc much of the direct losses' time goes into page faults of their large temporaries; ``--keep-memory`` saves it.
Run it on an idle machine: a thread that has to wait for another process's core makes small steps slow.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import direct
import numpy as np
import pandas as pd
import recbole
import torch
from recbole.config import Config
from recbole.evaluator import Evaluator
from recbole.evaluator.collector import DataStruct
from recbole.model.general_recommender import BPR
from torch import Tensor
from torch.nn.functional import embedding

from recbole_hetcomp.core import (
    PAD,
    Consensus,
    Curriculum,
    CurriculumState,
    Ragged,
    advance,
    discrepancy,
    draw_items,
    fused_listwise_loss,
    lists_at,
    ranks_in,
    sample_rest,
    sampled_rest_logsumexp,
    taught_observed,
    taught_unobserved,
    top_k,
    weighted_loss,
)
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.metrics.lists import top_list_entries
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import SCORES_AT_ONCE, ranked_lists
from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore, item_dtype

TEACHERS, SNAPSHOTS, K, K_OBSERVED, T_R, T_S = 6, 4, 100, 10, 10.0, 100.0
CUTOFFS = (10, 50)
SHARED_DIMENSIONS = 32
SAMPLED_REST = 4096
BATCH_ROWS = 1024
COARSE_WEIGHT, FINE_WEIGHT = 0.01, 0.005
TIE = 2e-6  # relative: what float32 leaves of an equality


@dataclass(frozen=True)
class Size:
    """A data set's numbers, and how much of each part is timed.

    Attributes:
        users: U.
        items: I.
        interactions: all interactions; 60 % are for training.
        dimension: of the student's factors.
        epoch_rows: user rows of one epoch of listwise training.
        share: share of the users on which consensus and evaluation are timed.
        batches: batches on which the losses are timed.
    """

    users: int
    items: int
    interactions: int
    dimension: int
    epoch_rows: int
    share: float
    batches: int


SIZES = {
    "citeulike": Size(5219, 25181, 131597, 6, 58408, 0.2, 3),
    "ml-100k": Size(943, 1682, 100000, 8, 7544, 1.0, 4),
    "tiny": Size(60, 400, 900, 4, 120, 0.5, 1),
}
"""Sizes by name; ``tiny`` is for tests."""


@dataclass(frozen=True)
class Inputs:
    """What both sides work on.

    Attributes:
        size: the numbers.
        train: each user's training items.
        history: training and validation items.
        test: each user's test items, at least one.
        activity: interactions of each user, float [U].
        trajectories: pi of each teacher, M of shape [E, U, K], as small a type as the store's.
        user_factors: the student's, float32 [U, d].
        item_factors: the student's, float32 [I, d].
        earlier_lists: the student's lists before its last epochs, int64 [U, K].
        student_lists: the student's lists now, int64 [U, K].
    """

    size: Size
    train: Ragged
    history: Ragged
    test: Ragged
    activity: Tensor
    trajectories: list[Tensor]
    user_factors: Tensor
    item_factors: Tensor
    earlier_lists: Tensor
    student_lists: Tensor


def draw_inputs(size: Size, generator: torch.Generator) -> Inputs:
    """Draw a data set, teachers and a student that resemble each other."""
    spread = torch.linspace(1.0, 0.3, SHARED_DIMENSIONS) * 0.7
    user_factors = torch.randn(size.users, SHARED_DIMENSIONS, generator=generator)
    item_factors = torch.randn(size.items, SHARED_DIMENSIONS, generator=generator) * spread
    user_factors[:, 0], item_factors[:, 0] = 1.0, item_factors[:, 0].abs() * 2.0  # popularity
    counts = _activity(size, generator)
    train, history, test = _splits(user_factors, item_factors, counts, generator)
    unlike = torch.randn(user_factors.shape, generator=generator) * 0.5
    student = user_factors[:, : size.dimension].contiguous()
    items = item_factors[:, : size.dimension].contiguous()
    return Inputs(
        size=size,
        train=train,
        history=history,
        test=test,
        activity=counts.float(),
        trajectories=_trajectories(user_factors, item_factors, train, generator),
        user_factors=student,
        item_factors=items,
        earlier_lists=ranked(student + unlike[:, : size.dimension], items, train, K),
        student_lists=ranked(student, items, train, K),
    )


def ranked(user_factors: Tensor, item_factors: Tensor, history: Ragged, length: int) -> Tensor:
    """Each user's items outside the history by dot product, best first, int64 [U, length]."""
    lists = []
    for users in torch.arange(len(user_factors)).split(_users_at_once(len(item_factors))):
        scores = user_factors[users] @ item_factors.T
        _mask(scores, history, users, -torch.inf)
        lists.append(top_k(scores, length))
    return torch.cat(lists)


def _users_at_once(n_items: int) -> int:
    return max(1, 2**23 // n_items)


def _mask(matrix: Tensor, history: Ragged, users: Tensor, value: float | bool) -> Tensor:
    """Write a value where a user's history stands, in place."""
    columns = history.padded(users)
    row, place = (columns >= 0).nonzero(as_tuple=True)
    matrix[row, columns[row, place]] = value
    return matrix


def _activity(size: Size, generator: torch.Generator) -> Tensor:
    """Interactions of each user: skewed, at least 5, int64 [U]."""
    weight = torch.randn(size.users, generator=generator).exp()
    spare = size.interactions - 5 * size.users
    return (5 + (weight / weight.sum() * spare).round().long()).clamp(max=size.items // 3)


def _splits(
    user_factors: Tensor, item_factors: Tensor, counts: Tensor, generator: torch.Generator
) -> tuple[Ragged, Ragged, Ragged]:
    """Interactions drawn without replacement by score; 60 % training, 20 % validation, 20 % (1 or more) test."""
    n_users, n_items = len(user_factors), len(item_factors)
    pairs: dict[str, list[Tensor]] = {"train": [], "history": [], "test": []}
    for users in torch.arange(n_users).split(_users_at_once(n_items)):
        scores = user_factors[users] @ item_factors.T
        scores -= torch.empty_like(scores).exponential_(generator=generator).log_()  # Gumbel noise
        drawn = scores.topk(int(counts[users].max()), dim=1)[1]  # [B, H]
        turn = torch.rand(drawn.shape, generator=generator)
        turn[torch.arange(drawn.shape[1]) >= counts[users, None]] = torch.inf
        place = turn.argsort(dim=1).argsort(dim=1)  # a random order of each user's own
        n_test = (counts[users, None] / 5).long().clamp(min=1)
        member = place < counts[users, None]
        for name, chosen in (
            ("test", place < n_test),
            ("history", (place >= n_test) & member),
            ("train", (place >= 2 * n_test) & member),
        ):
            row, column = chosen.nonzero(as_tuple=True)
            pairs[name].append(torch.stack((users[row], drawn[row, column])))
    joined = {name: torch.cat(parts, dim=1) for name, parts in pairs.items()}
    ragged = {name: Ragged.from_pairs(users, items, n_users) for name, (users, items) in joined.items()}
    return ragged["train"], ragged["history"], ragged["test"]


def _trajectories(
    user_factors: Tensor, item_factors: Tensor, train: Ragged, generator: torch.Generator
) -> list[Tensor]:
    """Teachers' lists: the best shared scores reordered by each teacher's taste and each snapshot's errors."""
    n_users, n_items = len(user_factors), len(item_factors)
    lists = [torch.empty(SNAPSHOTS, n_users, K, dtype=item_dtype(n_items)) for _ in range(TEACHERS)]
    pool = min(n_items // 2, 2000)
    for users in torch.arange(n_users).split(_users_at_once(n_items)):
        scores = _mask(user_factors[users] @ item_factors.T, train, users, -torch.inf)
        best, items = scores.topk(pool, dim=1)  # [B, pool]
        for teacher in lists:
            taste = best + torch.randn(best.shape, generator=generator)
            for snapshot, error in enumerate(torch.linspace(1.5, 0.2, SNAPSHOTS).tolist()):
                noisy = taste + torch.randn(best.shape, generator=generator) * error
                teacher[snapshot, users] = items.gather(1, noisy.topk(K, dim=1)[1]).to(teacher.dtype)
    return lists


@dataclass(frozen=True)
class Part:
    """One part's timings and checks.

    Attributes:
        direct: seconds of each repeat of the direct side, scaled to the whole part.
        package: seconds of each repeat of the package, likewise.
        agreement: what was compared, ``agrees`` among it.
        note: share that was timed, and the like.
    """

    direct: list[float]
    package: list[float]
    agreement: dict[str, Any]
    note: str

    @property
    def ratio(self) -> float:
        """Median direct time over median package time."""
        return statistics.median(self.direct) / statistics.median(self.package)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def curriculum_parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """Dynamic knowledge construction, second step, all users and teachers."""
    settings = Curriculum(T_r=T_R)
    v = torch.randint(0, SNAPSHOTS, (inputs.size.users, TEACHERS), generator=generator)
    last = torch.full((TEACHERS,), SNAPSHOTS - 1)
    state = CurriculumState(v, torch.full(v.shape, torch.nan, dtype=torch.float64), last, 0)
    state, _ = advance(state, inputs.earlier_lists, inputs.trajectories, settings)  # measures d_ref
    package = partial(advance, state, inputs.student_lists, inputs.trajectories, settings)
    new, _ = package()  # warm-up
    # The first snapshot's ranks are never read in this step, so its matrix is not built.
    dense = [np.full((inputs.size.users, inputs.size.items), K, dtype=np.float32) for _ in range(SNAPSHOTS - 1)]
    rows = {kind: slice(None) for kind in direct.DISCREPANCIES}
    rows["direct"] = slice(None, None, round(1 / inputs.size.share))
    timed_users = len(v[rows["direct"]])
    seconds: dict[str, list[float]] = {kind: [] for kind in (*direct.DISCREPANCIES, "package")}
    answers: dict[str, list[Any]] = {}
    for _ in range(repeats):
        for kind in direct.DISCREPANCIES:
            taken, answers[kind] = _direct_curriculum(inputs, state, dense, settings, kind, rows[kind])
            seconds[kind].append(taken)
        seconds["package"].append(timed(package)[0])
    gamma = state.d_ref / _distances(inputs, (v + 1).clamp(max=SNAPSHOTS - 1), settings)
    alpha_t = settings.alpha_at(state.step)
    compare = partial(_compare_steps, state=state, new=new, gamma=gamma, alpha_t=alpha_t)
    note = f"{timed_users} of {inputs.size.users} users timed; direct: gains of the catalogue, IDCG by sorting them"
    return {
        name: Part(seconds[kind], seconds["package"], compare(answers[kind], rows[kind]), note)
        for name, kind, note in (
            ("curriculum_step", "direct", note),
            ("curriculum_step_known_ideal", "known_ideal", "direct: gains of the catalogue, IDCG known"),
            ("curriculum_step_gathered", "gathered", "direct: gains of the student's list, IDCG known"),
        )
    }


def _direct_curriculum(
    inputs: Inputs, state: CurriculumState, dense: list[np.ndarray], settings: Curriculum, kind: str, rows: slice
) -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]:
    """Seconds, scaled to all users, and answers, teacher by teacher.

    A teacher's dense ranks are put into ``dense`` off the clock: the step takes them as there.
    """
    spent, answers = 0.0, []
    v, d_ref, students = (part.numpy()[rows] for part in (state.v, state.d_ref, inputs.student_lists))
    ranks = [matrix[rows] for matrix in (dense[0], *dense)]
    for m, trajectory in enumerate(inputs.trajectories):
        lists = trajectory.numpy().astype(np.int64)[1:]
        for matrix, listed in zip(dense, lists):
            np.put_along_axis(matrix, listed, np.arange(K, dtype=np.float32)[None, :], axis=1)
        step = partial(direct.curriculum_step, v[:, m], d_ref[:, m], ranks, students)
        taken, answer = timed(partial(step, settings.alpha_at(state.step), settings.K_D, T_R, kind))
        spent += taken
        answers.append(answer)
        for matrix, listed in zip(dense, lists):
            np.put_along_axis(matrix, listed, np.float32(K), axis=1)
    return spent * inputs.size.users / len(v), answers


def _distances(inputs: Inputs, snapshot: Tensor, settings: Curriculum) -> Tensor:
    """D@K_D of the student to one snapshot of each teacher, float64 [U, M]."""
    users = torch.arange(inputs.size.users)
    columns = [
        discrepancy(inputs.student_lists, lists_at(trajectory, snapshot[:, m], users), settings.K_D, settings.T_r)
        for m, trajectory in enumerate(inputs.trajectories)
    ]
    return torch.stack(columns, dim=1)


def _compare_steps(
    answer: list[tuple[np.ndarray, np.ndarray]],
    rows: slice,
    state: CurriculumState,
    new: CurriculumState,
    gamma: Tensor,
    alpha_t: float,
) -> dict[str, Any]:
    """Same v and d_ref of some rows; a v that differs must be one whose gamma is a threshold but for float32."""
    gamma, new_v, new_d_ref, old_v = gamma[rows], new.v[rows], new.d_ref[rows], state.v[rows]
    v, d_ref = (torch.from_numpy(np.stack(parts, axis=1)) for parts in zip(*answer))
    same = v == new_v
    tied = ((gamma - 1).abs() < TIE) | ((gamma / alpha_t - 1).abs() < TIE)
    error = ((d_ref - new_d_ref).abs() / new_d_ref.clamp(min=1e-2))[same]
    return {
        "agrees": bool((same | tied).all() and error.max() < 1e-6),
        "share_of_moves": float((new_v != old_v).double().mean()),
        "share_of_equal_v": float(same.double().mean()),
        "unequal_v_at_a_threshold": int((~same & tied).sum()),
        "unequal_v_otherwise": int((~same & ~tied).sum()),
        "largest_relative_difference_of_d_ref": float(error.max()),
    }


def consensus_parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """Taught lists of users at random snapshots, with and without consistency."""
    users = _chosen_users(inputs.size, generator)
    v = torch.randint(0, SNAPSHOTS, (len(users), TEACHERS), generator=generator)
    return {
        name: _consensus_part(inputs, users, v, Consensus(T_r=T_R, T_s=T_S, use_consistency=consistent), repeats)
        for name, consistent in (("consensus", True), ("consensus_without_consistency", False))
    }


def _chosen_users(size: Size, generator: torch.Generator) -> Tensor:
    return torch.randperm(size.users, generator=generator)[: max(1, round(size.users * size.share))].sort()[0]


def _consensus_part(inputs: Inputs, users: Tensor, v: Tensor, settings: Consensus, repeats: int) -> Part:
    scale = inputs.size.users / len(users)
    window = settings.window if settings.use_consistency else None
    package = partial(taught_unobserved, inputs.trajectories, v, users, K, settings)
    items, scores = package()  # warm-up
    seconds: dict[str, list[float]] = {"direct": [], "package": []}
    found = np.empty((0, K))
    for _ in range(repeats):
        spent, parts = 0.0, []
        for block in torch.arange(len(users)).split(_users_at_once(inputs.size.items) * 2):
            taken, answer = _direct_consensus(inputs, users[block], v[block].numpy(), window)
            spent += taken
            parts.append(answer)
        found = np.concatenate(parts)
        seconds["direct"].append(spent * scale)
        seconds["package"].append(timed(package)[0] * scale)
    everything = taught_unobserved(inputs.trajectories, v, users, TEACHERS * K, settings)
    return Part(
        seconds["direct"],
        seconds["package"],
        _compare_lists(torch.from_numpy(found), items, scores, *everything),
        f"{len(users)} of {inputs.size.users} users timed; direct: its ranks exist already",
    )


def _direct_consensus(inputs: Inputs, users: Tensor, v: np.ndarray, window: int | None) -> tuple[float, np.ndarray]:
    """Seconds and lists of some users; the dense ranks, which the published code holds, are built off the clock."""
    spent = 0.0
    total = np.zeros((len(users), inputs.size.items), dtype=np.float32)
    observed = _mask(torch.zeros(total.shape, dtype=torch.bool), inputs.train, users, True).numpy()
    for m, trajectory in enumerate(inputs.trajectories):
        ranks = [direct.rank_matrix(lists[users].long().numpy(), inputs.size.items) for lists in trajectory]
        start = time.perf_counter()
        total += direct.importance(v[:, m], ranks, T_R, T_S, window)
        spent += time.perf_counter() - start
    taken, (items, _) = timed(lambda: direct.consensus(total, observed, K))
    return spent + taken, items


def _compare_lists(
    found: Tensor, items: Tensor, scores: Tensor, all_items: Tensor, all_scores: Tensor
) -> dict[str, Any]:
    """Share of equal positions; a position that differs must hold an item of equal score."""
    place = ranks_in(all_items, found, absent=-1)
    value = all_scores.gather(1, place.clamp(min=0)).masked_fill(place < 0, -torch.inf)
    tied = (value - scores).abs() <= TIE * scores.abs()
    same = found == items
    return {
        "agrees": bool((same | tied).all()),
        "share_of_equal_positions": float(same.double().mean()),
        "unequal_positions_of_equal_score": int((tied & ~same).sum()),
        "unequal_positions_otherwise": int((~tied & ~same).sum()),
    }


def evaluation_parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """Recall and NDCG of the student over all items."""
    users = _chosen_users(inputs.size, generator)
    scale = inputs.size.users / len(users)
    history, positives = (
        [ragged.values[ragged.offsets[u] : ragged.offsets[u + 1]].numpy() for u in users.tolist()]
        for ragged in (inputs.history, inputs.test)
    )
    factors, item_factors = inputs.user_factors[users], inputs.item_factors
    sides: dict[str, Callable[[], dict[str, float]]] = {
        "direct": partial(direct.evaluate, factors, item_factors, history, positives, CUTOFFS),
        "package": RecBoleStudent(inputs, users).metrics,
    }
    answers = {"package": sides["package"]()}  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            taken, answers[name] = timed(call)
            seconds[name].append(taken * scale)
    difference = max(abs(answers["direct"][name] - value) for name, value in answers["package"].items())
    agreement = {"agrees": difference < 1e-6, "largest_difference": difference, **answers["package"]}
    note = f"{len(users)} of {inputs.size.users} users timed"
    return {"evaluation": Part(seconds["direct"], seconds["package"], agreement, note)}


class RecBoleStudent:
    """The student as RecBole's BPR, and what it is evaluated on. Item ids are one more: RecBole's item 0 is padding."""

    def __init__(self, inputs: Inputs, users: Tensor) -> None:
        size = inputs.size
        fields = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "NEG_PREFIX": "neg_", "device": torch.device("cpu")}
        numbers = {"user": size.users, "item": size.items + 1}
        self.model = BPR({**fields, "embedding_size": size.dimension}, SimpleNamespace(num=numbers.get)).eval()
        self.model.user_embedding.weight.data.copy_(inputs.user_factors)
        self.model.item_embedding.weight.data[1:] = inputs.item_factors
        positives, history = (
            Membership.of(Ragged(ragged.offsets, ragged.values + 1)) for ragged in (inputs.test, inputs.history)
        )
        self.evaluated = EvaluatedUsers(users, positives, history, size.items + 1)
        Config.compatibility_settings(
            None
        )  # RecBole's metrics use names that numpy has dropped; its Config restores them
        metrics = {"metrics": ["Recall", "NDCG"], "topk": list(CUTOFFS), "metric_decimal_place": 12}
        self.evaluator = Evaluator(metrics)

    def metrics(self) -> dict[str, float]:
        """Recall and NDCG of RecBole's evaluator, fed with top lists."""
        evaluated = self.evaluated
        lists = ranked_lists(
            self.model, evaluated.users, evaluated.n_items, evaluated.history.items, max(CUTOFFS), SCORES_AT_ONCE
        )
        collected = DataStruct()
        for key, value in top_list_entries(lists, evaluated).items():
            collected.set(key, value)
        return {name: float(value) for name, value in self.evaluator.evaluate(collected).items()}


@dataclass(frozen=True)
class Lesson:
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


def loss_parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """An epoch of the listwise losses, forward and backward; all users coarse, then all fine."""
    lesson = _lesson(inputs, generator)
    parts: dict[str, Part] = {}
    for stage in ("coarse", "fine"):
        parts.update(_stage_parts(inputs, lesson, stage, repeats))
    return parts


def _stage_parts(inputs: Inputs, lesson: Lesson, stage: str, repeats: int) -> dict[str, Part]:
    scale = inputs.size.epoch_rows / sum(map(len, lesson.batches))
    note = f"{len(lesson.batches)} batches of {BATCH_ROWS} rows timed, scaled to {inputs.size.epoch_rows} rows"
    sides = {
        "direct": (partial(_direct_loss, lesson, stage), 0.0, note),
        "loss_exact": (partial(_exact_loss, lesson, stage), 1e-4, note),
        "loss_sampled": (
            partial(_shared_loss, lesson, stage),
            0.1,
            f"{note}; S = {SAMPLED_REST} a batch, values compared",
        ),
        "loss_sampled_per_user": (
            partial(_sampled_loss, lesson, stage),
            0.1,
            f"{note}; S = {SAMPLED_REST} a user, values compared",
        ),
    }
    answers = {name: _epoch(inputs, lesson, loss, 1) for name, (loss, _, _) in sides.items()}  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, (loss, _, _) in sides.items():
            taken, answers[name] = timed(partial(_epoch, inputs, lesson, loss))
            seconds[name].append(taken * scale)
    return {
        f"{name}_{stage}": Part(
            seconds["direct"], seconds[name], _compare_losses(answers["direct"], answers[name], tolerance), about
        )
        for name, (_, tolerance, about) in sides.items()
        if name != "direct"
    }


def _lesson(inputs: Inputs, generator: torch.Generator) -> Lesson:
    """Batches of users as a batch of interactions draws them, and the ensemble's taught lists."""
    users = torch.arange(inputs.size.users)
    v = torch.full((len(users), TEACHERS), SNAPSHOTS - 1)
    unobserved, _ = taught_unobserved(inputs.trajectories, v, users, K)
    ranks = [_random_ranks(inputs.train, generator) for _ in range(TEACHERS)]
    observed = taught_observed(inputs.train, ranks, v, users, K_OBSERVED)
    batches = [
        torch.multinomial(inputs.activity, BATCH_ROWS, replacement=True, generator=generator)
        for _ in range(inputs.size.batches)
    ]
    not_observed = _mask(torch.ones(inputs.size.users, inputs.size.items), inputs.train, users, 0.0)
    return Lesson(batches, observed, unobserved, inputs.train, not_observed, generator)


def _random_ranks(history: Ragged, generator: torch.Generator) -> Tensor:
    """rho of one teacher, int16 [E, nnz]."""
    member = history.padded(torch.arange(history.n_rows)) >= 0  # [U, H]
    ranks = torch.empty(SNAPSHOTS, len(history.values), dtype=torch.int16)
    for snapshot in ranks:
        noise = torch.rand(member.shape, generator=generator).masked_fill(~member, torch.inf)
        snapshot[:] = noise.argsort(dim=1).argsort(dim=1)[member].short()
    return ranks


def _epoch(
    inputs: Inputs, lesson: Lesson, loss: Callable[[Tensor, Tensor, Tensor], Tensor], n_batches: int | None = None
) -> list[list[Tensor]]:
    """Loss and gradients of both tables of factors, a batch each."""
    user_table = inputs.user_factors.clone().requires_grad_()
    item_table = inputs.item_factors.clone().requires_grad_()
    found = []
    for users in lesson.batches[:n_batches]:
        value = loss(users, embedding(users, user_table), item_table)
        found.append([value.detach(), *torch.autograd.grad(value, (user_table, item_table))])
    return found


def _direct_loss(lesson: Lesson, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor) -> Tensor:
    loss, weight = {"coarse": (direct.coarse_loss, COARSE_WEIGHT), "fine": (direct.fine_loss, FINE_WEIGHT)}[stage]
    observed, unobserved = lesson.observed[users], lesson.unobserved[users]
    return weight * loss(user_factors, item_factors, observed, unobserved, lesson.not_observed[users])


def _exact_loss(lesson: Lesson, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor) -> Tensor:
    return _fused_loss(lesson, stage, users, user_factors, item_factors)


def _shared_loss(lesson: Lesson, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor) -> Tensor:
    """The rest sampled once a batch, as the trainer does by default where it samples."""
    n_items = len(item_factors)
    drawn = draw_items(n_items, SAMPLED_REST, lesson.generator)
    outside = _listed(lesson, users)[1]
    sample = drawn, n_items - (outside != PAD).sum(dim=1)
    return _fused_loss(lesson, stage, users, user_factors, item_factors, sample)


def _fused_loss(
    lesson: Lesson,
    stage: str,
    users: Tensor,
    user_factors: Tensor,
    item_factors: Tensor,
    sample: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
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
    )


def _sampled_loss(lesson: Lesson, stage: str, users: Tensor, user_factors: Tensor, item_factors: Tensor) -> Tensor:
    """The rest sampled for each user alone."""
    taught, outside, n_items = *_listed(lesson, users), len(item_factors)
    drawn = sample_rest(outside, n_items, SAMPLED_REST, lesson.generator)
    scores = _scores(user_factors, item_factors, torch.cat((taught, drawn), dim=1))
    listed = taught.shape[1]
    rest = sampled_rest_logsumexp(scores[:, listed:], n_items - (outside != PAD).sum(dim=1))
    return _weighted(stage, scores[:, :listed], rest, taught)


def _listed(lesson: Lesson, users: Tensor) -> tuple[Tensor, Tensor]:
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
    return weighted_loss(scores, rest, taught != PAD, K_OBSERVED, fine, COARSE_WEIGHT, FINE_WEIGHT)


def _compare_losses(expected: list[list[Tensor]], found: list[list[Tensor]], tolerance: float) -> dict[str, Any]:
    """Largest relative difference of a batch's value and of its gradients, by norm; of a sampled loss the value's."""
    value, *gradients = (
        max(float((a - b).double().norm() / a.double().norm()) for a, b in zip(*pair))
        for pair in zip(zip(*expected), zip(*found))
    )
    sampled = tolerance > 1e-3
    return {
        "agrees": value < tolerance and (sampled or max(gradients) < tolerance),
        "relative_difference_of_value": value,
        "relative_difference_of_gradients": max(gradients),
    }


def store_bytes(inputs: Inputs, generator: torch.Generator) -> tuple[int, int]:
    """Bytes of the published dense rank matrices (32 bits a rank), and of the package's store as written."""
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(folder)
        for m, unobserved in enumerate(inputs.trajectories):
            steps = tuple(range(SNAPSHOTS))
            trajectory = Trajectory(
                unobserved,
                _random_ranks(inputs.train, generator),
                steps,
                tuple(map(float, steps)),
                served=unobserved[-1].clone(),  # a file cannot share memory
            )
            store.write("benchmark", f"teacher-{m}", {}, trajectory)
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return TEACHERS * SNAPSHOTS * inputs.size.users * inputs.size.items * 4, written


def likeness(inputs: Inputs) -> dict[str, float]:
    """Share of common items in the inputs' lists, to judge whether they are realistic."""

    def common(first: Tensor, second: Tensor) -> float:
        return float((ranks_in(first.long(), second.long(), absent=-1) >= 0).double().mean())

    final = [trajectory[-1] for trajectory in inputs.trajectories]
    return {
        "two_teachers": common(final[0], final[1]),
        "first_and_final_snapshot": common(inputs.trajectories[0][0], final[0]),
        "student_and_teacher": common(inputs.student_lists, final[0]),
        "student_now_and_earlier": common(inputs.student_lists, inputs.earlier_lists),
    }


def measure(name: str, repeats: int, seed: int) -> dict[str, Any]:
    """Run every part at one size; what is written to the JSON file."""
    generator = torch.Generator().manual_seed(seed)
    inputs = draw_inputs(SIZES[name], generator)
    parts: dict[str, Part] = {}
    for part in (evaluation_parts, loss_parts, consensus_parts, curriculum_parts):
        parts.update(part(inputs, repeats, generator))
    dense, stored = store_bytes(inputs, generator)
    ratios = {key: part.ratio for key, part in parts.items()}
    for loss in ("loss_exact", "loss_sampled"):
        ratios[loss] = (ratios[f"{loss}_coarse"] + ratios[f"{loss}_fine"]) / 2
    ratios["store_bytes"] = dense / stored
    headline = ("curriculum_step", "consensus", "evaluation", "loss_exact", "loss_sampled", "store_bytes")
    return {
        "size": {"name": name, **asdict(SIZES[name]), "training_interactions": len(inputs.train.values)},
        "ratios": {key: round(ratios[key], 3) for key in headline},
        "further_ratios": {key: round(value, 3) for key, value in ratios.items() if key not in headline},
        "seconds": {
            key: {side: statistics.median(getattr(part, side)) for side in ("direct", "package")}
            for key, part in parts.items()
        },
        "all_seconds": {key: {"direct": part.direct, "package": part.package} for key, part in parts.items()},
        "bytes": {"direct": dense, "package": stored},
        "agreement": {key: part.agreement for key, part in parts.items()},
        "notes": {key: part.note for key, part in parts.items()},
        "likeness_of_inputs": likeness(inputs),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "recbole": recbole.__version__,
        },
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def keep_freed_memory() -> None:
    """Make glibc keep freed memory: large temporaries then cost no page faults, of which the direct side has many.

    Raises:
        OSError: where the C library is not glibc.
    """
    library = ctypes.CDLL("libc.so.6")
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**30)):
        library.mallopt(option, value)


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rows = [
        {
            "part": key,
            "direct": f"{seconds['direct']:.3f} s",
            "package": f"{seconds['package']:.3f} s",
            "ratio": f"{({**result['ratios'], **result['further_ratios']})[key]:.1f}",
            "agrees": result["agreement"][key]["agrees"],
            "note": result["notes"][key],
        }
        for key, seconds in result["seconds"].items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False)


def main() -> None:
    """Measure, print the table, write the JSON file; fails where the two sides disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="citeulike")
    parser.add_argument("--json", type=Path, help="file for the result")
    parser.add_argument("--repeats", type=int, default=1, help="timings of each part, of which the median counts")
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count() or 1,
        help="threads of torch, on both sides (default: %(default)s, all cores); numpy's loops have one anyway",
    )
    parser.add_argument("--keep-memory", action="store_true", help="spare large temporaries their page faults (glibc)")
    parser.add_argument("--seed", type=int, default=2023)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.keep_memory:
        keep_freed_memory()
    result = measure(arguments.size, arguments.repeats, arguments.seed)
    result["keep_memory"] = arguments.keep_memory
    result["command"] = " ".join(["python", *sys.argv])
    print(table(result))
    print(
        json.dumps({key: result[key] for key in ("ratios", "likeness_of_inputs", "threads", "peak_rss_mib")}, indent=2)
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    disagreeing = [key for key, agreement in result["agreement"].items() if not agreement["agrees"]]
    if disagreeing:
        raise SystemExit(f"the two sides disagree: {', '.join(disagreeing)}; see 'agreement' in the JSON file")


if __name__ == "__main__":
    main()
