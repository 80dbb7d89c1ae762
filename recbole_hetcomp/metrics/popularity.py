"""What a ranking is like besides accurate: popular, concentrated. From top lists alone.

The measures that RecBole has as well carry RecBole's names and its definitions (``averagepopularity@k``,
``itemcoverage@k``, ``giniindex@k``), but may be asked of any top lists and do not count RecBole's padding item.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD, Ragged

POPULARITY_MEASURES = ("averagepopularity", "popularitylift", "itemcoverage", "giniindex")
"""Measures of :func:`beyond_accuracy`, without their ``@k``."""


def beyond_accuracy(
    lists: Tensor, popularity: Tensor, n_items: int, profiles: Tensor | None = None, k: int = 50
) -> dict[str, float]:
    r"""How popular and how concentrated recommendations are.

    - ``averagepopularity@k``: mean over users of the mean training popularity of their first k items.
    - ``popularitylift@k``: (APR - APP) / APP with APR the value above and APP the mean over the same users of the mean
      popularity of their training profile; 0 where recommendations are as popular as what users already chose, 1 where
      twice as popular. Source: Abdollahpouri et al., *The Connection Between Popularity Bias, Calibration, and Fairness
      in Recommendation*, RecSys 2020, with all users as one group.
    - ``itemcoverage@k``: share of the catalogue that stands in anybody's list. Source: RecBole's ItemCoverage.
    - ``giniindex@k``: inequality of how often the items are recommended, 0 if equally often and towards 1 if a few get
      it all, :math:`\sum_i (2 i - I - 1) n_{(i)} / (I \sum_i n_{(i)})` with the counts in ascending order.
      Source: RecBole's GiniIndex.

    Args:
        lists: recommended items, best first, ``PAD`` at the end of a short row, int, shape [U, L].
        popularity: training interactions of each item id, shape [ids].
        n_items: I, the size of the catalogue; RecBole's padding item is none of it.
        profiles: mean popularity of each user's training items (:func:`profile_popularity`), NaN for a user without,
            shape [U], the rows of ``lists``; None leaves the lift out.
        k: how many items of a list count; a shorter list counts as far as it goes.

    Returns:
        Measure → value, under RecBole's names with ``@k``. Users without a list count in none.

    Raises:
        ValueError: k, n_items or the shapes are not allowed, an item is unknown, or there is nothing to measure.

    >>> lists, popularity = torch.tensor([[0, 1], [0, 2]]), torch.tensor([4, 2, 1, 1])
    >>> beyond_accuracy(lists, popularity, n_items=4, profiles=torch.tensor([2.0, 2.0]), k=2)
    {'averagepopularity@2': 2.75, 'popularitylift@2': 0.375, 'itemcoverage@2': 0.75, 'giniindex@2': 0.375}
    """
    top = _checked(lists, popularity, n_items, k)
    listed = top != PAD  # [U, k]
    some = listed.any(dim=1)  # [U]
    worth = popularity.double()[top.clamp(min=0)].masked_fill(~listed, 0.0)  # [U, k]
    per_user = worth.sum(dim=1)[some] / listed.sum(dim=1)[some]
    found = {f"averagepopularity@{k}": float(per_user.mean())}
    if profiles is not None:
        found[f"popularitylift@{k}"] = _lift(per_user, profiles, some)
    counts = torch.bincount(top[listed], minlength=n_items)
    found[f"itemcoverage@{k}"] = int((counts > 0).sum()) / n_items
    found[f"giniindex@{k}"] = _gini(counts[counts > 0], n_items)
    return found


def profile_popularity(observed: Ragged, popularity: Tensor) -> Tensor:
    """Mean popularity of each user's training items, NaN for a user without any.

    Args:
        observed: N+_u.
        popularity: training interactions of each item id, shape [ids].

    Returns:
        float64, shape [U].

    >>> observed = Ragged.from_pairs(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), n_users=3)
    >>> profile_popularity(observed, torch.tensor([1, 2]))
    tensor([1.5000, 2.0000,    nan], dtype=torch.float64)
    """
    lengths = observed.lengths()  # [U]
    users = torch.repeat_interleave(torch.arange(len(lengths)), lengths)  # [nnz]
    worth = popularity.double()[observed.values.long()]  # [nnz]
    return torch.zeros(len(lengths), dtype=torch.float64).index_add_(0, users, worth) / lengths


def _checked(lists: Tensor, popularity: Tensor, n_items: int, k: int) -> Tensor:
    """The first k items of each list as int64 [U, k]."""
    if k < 1 or n_items < 1:
        raise ValueError(f"k is {k} and n_items is {n_items}; allowed: 1 or more each")
    if lists.dim() != 2 or popularity.dim() != 1:
        raise ValueError(
            f"lists and popularity have shapes {tuple(lists.shape)} and {tuple(popularity.shape)}; "
            "needed: [U, L] and [ids]"
        )
    top = lists[:, :k].long()
    if top.numel() == 0 or bool((top == PAD).all()):
        raise ValueError("no user has a recommended item")
    low, high = int(top.min()), int(top.max())
    if low < PAD or high >= len(popularity):
        raise ValueError(
            f"lists hold item {low if low < PAD else high}; allowed: 0 … {len(popularity) - 1}, the ids that "
            f"popularity covers, and {PAD} for none"
        )
    return top


def _lift(per_user: Tensor, profiles: Tensor, some: Tensor) -> float:
    if profiles.shape != some.shape:
        raise ValueError(f"profiles has shape {tuple(profiles.shape)}; needed: {tuple(some.shape)}, the users of lists")
    chosen = profiles.double()[some]
    known = ~chosen.isnan()
    average = float(chosen[known].mean()) if known.any() else 0.0
    if average <= 0:
        raise ValueError("no recommended user has a training profile with a popular item, so the lift has no meaning")
    return float(per_user[known].mean()) / average - 1.0


def _gini(counts: Tensor, n_items: int) -> float:
    """Gini index of the counts of the recommended items among ``n_items``, the others counting 0."""
    ordered = counts.sort().values.double()
    place = torch.arange(n_items - len(ordered) + 1, n_items + 1, dtype=torch.float64)
    return float(((2 * place - n_items - 1) * ordered).sum() / (n_items * ordered.sum()))
