"""What one model is worth and costs: per-user metrics, beyond accuracy, latency and bytes.

Metrics are RecBole's own: an evaluation's per-user values are those whose means RecBole's Evaluator reports.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.evaluator.base_metric import TopkMetric
from recbole.evaluator.register import metrics_dict
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


class KeepingEvaluator:
    """Stands for RecBole's Evaluator and keeps what it was given last.

    Args:
        evaluator: the Evaluator.
    """

    def __init__(self, evaluator: Any) -> None:
        self.evaluator = evaluator
        self.struct: Any = None

    def evaluate(self, struct: Any) -> Any:
        """As RecBole's."""
        self.struct = struct
        return self.evaluator.evaluate(struct)


def per_user_values(config: Any, struct: Any) -> dict[str, np.ndarray]:
    """Every metric of every evaluated user.

    Args:
        config: RecBole's Config, with metrics of top lists.
        struct: RecBole's DataStruct of an evaluation.

    Returns:
        Metric's name, as in RecBole's result → float64 [n], in the order of the evaluation.

    Raises:
        ValueError: a metric does not hand its users' values to RecBole's ``topk_result``.
    """
    values: dict[str, np.ndarray] = {}
    for name in config["metrics"]:
        metric = metrics_dict[name.lower()](config)
        metric.topk_result = lambda label, matrix, cut_offs=metric.topk: {
            f"{label}@{k}": np.asarray(matrix[:, k - 1], dtype=np.float64) for k in cut_offs
        }
        found = metric.calculate_metric(struct)
        if any(np.ndim(of_users) != 1 for of_users in found.values()):
            raise ValueError(f"metric {name!r} has no value for each user: its calculate_metric returns no topk_result")
        values.update(found)
    return values


def is_per_user(metric: str) -> bool:
    """Whether a metric that RecBole knows is the mean of users' values at a cut-off, and needs their lists alone."""
    kind: Any = metrics_dict.get(metric.lower())
    if kind is None or not issubclass(kind, TopkMetric) or kind.topk_result is not TopkMetric.topk_result:
        return False
    return set(kind.metric_need) <= {"rec.topk", "rec.items"}


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
