"""Training settings that follow a rule: from the size of the data, or from how far the training has come."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch

from recbole_hetcomp.recbole_bridge.large_steps import fused_where_large, large_steps_of
from recbole_hetcomp.threads import Threads, work_of_model

RULE, SCHEDULE, GROWTH = "scaled_weight_decay", "learning_rate_schedule", "items_per_dimension"
PAIRS = "weight_decay_pairs"
ALL = frozenset({RULE, SCHEDULE})
"""Settings of the package that every model it trains may have."""

_MOST_GROWTH = 3.0


def prefer_given(config: Any, given: Any) -> None:
    """A ``weight_decay`` that was given wins over the rules.

    Args:
        config: a Config.
        given: keys that its user gave.
    """
    if "weight_decay" not in given:
        return
    for rule in (RULE, PAIRS):
        if rule not in given and config[rule]:
            config[rule] = None


def weight_decay_of(config: Any, model: Any) -> float:
    r"""The L2 penalty with which a model is to be trained: as given, or by the size of its data.

    .. math:: \text{weight decay} = c / \sqrt{U I} \quad\text{or}\quad \lambda \min(1, \sqrt{P / (U I)})

    The gradient of one user's or one item's row comes the more seldom the more rows there are, and the L2 penalty,
    which every step adds to every row, must fall with it. Measured: docs/results/notebook/teachers.md, lesson.md.

    Args:
        config: the Config, with c in ``scaled_weight_decay``, or lambda in ``weight_decay`` and P in
            ``weight_decay_pairs``; a c wins.
        model: a RecBole model, with ``n_users`` and ``n_items``, padding included, where there is a rule.

    Raises:
        ValueError: there is a rule, and the model has no users.
    """
    rule = next((rule for rule in (RULE, PAIRS) if config[rule]), None)
    if rule is None:
        return config["weight_decay"]
    if not hasattr(model, "n_users"):
        raise ValueError(
            f"{rule}={config[rule]} is not for {type(model).__name__}, which has no users: give weight_decay"
        )
    pairs = max(1, (model.n_users - 1) * (model.n_items - 1))
    if rule == RULE:
        return config[RULE] / pairs**0.5
    return config["weight_decay"] * min(1.0, (config[PAIRS] / pairs) ** 0.5)


def learning_rate_at(config: Any, epoch: int, epochs: int) -> float:
    r"""The learning rate of an epoch: as given, or falling to nearly 0 along half a cosine.

    .. math:: \eta_t = \tfrac12 \eta (1 + \cos(\pi t / T))

    Source: Loshchilov & Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017, without restarts.

    Args:
        config: the Config, with eta in ``learning_rate`` and ``learning_rate_schedule``.
        epoch: t, from 0.
        epochs: T, epochs at most.
    """
    rate = float(config["learning_rate"])
    if config[SCHEDULE] != "cosine":
        return rate
    return 0.5 * rate * (1.0 + math.cos(math.pi * epoch / max(1, epochs)))


def growth(n_items: int, dimension: int, items_per_dimension: float | None) -> tuple[float, float]:
    r"""A student with few dimensions on a large catalogue learns for longer, at a higher rate.

    .. math:: f = I / (c d)

    Measured: docs/results/notebook/schedule.md.

    Args:
        n_items: I.
        dimension: d; 0 where the backbone has none, which changes nothing.
        items_per_dimension: c; None changes nothing.

    Returns:
        The factor on the epochs, f, and on the learning rate, :math:`\sqrt{f / 2}`, with f and f / 2 from 1 to 3.

    >>> growth(1600, 8, 50.0)
    (3.0, 1.4142135623730951)
    >>> growth(1600, 8, None)
    (1.0, 1.0)
    """
    if not items_per_dimension or not dimension:
        return 1.0, 1.0
    factor = n_items / (items_per_dimension * dimension)
    return _limited(factor), math.sqrt(_limited(factor / 2))


def _limited(factor: float) -> float:
    return min(_MOST_GROWTH, max(1.0, factor))


def grow(config: Any, n_items: int, dimension: int) -> None:
    """Put a training's :func:`growth` into its Config, once: epochs in whole validations, and the rate.

    What was given stays. The student alone grows likewise, unless its ``no_kd_config`` was given.

    Args:
        config: a Config of a student; changed.
        n_items: I.
        dimension: d.
    """
    factors = growth(n_items, dimension, config[GROWTH])
    if factors[0] == 1:
        return
    given = config.external_config_dict
    for key, value in _grown(config, *factors, given).items():
        config[key] = value
    if "no_kd_config" not in given:
        config["no_kd_config"] = {**config["no_kd_config"], **_grown(config["no_kd_config"], *factors)}
    logging.getLogger().info(
        f"{n_items} items for {dimension} dimensions ({GROWTH}={config[GROWTH]}): {config['epochs']} epochs, "
        f"learning rate {config['learning_rate']:.3g}"
    )
    config[GROWTH] = None


def _grown(training: Any, epochs: float, rate: float, given: Any = ()) -> dict[str, Any]:
    """Epochs and rate of a training, each times its factor, unless it was given."""
    grown = {}
    if "epochs" not in given:
        grown["epochs"] = _whole_validations(training, epochs)
    if "learning_rate" not in given:
        grown["learning_rate"] = rate * training["learning_rate"]
    return grown


def shorten(config: Any, given: Any, share: float) -> None:
    """Train what goes on from yesterday's weights for a share of the epochs, unless they were given.

    They are rounded up to whole validations. The learning rate stays: a lower one was worse
    (docs/results/warm-start.md).

    Args:
        config: a Config; changed.
        given: keys that its user gave.
        share: of the epochs.
    """
    if "epochs" not in given:
        config["epochs"] = min(config["epochs"], _whole_validations(config, share))


def _whole_validations(training: Any, factor: float) -> int:
    """A training's epochs times a factor, up to the next validation."""
    step = max(1, training["eval_step"])
    return step * math.ceil(factor * training["epochs"] / step)


class FollowsRules:
    """Mixin of RecBole trainers: :func:`weight_decay_of` the model; each epoch :func:`learning_rate_at` and threads."""

    config: Any
    model: Any
    device: Any
    epochs: int
    optimizer: Any
    threads: Threads | None = None

    @property
    def step_work(self) -> int:
        """Multiply-adds of a step, for the number of threads."""
        return work_of_model(self.model, self.config["train_batch_size"])

    def own_threads(self) -> Threads:
        """The threads of this trainer's work, to be entered."""
        on_processors = torch.device(self.device).type == "cpu"
        return Threads(self.step_work, f"training of {self.config['model']}", on_processors)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As RecBole's, with as many threads as suit the work, chosen anew before each epoch."""
        with self.own_threads() as self.threads, large_steps_of(self.model):
            return super().fit(*args, **kwargs)  # type: ignore[misc]

    def _build_optimizer(self, **kwargs: Any) -> Any:
        kwargs.setdefault("weight_decay", weight_decay_of(self.config, self.model))
        return fused_where_large(super()._build_optimizer(**kwargs))  # type: ignore[misc]

    def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
        if self.threads is not None:
            self.threads.choose()
        if self.config[SCHEDULE]:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(self.config, epoch_idx, self.epochs)
        return super()._train_epoch(train_data, epoch_idx, *args, **kwargs)  # type: ignore[misc]


def following_rules(trainer: type) -> type:
    """A RecBole trainer class with :class:`FollowsRules`."""
    return type(trainer.__name__, (FollowsRules, trainer), {"__doc__": trainer.__doc__})
