"""RecBole's metrics of every user: the values whose means RecBole's Evaluator reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from recbole.evaluator.base_metric import TopkMetric
from recbole.evaluator.register import metrics_dict


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


def per_user_values(config: Any, struct: Any, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Every metric of every evaluated user.

    Args:
        config: RecBole's Config, with metrics of top lists.
        struct: RecBole's DataStruct of an evaluation.
        names: metrics; None: all of the Config's.

    Returns:
        Metric's name, as in RecBole's result → float64 [n], in the order of the evaluation.

    Raises:
        ValueError: a metric does not hand its users' values to RecBole's ``topk_result``.
    """
    values: dict[str, np.ndarray] = {}
    for name in config["metrics"] if names is None else names:
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
