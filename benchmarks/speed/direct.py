"""HetComp written straight from its formulas, with dense user x item matrices: what the package is compared with.

The method section by section, in numpy and torch as the formulas stand: float32 matrices as wide as the catalogue, full
sorts, a Python loop over users where the method says "for every user". Neither slowed down nor made clever. Nothing
here imports the package.

U users (of a chunk), I items, M teachers, E snapshots, K list length, B rows of a batch. Teachers' lists are full;
the observed lists of users with few items end in -1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def rank_matrix(lists: np.ndarray, n_items: int) -> np.ndarray:
    """Dense ranks of one snapshot; an item that is not listed has rank K'.

    Args:
        lists: item ids, best first, shape [U, K'].
        n_items: I.

    Returns:
        float32, shape [U, I].

    >>> rank_matrix(np.array([[2, 0]]), 3).tolist()
    [[1.0, 2.0, 0.0]]
    """
    length = lists.shape[1]
    ranks = np.full((len(lists), n_items), length, dtype=np.float32)
    np.put_along_axis(ranks, lists, np.arange(length, dtype=np.float32)[None, :], axis=1)
    return ranks


def discrepancy(student_list: np.ndarray, rank_row: np.ndarray, K_D: int, T_r: float) -> float:
    """D@K_D of one user (method section 3): every item's gain; IDCG from the catalogue in the order of its gains.

    Args:
        student_list: item ids, best first, shape [at least K_D].
        rank_row: the teacher's rank of every item, float32, shape [I].
        K_D: how many items count.
        T_r: temperature of the ranks.

    >>> round(discrepancy(np.array([1, 0]), np.array([0.0, 1.0, 2.0], dtype=np.float32), K_D=2, T_r=10.0), 4)
    0.0304
    """
    gain = np.exp2(_relevance(rank_row, K_D, T_r)) - 1  # [I]
    return _normalised(gain[student_list[:K_D]], np.sort(gain)[::-1][:K_D], K_D)


def discrepancy_known_ideal(student_list: np.ndarray, rank_row: np.ndarray, K_D: int, T_r: float) -> float:
    """The same, from the knowledge that the ideal order is the teacher's own list: nothing is sorted."""
    relevance = _relevance(rank_row, K_D, T_r)  # [I]
    return _normalised(np.exp2(relevance[student_list[:K_D]]) - 1, _ideal_gain(K_D, T_r), K_D)


def discrepancy_gathered(student_list: np.ndarray, rank_row: np.ndarray, K_D: int, T_r: float) -> float:
    """The same again, with the ranks read at the student's list before anything is computed from them."""
    relevance = _relevance(rank_row[student_list[:K_D]], K_D, T_r)  # [K_D]
    return _normalised(np.exp2(relevance) - 1, _ideal_gain(K_D, T_r), K_D)


def _relevance(rank: np.ndarray, K_D: int, T_r: float) -> np.ndarray:
    return np.where(rank < K_D, np.exp(-rank / np.float32(T_r)), np.float32(0))


def _ideal_gain(K_D: int, T_r: float) -> np.ndarray:
    return np.exp2(np.exp(-np.arange(K_D) / T_r)) - 1


def _normalised(gain: np.ndarray, ideal: np.ndarray, K_D: int) -> float:
    discount = np.log2(np.arange(2, K_D + 2))
    return float(1 - (gain / discount).sum() / (ideal / discount).sum())


DISCREPANCIES = {"direct": discrepancy, "known_ideal": discrepancy_known_ideal, "gathered": discrepancy_gathered}


def curriculum_step(
    v: np.ndarray,
    d_ref: np.ndarray,
    ranks: Sequence[np.ndarray],
    student_lists: np.ndarray,
    alpha_t: float,
    K_D: int,
    T_r: float,
    kind: str = "direct",
) -> tuple[np.ndarray, np.ndarray]:
    """One step of dynamic knowledge construction with one teacher (method section 4).

    Args:
        v: each user's snapshot, shape [U].
        d_ref: each user's reference discrepancy, shape [U].
        ranks: dense ranks of each snapshot, float32, E of shape [U, I]; the first is never looked at.
        student_lists: the student's lists, shape [U, K].
        alpha_t: threshold of gamma.
        K_D: length of the compared lists.
        T_r: temperature of the ranks.
        kind: how D is computed, one of `DISCREPANCIES`.

    Returns:
        New v and d_ref.
    """
    v, d_ref = v.copy(), d_ref.copy()
    last = len(ranks) - 1
    distance = DISCREPANCIES[kind]
    for user, student_list in enumerate(student_lists):
        if v[user] == last:
            continue
        d = distance(student_list, ranks[v[user] + 1][user], K_D, T_r)
        gamma = d_ref[user] / d if d > 0 else np.inf
        if gamma > alpha_t or gamma < 1:
            v[user] += 1
            d_ref[user] = distance(student_list, ranks[min(v[user] + 1, last)][user], K_D, T_r)
    return v, d_ref


def importance(v: np.ndarray, ranks: Sequence[np.ndarray], T_r: float, T_s: float, window: int | None) -> np.ndarray:
    """One teacher's term of s(u, i) for every item (method section 2).

    Args:
        v: each user's snapshot, shape [U].
        ranks: dense ranks of each snapshot, float32, E of shape [U, I].
        T_r: temperature of the ranks.
        T_s: temperature of the deviations.
        window: snapshots to either side that sigma looks at; None leaves the consistency out.

    Returns:
        float32, shape [U, I]; 0 where the teacher does not list the item.
    """
    absent = ranks[0].max()
    terms = np.empty_like(ranks[0])
    for snapshot in np.unique(v):
        users = np.flatnonzero(v == snapshot)
        rank = ranks[snapshot][users]  # [n, I]
        term = np.exp(-rank / np.float32(T_r))
        if window is not None:
            around = [matrix[users] for matrix in ranks[max(0, snapshot - window) : snapshot + window + 1]]
            term += np.exp(-np.std(around, axis=0) / np.float32(T_s))
        terms[users] = np.where(rank < absent, term, np.float32(0))
    return terms


def consensus(terms: np.ndarray, observed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The taught list: every user's items sorted by s, the first k of them (method section 2).

    Args:
        terms: s, summed over teachers, float32, shape [U, I].
        observed: True for items of the history, bool, shape [U, I].
        k: length of the list.

    Returns:
        Item ids, shape [U, k], and their scores. Equal scores go to the smaller id.
    """
    scores = np.where(observed, np.float32(-np.inf), terms)
    items = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return items, np.take_along_axis(scores, items, axis=1)


def evaluate(
    user_factors: Tensor,
    item_factors: Tensor,
    history: Sequence[np.ndarray],
    positives: Sequence[np.ndarray],
    cutoffs: Sequence[int],
) -> dict[str, float]:
    """Recall and NDCG over all items outside the history, the mean over users.

    Args:
        user_factors: shape [U, d].
        item_factors: shape [I, d].
        history: each user's items that are not recommended.
        positives: each user's test items, at least one.
        cutoffs: lengths of the lists.

    Returns:
        ``recall@k`` and ``ndcg@k`` for each cutoff k.
    """
    scores = (user_factors @ item_factors.T).numpy()  # [U, I]
    for user, items in enumerate(history):
        scores[user, items] = -np.inf
    order = np.argsort(-scores, axis=1)  # [U, I]
    found: dict[str, list[float]] = {f"{name}@{k}": [] for name in ("recall", "ndcg") for k in cutoffs}
    for user, items in enumerate(positives):
        for k in cutoffs:
            hits = np.isin(order[user, :k], items)
            discount = 1 / np.log2(np.arange(2, k + 2))
            found[f"recall@{k}"].append(hits.sum() / len(items))
            found[f"ndcg@{k}"].append((hits * discount).sum() / discount[: len(items)].sum())
    return {name: float(np.mean(values)) for name, values in found.items()}


def coarse_loss(
    user_factors: Tensor, item_factors: Tensor, observed: Tensor, unobserved: Tensor, not_observed: Tensor
) -> Tensor:
    """L_overall, summed over the batch (method section 5).

    Args:
        user_factors: shape [B, d].
        item_factors: shape [I, d].
        observed: item ids of pi+_u, shape [B, P].
        unobserved: item ids of pi-_u, shape [B, K].
        not_observed: 0 for items of the history, 1 for others, float32, shape [B, I].

    Returns:
        Scalar.
    """
    scores = user_factors @ item_factors.T  # [B, I]
    outside_list = not_observed.scatter(1, unobserved, 0.0)
    rest = (scores.exp() * outside_list).sum(1, keepdim=True).log()  # [B, 1]
    listed = torch.cat((observed, unobserved), dim=1)
    taught = scores.gather(1, listed.clamp(min=0))  # [B, P + K]
    return -((taught - torch.logaddexp(taught, rest)) * (listed >= 0)).sum()


def fine_loss(
    user_factors: Tensor, item_factors: Tensor, observed: Tensor, unobserved: Tensor, not_observed: Tensor
) -> Tensor:
    """L_fine, summed over the batch (method section 5); arguments as for `coarse_loss`."""
    scores = user_factors @ item_factors.T  # [B, I]
    mass = scores.exp()
    half, tenth = unobserved[:, : unobserved.shape[1] // 2], unobserved[:, : unobserved.shape[1] // 10]
    total = _rank_loss(scores, mass, observed, not_observed.scatter(1, half, 0.0))  # what is taught is left out
    for ranking in (half, tenth):
        total = total + 0.5 * _rank_loss(scores, mass, ranking, not_observed.scatter(1, ranking, 0.0))
    return total


def _rank_loss(scores: Tensor, mass: Tensor, ranking: Tensor, behind: Tensor) -> Tensor:
    """Plackett-Luce over a list with all items of the mask ``behind`` [B, I] behind it."""
    listed = scores.gather(1, ranking.clamp(min=0))  # [B, L]
    present = ranking >= 0
    tail = (listed.exp() * present).flip(1).cumsum(1).flip(1)  # [B, L]
    return -((listed - (tail + (mass * behind).sum(1, keepdim=True)).log()) * present).sum()
