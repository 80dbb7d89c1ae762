"""Naive loops over one user's lists, written from the method; tests compare the package against them.

Nothing here imports the package, and nothing here is fast. Lists are Python lists without padding.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence


def top_k(scores: Sequence[float], k: int, excluded: Collection[int] = ()) -> list[int]:
    """Best first, equal scores to the smaller id."""
    candidates = [item for item in range(len(scores)) if item not in excluded and scores[item] > -math.inf]
    return sorted(candidates, key=lambda item: (-scores[item], item))[:k]


def observed_ranks(scores: Sequence[float], observed: Sequence[int]) -> list[int]:
    order = sorted(observed, key=lambda item: (-scores[item], item))
    return [order.index(item) for item in observed]


def _deviation(ranks: Sequence[int]) -> float:
    mean = sum(ranks) / len(ranks)
    return math.sqrt(sum((rank - mean) ** 2 for rank in ranks) / len(ranks))


def _ordered(terms: dict[int, list[float]], best_rank: dict[int, int], k: int) -> tuple[list[int], list[float]]:
    """Equal scores (to 2^-32) go to the better best rank, then to the smaller id."""
    score = {item: math.fsum(parts) for item, parts in terms.items()}
    order = sorted(score, key=lambda item: (-round(score[item] * 2**32), best_rank[item], item))[:k]
    return order, [score[item] for item in order]


def taught_unobserved(
    lists: Sequence[Sequence[Sequence[int]]],
    width: Sequence[int],
    v: Sequence[int],
    k: int,
    T_r: float = 10.0,
    T_s: float = 100.0,
    weights: Sequence[float] | None = None,
    window: int = 1,
    use_consistency: bool = True,
) -> tuple[list[int], list[float]]:
    """Section 2 for one user. ``lists[m][e]`` is pi(m, e, u), ``width[m]`` is K' of teacher m."""
    terms: dict[int, list[float]] = {}
    best_rank: dict[int, int] = {}
    for m, snapshots in enumerate(lists):
        weight = 1.0 if weights is None else weights[m]
        if weight == 0:
            continue
        for rank, item in enumerate(snapshots[v[m]]):
            around = [e for e in range(len(snapshots)) if abs(e - v[m]) <= window]
            history = [snapshots[e].index(item) if item in snapshots[e] else width[m] for e in around]
            worth = math.exp(-rank / T_r)
            if use_consistency:
                worth += math.exp(-_deviation(history) / T_s)
            terms.setdefault(item, []).append(weight * worth)
            best_rank[item] = min(best_rank.get(item, rank), rank)
    return _ordered(terms, best_rank, k)


def taught_observed(
    observed: Sequence[int],
    ranks: Sequence[Sequence[Sequence[int]]],
    v: Sequence[int],
    k: int,
    T_r: float = 10.0,
    T_s: float = 100.0,
    weights: Sequence[float] | None = None,
    window: int = 1,
) -> list[int]:
    """Section 2 over rho for one user. ``ranks[m][e][h]`` is the rank of the h-th observed item."""
    terms: dict[int, list[float]] = {item: [] for item in observed}
    best_rank: dict[int, int] = {}
    for m, snapshots in enumerate(ranks):
        weight = 1.0 if weights is None else weights[m]
        if weight == 0:
            continue
        for h, item in enumerate(observed):
            rank = snapshots[v[m]][h]
            history = [snapshots[e][h] for e in range(len(snapshots)) if abs(e - v[m]) <= window]
            terms[item].append(weight * (math.exp(-rank / T_r) + math.exp(-_deviation(history) / T_s)))
            best_rank[item] = min(best_rank.get(item, rank), rank)
    return _ordered(terms, best_rank, k)[0]


def discrepancy(
    student: Sequence[int], teacher: Sequence[int], K_D: int, T_r: float = 10.0, gain: str = "teacher"
) -> float:
    """Section 3 for one user."""

    def worth(rank: int) -> float:
        return 2 ** math.exp(-rank / T_r) - 1

    teacher = list(teacher[:K_D])
    achieved = 0.0
    for k, item in enumerate(student[:K_D]):
        if item in teacher:
            achieved += worth(teacher.index(item) if gain == "teacher" else k) / math.log2(k + 2)
    ideal = sum(worth(k) / math.log2(k + 2) for k in range(len(teacher)))
    return 1 - achieved / ideal if teacher else 0.0


def curriculum_step(
    v: list[list[int]],
    d_ref: list[list[float]],
    step: int,
    student: Sequence[Sequence[int]],
    lists: Sequence[Sequence[Sequence[Sequence[int]]]],
    alpha: float,
    decay: float,
    K_D: int,
    T_r: float,
    gain: str,
) -> tuple[list[list[int]], list[list[float]]]:
    """Section 4: new v and d_ref. ``lists[m][e][u]`` is pi(m, e, u)."""
    v, d_ref = [list(row) for row in v], [list(row) for row in d_ref]
    for u, row in enumerate(v):
        for m, snapshots in enumerate(lists):
            last = len(snapshots) - 1
            d = discrepancy(student[u], snapshots[min(row[m] + 1, last)][u], K_D, T_r, gain)
            if step == 0:
                d_ref[u][m] = d
            elif row[m] < last:
                gamma = math.inf if d == 0 else d_ref[u][m] / d
                if gamma > alpha * decay**step or gamma < 1:
                    row[m] += 1
                    d_ref[u][m] = discrepancy(student[u], snapshots[min(row[m] + 1, last)][u], K_D, T_r, gain)
    return v, d_ref


def logsumexp(values: Sequence[float]) -> float:
    finite = [value for value in values if value > -math.inf]
    if not finite:
        return -math.inf
    top = max(finite)
    return top + math.log(math.fsum(math.exp(value - top) for value in finite))


def coarse_loss(scores: Sequence[float], observed: Collection[int], pi_plus: list[int], pi_minus: list[int]) -> float:
    """Section 5, L_overall for one user, from the scores of all items."""
    rest = [scores[i] for i in range(len(scores)) if i not in observed and i not in pi_minus]
    return math.fsum(logsumexp([scores[i], *rest]) - scores[i] for i in pi_plus + pi_minus)


def rank_loss(
    scores: Sequence[float], observed: Collection[int], ranking: list[int], left_out: Collection[int] = ()
) -> float:
    """Section 5, L_rank for one user: behind the list stand the unobserved items that are not in it (or left out)."""
    hidden = {*observed, *ranking, *left_out}
    rest = [scores[i] for i in range(len(scores)) if i not in hidden]
    return math.fsum(
        logsumexp([scores[i] for i in ranking[k:]] + rest) - scores[ranking[k]] for k in range(len(ranking))
    )


def rank_loss_gradient(scores: Sequence[float], rest: Sequence[float]) -> list[float]:
    """Gradient of L_rank by the scores of the list: sum over k <= j of a softmax, minus 1."""
    gradient = []
    for j in range(len(scores)):
        shares = [math.exp(scores[j] - logsumexp([*scores[k:], *rest])) for k in range(j + 1)]
        gradient.append(math.fsum(shares) - 1)
    return gradient


def fine_loss(
    scores: Sequence[float],
    observed: Collection[int],
    pi_plus: list[int],
    pi_minus: list[int],
    K: int,
    behind_observed: str = "untaught",
    place_decay: float | None = None,
) -> float:
    """Section 5, L_fine for one user; ``pi_minus`` may be shorter than K."""
    taught = pi_minus[: K // 2] if behind_observed == "untaught" else []
    if place_decay is not None:  # each place against all unobserved items that do not stand before it
        half, tenth = K // 2, max(1, K // 10)
        weight = [math.exp(-k / place_decay) for k in range(max(half, tenth))]
        terms = [
            logsumexp([scores[i] for i in range(len(scores)) if i not in observed and i not in pi_minus[:k]])
            - scores[pi_minus[k]]
            for k in range(min(len(weight), len(pi_minus)))
        ]
        order = math.fsum(w * term for w, term in zip(weight, terms)) * 0.5 * (half + tenth) / math.fsum(weight)
        return rank_loss(scores, observed, pi_plus, taught) + order
    return rank_loss(scores, observed, pi_plus, taught) + 0.5 * (
        rank_loss(scores, observed, pi_minus[: K // 2]) + rank_loss(scores, observed, pi_minus[: max(1, K // 10)])
    )
