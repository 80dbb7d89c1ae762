"""A metric from outside: makes a class known wherever RecBole, and this package, look a metric up by its name.

RecBole gathers its metrics once, when it is imported, in four tables, and so does not find what is written elsewhere.
"""

from __future__ import annotations

from typing import TypeVar

from recbole.evaluator.base_metric import AbstractMetric
from recbole.evaluator.register import metric_information, metric_types, metrics_dict, smaller_metrics
from recbole.utils import EvaluatorType

NEEDS = (
    "rec.items",
    "rec.topk",
    "rec.meanrank",
    "rec.score",
    "data.num_items",
    "data.num_users",
    "data.count_items",
    "data.count_users",
    "data.label",
)
"""What RecBole's Collector can hand to a metric."""

Metric = TypeVar("Metric", bound=type[AbstractMetric])


def register_metric(metric: Metric) -> Metric:
    """Decorator of a metric's class: RecBole knows it by the class's name in this process, in any case of letters.

    Where it needs top lists alone (``rec.topk``, ``rec.items``, counts of the data) it is computed from lists, those of
    teachers too. A ``TopkMetric`` that ends in RecBole's ``topk_result``, needs no ``data.*`` and is better when bigger
    may be a benchmark's: it has a value for each user.

    Args:
        metric: a subclass of RecBole's ``AbstractMetric`` or ``TopkMetric``, with ``metric_type``, ``metric_need`` (of
            :data:`NEEDS`) and, where smaller is better, ``smaller = True``. What it reports is called as the class in
            small letters, ``name@k``; in ``rec.items``, 0 is no item.

    Returns:
        The class.

    Raises:
        TypeError: it is no metric of RecBole's kind.
        ValueError: the name is taken, or an attribute is not allowed.
    """
    if not (isinstance(metric, type) and issubclass(metric, AbstractMetric)):
        raise TypeError(f"{metric!r} is no metric: needed is a subclass of RecBole's AbstractMetric")
    name = metric.__name__.lower()
    known = metrics_dict.get(name)
    if known is metric:
        return metric
    if known is not None:
        raise ValueError(f"metric name {name!r} is taken: {known.__module__}.{known.__qualname__} has it")
    _check(metric)
    metrics_dict[name], metric_types[name], metric_information[name] = metric, metric.metric_type, metric.metric_need
    if metric.smaller:
        smaller_metrics.append(name)
    return metric


def _check(metric: type[AbstractMetric]) -> None:
    """Refuse what RecBole would take for something else, or trip over when it evaluates."""
    kind, needs = getattr(metric, "metric_type", None), getattr(metric, "metric_need", None)
    if not isinstance(kind, EvaluatorType):
        raise ValueError(f"{metric.__name__}.metric_type is {kind!r}; allowed: EvaluatorType.RANKING or .VALUE")
    if not isinstance(needs, (list, tuple)) or not needs or not set(needs) <= set(NEEDS):
        raise ValueError(f"{metric.__name__}.metric_need is {needs!r}; allowed: a list of some of {', '.join(NEEDS)}")
    if not isinstance(metric.smaller, bool):
        raise ValueError(f"{metric.__name__}.smaller is {metric.smaller!r}; allowed: True or False")
