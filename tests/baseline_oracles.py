"""Naive loops over one user for the compared methods, written from their equations; nothing here imports the package.

Lists are Python lists of item ids without padding; ``f`` holds the student's scores of all items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from oracles import logsumexp


def softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def ranking_weights(
    listed: Sequence[float], sample: Sequence[float] | None, n_items: int, temperature: float, scale: float
) -> list[float]:
    weights = []
    for k, score in enumerate(listed):
        weight = math.exp(-k / temperature)
        if sample is not None:
            above = sum(other > score for other in sample)
            rank = math.floor((n_items - 1) * above / len(sample))
            weight *= math.tanh(max(scale * (rank - k), 0.0))
        weights.append(weight)
    total = sum(weights)
    return [weight / total if total else 0.0 for weight in weights]


def weighted_log_loss(scores: Sequence[float], weights: Sequence[float]) -> float:
    return sum(weight * softplus(-score) for score, weight in zip(scores, weights))


def soft_cross_entropy(scores: Sequence[float], targets: Sequence[float], weights: Sequence[float]) -> float:
    return sum(w * (q * softplus(-f) + (1 - q) * softplus(f)) for f, q, w in zip(scores, targets, weights))


def grouped_ranking_loss(scores: Sequence[float], rest: float, groups: Sequence[Sequence[int]]) -> float:
    """``groups`` holds places of the list, best group first."""
    total = 0.0
    for number, group in enumerate(groups):
        later = [scores[place] for other in groups[number + 1 :] for place in other]
        for place in group:
            total += logsumexp([scores[place], *later, rest]) - scores[place]
    return total


def equal_groups(length: int, n_groups: int) -> list[list[int]]:
    """The longer groups first, sizes at most one apart."""
    n_groups = min(n_groups, length)
    groups, start = [], 0
    for number in range(n_groups):
        size = length // n_groups + (number < length % n_groups)
        groups.append(list(range(start, start + size)))
        start += size
    return groups


def rank_loss(scores: Sequence[float], behind: Sequence[float]) -> float:
    return sum(logsumexp([*scores[k:], *behind]) - scores[k] for k in range(len(scores)))


def gated_ranking_loss(
    f: Sequence[float], observed: Sequence[int], lists: Sequence[Sequence[int]], gate: Sequence[float]
) -> float:
    total = 0.0
    for weight, ranking in zip(gate, lists):
        behind = [f[i] for i in range(len(f)) if i not in observed and i not in ranking]
        total += weight * rank_loss([f[i] for i in ranking], behind)
    return total


def corrections(
    teacher: Sequence[int], student: Sequence[int], absent: int, n_under: int, n_over: int
) -> tuple[list[int], list[int]]:
    def rank(items: Sequence[int], item: int) -> int:
        return items.index(item) if item in items else absent

    under = [(rank(student, item) - place, place, item) for place, item in enumerate(teacher)]
    under = sorted((entry for entry in under if entry[0] > 0), key=lambda entry: (-entry[0], entry[1]))[:n_under]
    over = [(rank(teacher, item) - place, place, item) for place, item in enumerate(student)]
    over = sorted((entry for entry in over if entry[0] > 0), key=lambda entry: (-entry[0], entry[1]))[:n_over]
    return [item for _, _, item in sorted(under, key=lambda entry: entry[1])], [item for _, _, item in over]


def item_corrections(
    candidates: dict[int, tuple[int | None, float]], n_under: int, n_over: int
) -> tuple[list[int], list[int]]:
    """One item: user -> (the item's rank in the user's teacher list or None, the student's score)."""
    worst = 10**9
    by_teacher = sorted(candidates, key=lambda u: (worst if candidates[u][0] is None else candidates[u][0], u))
    by_student = sorted(candidates, key=lambda u: (-candidates[u][1], u))
    distance = {u: by_student.index(u) - by_teacher.index(u) for u in candidates}
    under = [u for u in by_teacher if distance[u] > 0 and candidates[u][0] is not None]
    over = [u for u in by_teacher if distance[u] < 0]
    under = sorted(under, key=lambda u: (-distance[u], by_teacher.index(u)))[:n_under]
    over = sorted(over, key=lambda u: (distance[u], by_teacher.index(u)))[:n_over]
    return sorted(under, key=by_teacher.index), sorted(over, key=by_teacher.index)


def popularity_groups(counts: Sequence[int], group_num: int) -> list[int]:
    order = sorted(range(len(counts)), key=lambda item: (-counts[item], item))
    total, before, group = max(1, sum(counts)), 0, [0] * len(counts)
    for item in order:
        group[item] = min(group_num - 1, before * group_num // total)
        before += counts[item]
    return group


def pair_loss(positive: Sequence[float], negative: Sequence[float]) -> float:
    losses = [softplus(worse - better) for better, worse in zip(positive, negative)]
    return sum(losses) / len(losses) if losses else 0.0


def cross_entropy(f: Sequence[float], members: Sequence[int], teacher: Sequence[int], T: float, tau: float) -> float:
    mass = {i: math.exp(-teacher.index(i) / T) for i in members if i in teacher}
    total = logsumexp([f[i] / tau for i in members])
    return sum(m / sum(mass.values()) * (total - f[i] / tau) for i, m in mass.items())


def split_cross_entropy(
    f: Sequence[float],
    teacher: Sequence[int],
    student_top: Sequence[int],
    closure: Sequence[int],
    T: float,
    tau: float,
    beta: float,
    overlap: str = "top",
) -> float:
    both = [i for i in teacher if i in (student_top if overlap == "top" else closure)]
    others = [i for i in teacher if i not in student_top]
    weight = math.exp(-beta * len(both) / len(teacher)) if teacher else 1.0
    high = cross_entropy(f, student_top, teacher, T, tau)
    low = cross_entropy(f, sorted({*others, *closure}), teacher, T, tau)
    return (1 - weight) * high + weight * low
