"""What one model is worth and costs: tables of users, beyond accuracy, latency and bytes."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.utils import ModelType
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.metrics.popularity import beyond_accuracy, profile_popularity
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists

SERVED = 50  # items of the list whose latency is measured
TIMED_USERS = 100
WARM_UP = 10


def per_user_table(dataset: Any, users: Tensor, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row a user: the data set's own name of the user and the metrics.

    Args:
        dataset: RecBole's Dataset.
        users: internal ids, int64 [n].
        values: from :func:`per_user_values`.
    """
    names = dataset.id2token(dataset.uid_field, users.numpy())
    return pd.DataFrame({"user": np.asarray(names, dtype=str), **values})


def served_lists(struct: Any) -> Tensor:
    """The lists of an evaluation, ``PAD`` for none, int32 [n, k]."""
    items = struct.get("rec.items")
    return items.masked_fill(items == 0, PAD).int()


def beyond(lists: Tensor, users: Tensor, data: Interactions, k: int) -> dict[str, float]:
    """Popularity and concentration of the evaluated users' lists.

    Args:
        lists: int [n, L].
        users: whose they are, int64 [n].
        data: the interactions.
        k: how many items of a list count.
    """
    popularity = data.item_counts
    profiles = profile_popularity(data.observed, popularity)[users]
    return beyond_accuracy(lists, popularity, data.n_items - 1, profiles, k)


@torch.no_grad()
def latency_ms(model: Any, evaluated: EvaluatedUsers) -> float:
    """Median milliseconds in which one thread scores the catalogue for one user and takes the best 50.

    Args:
        model: a RecBole general recommender, trained or not: what it computes does not depend on its weights.
        evaluated: users to be served.
    """
    model.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    length = min(SERVED, evaluated.n_items - 1)
    times = []
    try:
        for number in range(WARM_UP + TIMED_USERS):
            user = evaluated.users[number % len(evaluated)][None]
            started = time.perf_counter()
            ranked_lists(model, user, evaluated.n_items, evaluated.history.items, length)
            times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return 1000 * statistics.median(times[WARM_UP:])


def stored_bytes(model: Any) -> int:
    """Bytes of the numbers that a model must keep to be used: its state, or what a one-step model has fitted."""
    if model.type != ModelType.TRADITIONAL:
        return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    fitted = {key: value for key, value in model.other_parameter().items() if key != "interaction_matrix"}
    return sum(_bytes_of(value) for value in fitted.values())


def _bytes_of(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if hasattr(value, "indptr"):  # a sparse matrix of SciPy's
        return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes
    return int(np.asarray(value).nbytes)
