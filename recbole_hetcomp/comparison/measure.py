"""What one model is worth and costs: tables of users, beyond accuracy, how fast it is served."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.metrics.popularity import beyond_accuracy, profile_popularity
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.serving.costs import Serve, speeds

SERVED = 50  # items of the list whose latency is measured
TIMED_USERS = 100
BATCH = 64  # users of a batch


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


def speed_of(serve: Serve, evaluated: EvaluatedUsers) -> dict[str, float]:
    """How fast one thread scores the catalogue and takes the best 50: milliseconds of one user, users a second.

    Args:
        serve: what is timed, trained or not: what it computes does not depend on its weights.
        evaluated: users to be served.

    Returns:
        ``latency_ms`` (the median), ``latency_p95_ms``, ``users_per_second``.
    """
    users = evaluated.users
    (found,) = speeds([serve], users[:TIMED_USERS], users[: 2 * BATCH], BATCH)
    return {
        "latency_ms": found.milliseconds(50),
        "latency_p95_ms": found.milliseconds(95),
        "users_per_second": found.per_second,
    }
