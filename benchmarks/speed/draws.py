"""Random interactions, teachers' lists and ranks that resemble a real data set's."""

from __future__ import annotations

import torch
from harness import SNAPSHOTS, TEACHERS, K
from torch import Tensor

from recbole_hetcomp.core import Ragged, top_k
from recbole_hetcomp.trajectories import item_dtype


def ranked(user_factors: Tensor, item_factors: Tensor, history: Ragged, length: int) -> Tensor:
    """Each user's items outside the history by dot product, best first, int64 [U, length]."""
    lists = []
    for users in torch.arange(len(user_factors)).split(users_at_once(len(item_factors))):
        scores = user_factors[users] @ item_factors.T
        mask(scores, history, users, -torch.inf)
        lists.append(top_k(scores, length))
    return torch.cat(lists)


def users_at_once(n_items: int) -> int:
    """Users whose scores of all items are held at once."""
    return max(1, 2**23 // n_items)


def mask(matrix: Tensor, history: Ragged, users: Tensor, value: float | bool) -> Tensor:
    """Write a value where a user's history stands, in place."""
    columns = history.padded(users)
    row, place = (columns >= 0).nonzero(as_tuple=True)
    matrix[row, columns[row, place]] = value
    return matrix


def activity(users: int, items: int, interactions: int, generator: torch.Generator) -> Tensor:
    """Interactions of each user: skewed, at least 5, int64 [U]."""
    weight = torch.randn(users, generator=generator).exp()
    spare = interactions - 5 * users
    return (5 + (weight / weight.sum() * spare).round().long()).clamp(max=items // 3)


def splits(
    user_factors: Tensor, item_factors: Tensor, counts: Tensor, generator: torch.Generator
) -> tuple[Ragged, Ragged, Ragged]:
    """Interactions drawn without replacement by score; 60 % training, 20 % validation, 20 % (1 or more) test."""
    n_users, n_items = len(user_factors), len(item_factors)
    pairs: dict[str, list[Tensor]] = {"train": [], "history": [], "test": []}
    for users in torch.arange(n_users).split(users_at_once(n_items)):
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


def trajectories(user_factors: Tensor, item_factors: Tensor, train: Ragged, generator: torch.Generator) -> list[Tensor]:
    """Teachers' lists: the best shared scores reordered by each teacher's taste and each snapshot's errors."""
    n_users, n_items = len(user_factors), len(item_factors)
    lists = [torch.empty(SNAPSHOTS, n_users, K, dtype=item_dtype(n_items)) for _ in range(TEACHERS)]
    pool = min(n_items // 2, 2000)
    for users in torch.arange(n_users).split(users_at_once(n_items)):
        scores = mask(user_factors[users] @ item_factors.T, train, users, -torch.inf)
        best, items = scores.topk(pool, dim=1)  # [B, pool]
        for teacher in lists:
            taste = best + torch.randn(best.shape, generator=generator)
            for snapshot, error in enumerate(torch.linspace(1.5, 0.2, SNAPSHOTS).tolist()):
                noisy = taste + torch.randn(best.shape, generator=generator) * error
                teacher[snapshot, users] = items.gather(1, noisy.topk(K, dim=1)[1]).to(teacher.dtype)
    return lists


def random_ranks(history: Ragged, generator: torch.Generator) -> Tensor:
    """rho of one teacher, int16 [E, nnz]."""
    member = history.padded(torch.arange(history.n_rows)) >= 0  # [U, H]
    ranks = torch.empty(SNAPSHOTS, len(history.values), dtype=torch.int16)
    for snapshot in ranks:
        noise = torch.rand(member.shape, generator=generator).masked_fill(~member, torch.inf)
        snapshot[:] = noise.argsort(dim=1).argsort(dim=1)[member].short()
    return ranks
