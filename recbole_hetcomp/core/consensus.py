"""The teachers' consensus: several rankings -> one, the list that a user is taught (method section 2).

The importance of an item at rank r in a teacher's list is that of *Consensus Learning from Heterogeneous
Objectives for One-Class Collaborative Filtering* (Kang et al., WWW 2022): one term for a good rank, one for a
rank that is steady over the teacher's training. With every v at its last snapshot the consensus is the
teacher ensemble itself.

Equal scores are common: two teachers' best items both score exp(0). Floating-point sums would tell such
scores apart by their last bits, that is, by the order of the teachers and by the device. So each term is
rounded once to fixed point (steps of 2^-44 of the largest weight), sums are exact integers whatever their
order, and scores are compared in steps of 2^-32, which lets scores that are equal on paper be equal (0.1 +
0.2 and 0.3 of a weight).

Other fusions have another importance of rank r (from 0) in a list of n items; all lists of a user have c items:

=========  ==========================================================================================
rrf        1 / (k + r + 1): *Reciprocal Rank Fusion* (Cormack, Clarke, Büttcher, SIGIR 2009)
borda      points c - r, and to what is not listed an equal share of the points that are left
           (*Models for Metasearch*, Aslam and Montague, SIGIR 2001), divided by c
combsum    1 - r / n, the rank-normalised score (*Combination of Multiple Searches*, Fox and Shaw, TREC-2)
combmnz    the same sum times the number of lists that have the item (likewise)
=========  ==========================================================================================

``learned`` is the consensus here; what is learned from it stands in ``teachers.learned_fusion``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from recbole_hetcomp.core.rankings import (
    BLOCK_ELEMENTS,
    PAD,
    Ragged,
    lexsort,
    lists_at,
    ranks_in,
    take_padded,
    user_blocks,
)
from recbole_hetcomp.lesson_settings import Consensus

_TERM_BITS = 44  # a term is at most 2, so 2^17 teachers fit into an int64
_COMPARED_BITS = 32
_KEY_BITS = 62


def taught_unobserved(
    trajectories: Sequence[Tensor],
    v: Tensor,
    users: Tensor,
    k: int,
    settings: Consensus | None = None,
    budget: int = BLOCK_ELEMENTS,
    item_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The taught list of unobserved items, pi-_u, and its scores.

    .. math:: s(u, i) = \sum_m w_m [ \exp(-r_m / T_r) + \exp(-\sigma_m / T_s) ]

    summed over the teachers whose list holds i; r_m is the item's rank in pi(m, v[u,m], u), sigma_m the
    standard deviation of its rank over the snapshots around, where an item that is not listed counts as rank
    K'_m. Best score first; equal scores to the better best rank, then to the smaller item id.
    Source: method section 2.

    Args:
        trajectories: pi of each teacher, item ids, int32, shape [E_m, U, K'_m]; any device.
        v: the snapshot that each of these users is taught from each teacher, int64, shape [B, M].
        users: user ids, int64, shape [B].
        k: length of the taught list.
        settings: temperatures, weights, window; the defaults if None.
        budget: elements in one intermediate matrix; bounds memory, changes no result.
        item_weights: factor on the scores of each item id (`popularity_weights`), 0 to 1, float64, shape [ids]; None:
            1 each.

    Returns:
        Item ids, int64, and scores, float64, both [B, k]; ``PAD`` and -inf behind the last item.

    Raises:
        ValueError: if k is below 1, or v does not fit the trajectories.

    >>> lists = [torch.tensor([[[4, 2, 7]]]), torch.tensor([[[2, 9, 4]]])]
    >>> items, scores = taught_unobserved(lists, torch.tensor([[0, 0]]), torch.tensor([0]), k=3)
    >>> items, scores.round(decimals=3)
    (tensor([[2, 4, 9]]), tensor([[1.9670, 1.9360, 0.9670]], dtype=torch.float64))
    """
    settings = settings or Consensus()
    weights = settings.weights(len(trajectories))
    _check_selection(k, v, users, [trajectory.shape[0] for trajectory in trajectories])
    items = torch.full((len(users), k), PAD, dtype=torch.int64, device=users.device)
    scores = torch.full((len(users), k), -torch.inf, dtype=torch.float64, device=users.device)
    width = max(k, sum(trajectory.shape[2] for trajectory in trajectories))
    for block in user_blocks(len(users), width, budget):
        distinct = _distinct(trajectories, v[block], users[block], weights) if settings.fusion == "borda" else None
        listed = [
            _listed_terms(trajectory, v[block, m], users[block], weights[m] / max(weights), settings, distinct)
            for m, trajectory in enumerate(trajectories)
            if weights[m] > 0
        ]
        parts = [torch.cat(part, dim=1) for part in zip(*listed)]
        merged, total, rank = _merge(*parts)
        if settings.fusion == "combmnz":
            total *= _merge(parts[0], torch.ones_like(parts[1]), parts[2])[1]
        best, fixed = _best(merged, _weighed(total, merged, item_weights), rank, k=k)
        n_listed = best.shape[1]
        items[block, :n_listed] = best
        value = fixed.double() * (max(weights) / 2**_TERM_BITS)
        scores[block, :n_listed] = value.masked_fill(best == PAD, -torch.inf)
    return items, scores


def taught_observed(
    observed: Ragged,
    ranks: Sequence[Tensor],
    v: Tensor,
    users: Tensor,
    k: int,
    settings: Consensus | None = None,
    budget: int = BLOCK_ELEMENTS,
    item_weights: Tensor | None = None,
) -> Tensor:
    """The taught list of observed items, pi+_u: the formula of `taught_unobserved` over rho.

    Source: method section 2.

    Args:
        observed: N+_u.
        ranks: rho of each teacher, aligned with ``observed.values``, int, shape [E_m, nnz]; any device.
        v: the snapshot that each of these users is taught from each teacher, int64, shape [B, M].
        users: user ids, int64, shape [B].
        k: length of the taught list.
        settings: temperatures, weights, window; the defaults if None.
        budget: elements in one intermediate matrix; bounds memory, changes no result.
        item_weights: as in `taught_unobserved`.

    Returns:
        Item ids, int64, shape [B, k], ``PAD`` behind the last item.

    Raises:
        ValueError: if k is below 1, or v does not fit the ranks.

    >>> observed = Ragged(torch.tensor([0, 3]), torch.tensor([4, 6, 8]))
    >>> rho = [torch.tensor([[2, 1, 0]]), torch.tensor([[2, 0, 1]])]
    >>> taught_observed(observed, rho, torch.tensor([[0, 0]]), torch.tensor([0]), k=2)
    tensor([[6, 8]])
    """
    settings = settings or Consensus()
    weights = settings.weights(len(ranks))
    _check_selection(k, v, users, [teacher.shape[0] for teacher in ranks])
    items = torch.full((len(users), k), PAD, dtype=torch.int64, device=users.device)
    for block in _blocks_of_like_length(observed.lengths()[users], k, budget):
        positions = observed.positions(users[block])  # [B, H]
        candidates = take_padded(observed.values, positions).long()
        fixed = torch.zeros_like(candidates)
        best_rank = torch.full_like(candidates, torch.iinfo(torch.int64).max)
        for m, teacher in enumerate(ranks):
            if weights[m] == 0:
                continue
            ranks_at = _observed_ranks_at(teacher, positions)
            rank = ranks_at(v[block, m])
            deviation = rank_deviation(rank, v[block, m], teacher.shape[0], settings.reach, ranks_at)
            length = (candidates != PAD).sum(dim=1, keepdim=True)
            fixed += _term(rank, deviation, weights[m] / max(weights), settings, length, length)
            best_rank = torch.minimum(best_rank, rank)
        best, _ = _best(candidates, _weighed(fixed, candidates, item_weights), best_rank, k=k)
        items[block, : best.shape[1]] = best
    return items


def _blocks_of_like_length(lengths: Tensor, width: int, budget: int) -> Iterator[Tensor]:
    """Rows, longest first, in blocks no row of which is less than half as long as its longest, int64 [n] each.

    A block is as wide as its longest row, so at most half of it, about, is padding; it has at most ``budget`` elements.
    """
    lengths, order = lengths.clamp(min=max(1, width)).sort(descending=True)
    start = 0
    while start < len(order):
        longest = int(lengths[start])
        stop = int(torch.searchsorted(-lengths, -(longest // 2), right=True))
        stop = min(stop, start + max(1, budget // longest))
        yield order[start:stop]
        start = stop


def rank_deviation(
    rank: Tensor, v: Tensor, n_snapshots: int, window: int, ranks_at: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """Population standard deviation of ranks over the snapshots v-window … v+window that exist: sigma_m.

    Integer sums of ranks and their squares, so equal ranks give exactly 0 and no order of summing matters.

    Args:
        rank: ranks at the snapshot in the middle, int64, shape [B, J] or [1, J].
        v: the snapshot in the middle, int64, shape [B].
        n_snapshots: E_m.
        window: how many snapshots to either side.
        ranks_at: snapshot of each user [B] -> ranks of the items in question, int64, shape [B, J].

    Returns:
        Deviation, float64, shape [B, J]; None, for 0 everywhere, where no second snapshot is in reach.
    """
    reach = min(window, n_snapshots - 1)
    if reach == 0:
        return None
    count, total, squares = torch.zeros_like(v)[:, None], None, None
    for offset in range(-reach, reach + 1):
        exists = ((v + offset >= 0) & (v + offset < n_snapshots))[:, None]  # [B, 1]
        if not bool(exists.any()):
            continue
        near = ranks_at((v + offset).clamp(0, n_snapshots - 1)) if offset else rank
        near = near * exists  # [B, J]
        count = count + exists
        total = near if total is None else total + near
        squares = near * near if squares is None else squares + near * near
    if total is None or squares is None:  # no user at all
        return None
    return (count * squares - total * total).double().sqrt() / count


def _check_selection(k: int, v: Tensor, users: Tensor, snapshots: Sequence[int]) -> None:
    if k < 1:
        raise ValueError(f"k is {k}; allowed: 1 or more")
    if tuple(v.shape) != (len(users), len(snapshots)):
        raise ValueError(f"v has shape {tuple(v.shape)}; allowed: {(len(users), len(snapshots))}, users by teachers")
    last = torch.tensor(snapshots, device=v.device) - 1
    if bool(((v < 0) | (v > last)).any()):
        raise ValueError(f"v runs from {v.amin(0).tolist()} to {v.amax(0).tolist()}; allowed: 0 … {last.tolist()}")


def _distinct(trajectories: Sequence[Tensor], v: Tensor, users: Tensor, weights: Sequence[float]) -> Tensor:
    """How many items the lists of each user have together, int64 [B, 1]."""
    lists = [lists_at(one, v[:, m], users) for m, one in enumerate(trajectories) if weights[m] > 0]
    by_id = torch.cat(lists, dim=1).sort(dim=1)[0]
    new = torch.ones_like(by_id, dtype=torch.bool)
    new[:, 1:] = by_id[:, 1:] != by_id[:, :-1]
    return (new & (by_id != PAD)).sum(dim=1, keepdim=True)


def _listed_terms(
    trajectory: Tensor, v: Tensor, users: Tensor, weight: float, settings: Consensus, distinct: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One teacher's items, their terms of s in fixed point, and their ranks, each [B, K']."""
    items = lists_at(trajectory, v, users)
    rank = torch.arange(items.shape[1], device=items.device)[None]  # [1, K']

    def ranks_at(snapshot: Tensor) -> Tensor:
        return ranks_in(lists_at(trajectory, snapshot, users), items, absent=items.shape[1])

    deviation = rank_deviation(rank, v, trajectory.shape[0], settings.reach, ranks_at)
    length = (items != PAD).sum(dim=1, keepdim=True)
    term = _term(rank, deviation, weight, settings, length, length if distinct is None else distinct)
    return items, term.expand(items.shape), rank.expand(items.shape)


def _observed_ranks_at(teacher: Tensor, positions: Tensor) -> Callable[[Tensor], Tensor]:
    """Lookup of rho: snapshot of each user [B] -> ranks of the observed items at ``positions``, [B, H]."""

    def ranks_at(snapshot: Tensor) -> Tensor:
        where = positions.clamp(min=0).to(teacher.device)
        rank = teacher[snapshot.to(teacher.device)[:, None], where]
        return rank.to(positions.device).long()

    return ranks_at


def _term(
    rank: Tensor, deviation: Tensor | None, weight: float, settings: Consensus, length: Tensor, distinct: Tensor
) -> Tensor:
    """w [exp(-r/T_r) + exp(-sigma/T_s)], or another fusion's importance, in fixed point, int64.

    Args:
        rank: r, int64 [B, J] or [1, J].
        deviation: sigma, float64 likewise, or None for 0.
        weight: w, at most 1.
        settings: the fusion, temperatures.
        length: n, items of the list, int64 [B, 1].
        distinct: c, items of all lists, int64 [B, 1].
    """
    if settings.fusion == "rrf":
        term = 1.0 / (settings.rrf_k + 1.0 + rank.double())
    elif settings.fusion == "borda":  # less what each would have if it were not listed: equal scores stay equal
        term = ((distinct + length - 1).double() / 2.0 - rank) / distinct.clamp(min=1)
    elif settings.fusion in ("combsum", "combmnz"):
        term = 1.0 - rank.double() / length.clamp(min=1)
    else:
        term = torch.exp(rank.double() / -settings.T_r)
        if settings.use_consistency:
            term = term + (1.0 if deviation is None else torch.exp(deviation / -settings.T_s))
    term = term.clamp(min=0.0)  # behind a list's end
    return (term * (weight * 2.0**_TERM_BITS)).round().long()


def popularity_weights(counts: Tensor, discount: float) -> Tensor | None:
    r"""Factors that make popular items count less in the consensus.

    .. math:: w_i = \max(1, n_i)^{-\gamma}

    Not in the paper, whose consensus is that of discount 0: what several teachers list is popular, so the consensus is
    more popular than what users chose, and a small student more popular still.

    Args:
        counts: n_i, training interactions of each item id, shape [ids].
        discount: gamma, 0 or more.

    Returns:
        Factors in (0, 1], float64, shape [ids]; None, for 1 each, where the discount is 0.

    Raises:
        ValueError: the discount is negative or not finite.

    >>> popularity_weights(torch.tensor([0, 1, 4]), discount=0.5)
    tensor([1.0000, 1.0000, 0.5000], dtype=torch.float64)
    """
    if not (math.isfinite(discount) and discount >= 0):
        raise ValueError(f"popularity_discount is {discount}; allowed: a finite number, 0 or more")
    return counts.clamp(min=1).double().pow(-discount) if discount else None


def _weighed(fixed: Tensor, items: Tensor, item_weights: Tensor | None) -> Tensor:
    """Fixed-point scores times their items' weights, rounded once."""
    if item_weights is None:
        return fixed
    return (fixed.double() * item_weights.to(items.device)[items.long().clamp(min=0)]).round().long()


def _merge(items: Tensor, fixed: Tensor, rank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct items of each row, ``PAD`` at either end; their summed terms; their best rank; each [B, S]."""
    by_id, order = torch.sort(items, dim=1)  # which of two equal ids comes first decides nothing
    starts = torch.ones(by_id.shape, dtype=torch.int64, device=by_id.device)
    starts[:, 1:] = by_id[:, 1:] != by_id[:, :-1]
    segment = starts.cumsum(1).sub_(1)  # [B, S]
    distinct = torch.full_like(by_id, PAD).scatter_(1, segment, by_id)  # a segment writes one value
    total = torch.zeros_like(segment).scatter_add_(1, segment, fixed.gather(1, order))
    best = torch.full_like(segment, items.shape[1]).scatter_reduce_(1, segment, rank.gather(1, order), "amin")
    return distinct, total, best


def _best(items: Tensor, fixed: Tensor, best_rank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k items by score, best rank and id, and their fixed-point scores, int64, [B, min(k, S)].

    Score, rank and id are packed into one integer, where they fit, so that one selection does for three sorts.
    """
    shift = _TERM_BITS - _COMPARED_BITS
    compared = (fixed + 2 ** (shift - 1)) >> shift
    absent = items == PAD
    items = items.long()
    id_bits, rank_bits, score_bits = (_bits(part.masked_fill(absent, 0)) for part in (items, best_rank, compared))
    if id_bits + rank_bits + score_bits > _KEY_BITS:
        order = lexsort(-compared.masked_fill(absent, -1), best_rank, items)[:, :k]
    else:
        worse = ((2**rank_bits - 1 - best_rank) << id_bits) + (2**id_bits - 1 - items)
        key = ((compared << (rank_bits + id_bits)) + worse).masked_fill(absent, -1)
        order = key.topk(min(k, items.shape[1]), dim=1)[1]
    return items.gather(1, order), fixed.gather(1, order)


def _bits(values: Tensor) -> int:
    """How many bits the largest of some integers, 0 or more, takes."""
    return int(values.max()).bit_length() if values.numel() else 0
