"""What each teacher gives to the ensemble, and how alike the teachers are. On the validation split alone."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from recbole.config import Config
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.metrics.likeness import likeness
from recbole_hetcomp.metrics.per_user import KeepingEvaluator, is_per_user, per_user_values
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.teachers.fusion import ensemble_lists, fuse_of
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer
from recbole_hetcomp.trajectories import Trajectory

EXACT = 7
"""Teachers of which all subsets are evaluated; of more, random orders."""
ORDERS = 32
NOISE = 2.0
"""Standard errors that a teacher's harm must exceed."""

Value = Callable[[tuple[int, ...]], float]


@dataclass(frozen=True)
class Contribution:
    """One teacher's.

    Attributes:
        name: the teacher.
        alone: its validation metric.
        gain: the ensemble's metric less that of the ensemble without it.
        error: standard error of the gain over users.
        shapley: its Shapley value: its mean gain over all orders in which the teachers may join.
    """

    name: str
    alone: float
    gain: float
    error: float
    shapley: float

    @property
    def harms(self) -> bool:
        """Whether the ensemble is better without it, beyond what users' noise explains."""
        return self.gain < -NOISE * self.error


@dataclass(frozen=True)
class Contributions:
    """Of all teachers.

    Attributes:
        metric: the validation metric, larger is better.
        ensemble: of all teachers together.
        teachers: a row each.
        agreement: mean share of one's best items (rows) that another's (columns) have as well, float [M, M].
        length: how many best items these are.
        exact: whether Shapley values are of all subsets, or of random orders.
    """

    metric: str
    ensemble: float
    teachers: tuple[Contribution, ...]
    agreement: NDArray[np.float64]
    length: int
    exact: bool

    def in_words(self) -> list[str]:
        """What the numbers mean."""
        harmful = [one for one in self.teachers if one.harms]
        said = [
            f"Without {one.name} the ensemble would have {self.metric} {self.ensemble - one.gain:.4f} for "
            f"{self.ensemble:.4f} (± {one.error:.4f}, the standard error over users): leave it out."
            for one in harmful
        ]
        return said or [f"No teacher harms the ensemble's {self.metric} beyond twice the standard error over users."]


def shapley_values(value: Value, count: int, seed: int = 0) -> list[float]:
    """Each member's mean gain over the orders in which they may join (Shapley 1953).

    Args:
        value: of members, ascending; of none it is 0.
        count: members. Up to :data:`EXACT` all subsets are asked for; of more, :data:`ORDERS` random orders.
        seed: of the orders.

    >>> shapley_values(lambda members: float(len(members) > 1), 3)
    [0.3333333333333333, 0.3333333333333333, 0.3333333333333333]
    """
    known = functools.cache(value)
    if count > EXACT:
        return _sampled(known, count, seed)
    found = []
    for one in range(count):
        others = [other for other in range(count) if other != one]
        total = 0.0
        for size in range(count):
            share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for members in itertools.combinations(others, size):
                total += share * (known(tuple(sorted((*members, one)))) - known(members))
        found.append(total)
    return found


def _sampled(value: Value, count: int, seed: int) -> list[float]:
    draw, totals = random.Random(seed), [0.0] * count
    for _ in range(ORDERS):
        order, before = draw.sample(range(count), count), 0.0
        for size, one in enumerate(order, start=1):
            now = value(tuple(sorted(order[:size])))
            totals[one] += now - before
            before = now
    return [total / ORDERS for total in totals]


def agreement(lists: Sequence[Tensor], length: int) -> NDArray[np.float64]:
    """How much of each list's best items each other list has as well.

    Args:
        lists: each teacher's, item ids, best first, int [U, K'].
        length: how many items count.

    Returns:
        Mean share, float64 [M, M]; rows whose items, columns who has them; nan where a teacher lists nothing.
    """
    found = np.full((len(lists), len(lists)), np.nan)
    for row, mine in enumerate(lists):
        if not bool((mine != PAD).any()):
            continue
        for column, other in enumerate(lists):
            found[row, column] = likeness(other.long(), mine.long(), K_D=length)[f"overlap@{length}"]
    return found


def check_judged(config: Config, names: Sequence[str]) -> None:
    """Refuse what says nothing of single teachers.

    Raises:
        ValueError: there are less than two teachers, or the validation metric is no mean of users' values of which
            larger ones are better.
    """
    if len(names) < 2:
        raise ValueError(f"teachers={list(names)} is not allowed here: at least two")
    if not config["valid_metric_bigger"] or not is_per_user(config["valid_metric"].partition("@")[0]):
        raise ValueError(
            f"valid_metric={config['valid_metric']!r} is not allowed here: the mean of users' values, of which larger "
            "ones are better, such as Recall, NDCG, MRR, MAP, Hit or Precision"
        )


class Panel:
    """Some teachers of a run, judged together on its validation split.

    Weights by quality are found anew for every part of them.

    Args:
        config: the run's Config.
        settings: its settings.
        data: the interactions.
        teachers: name and trajectory of each, those of the settings or some of them.
        train: RecBole's training Dataset.
        valid_data: RecBole's validation loader.
    """

    def __init__(
        self,
        config: Config,
        settings: HetCompSettings,
        data: Interactions,
        teachers: Sequence[tuple[str, Trajectory]],
        train: Any,
        valid_data: Any,
    ) -> None:
        self.config, self.settings, self.data, self.teachers = config, settings, data, tuple(teachers)
        self.train, self.valid_data = train, valid_data
        self._known: dict[tuple[int, ...], NDArray[np.float64]] = {}
        self._weighed: dict[tuple[float, ...], NDArray[np.float64]] = {}

    @property
    def teachers_and_consensus(self) -> tuple[tuple[tuple[str, Trajectory], ...], Consensus]:
        """The teachers, and the consensus that has their weights."""
        return self.teachers, self._consensus(self._everyone)

    def contributions(self) -> Contributions:
        """What each teacher gives.

        Raises:
            ValueError: as :func:`check_judged`.
        """
        names = [name for name, _ in self.teachers]
        check_judged(self.config, names)
        shares = shapley_values(lambda members: float(self.of(members).mean()) if members else 0.0, len(names))
        rows = []
        for place, name in enumerate(names):
            gain, error = self._gain(place)
            rows.append(Contribution(name, float(self.of((place,)).mean()), gain, error, shares[place]))
        length = max(self.config["topk"])
        lists = [trajectory.unobserved[-1][self.data.users] for _, trajectory in self.teachers]
        whole = float(self.of(self._everyone).mean())
        metric = self.config["valid_metric"].lower()
        return Contributions(metric, whole, tuple(rows), agreement(lists, length), length, len(names) <= EXACT)

    def without_harmful(self) -> Panel:
        """The same teachers less those without whom the ensemble is better beyond noise, the worst first; says so."""
        kept = self
        while len(kept.teachers) > 1:
            gains = [kept._gain(place) for place in range(len(kept.teachers))]
            worst = min(range(len(gains)), key=lambda place: gains[place][0])
            gain, error = gains[worst]
            if gain >= -NOISE * error:
                break
            logging.getLogger().warning(
                f"teacher {kept.teachers[worst][0]} is left out: without it the ensemble's validation "
                f"{self.config['valid_metric']} is higher by {-gain:.4f} (± {error:.4f}); "
                "leave_out_harmful=False keeps it"
            )
            kept = kept._part([place for place in range(len(gains)) if place != worst])
        return kept

    def of(self, members: tuple[int, ...]) -> NDArray[np.float64]:
        """The validation metric of every user, of the ensemble of some teachers, float64 [n]."""
        if members not in self._known:
            self._known[members] = self._judge(self._lists(members))
        return self._known[members]

    def values(self, weights: tuple[float, ...]) -> NDArray[np.float64]:
        """The same of all teachers with these weights, float64 [n]."""
        if weights not in self._weighed:
            self._weighed[weights] = self._judge(self.lists(weights))
        return self._weighed[weights]

    def lists(self, weights: tuple[float, ...]) -> Tensor:
        """The ensemble of all teachers with these weights, int32 [U, L]."""
        given: Any = self.settings
        consensus = attrs.evolve(given, teacher_weights=weights, fit_weights=False)
        return self._fused([trajectory for _, trajectory in self.teachers], consensus)

    @property
    def unfitted_weights(self) -> tuple[float, ...]:
        """The teachers' weights as the settings have them."""
        return self._consensus(self._everyone).weights(len(self.teachers))

    def weighed(self, weights: tuple[float, ...]) -> Panel:
        """The same teachers, their weights given."""
        given: Any = self.settings
        own = attrs.evolve(given, teacher_weights=weights, fit_weights=False)
        return Panel(self.config, own, self.data, self.teachers, self.train, self.valid_data)

    def _judge(self, lists: Tensor) -> NDArray[np.float64]:
        trainer = ListsTrainer.judging(self.config, self.train, lists)
        trainer.evaluator = KeepingEvaluator(trainer.evaluator)
        trainer.evaluate_lists(lists, self.valid_data)
        metric = self.config["valid_metric"].lower()
        return per_user_values(self.config, trainer.evaluator.struct, [metric.partition("@")[0]])[metric]

    @property
    def _everyone(self) -> tuple[int, ...]:
        return tuple(range(len(self.teachers)))

    def _gain(self, place: int) -> tuple[float, float]:
        """The ensemble's metric less that without one teacher, and its standard error over users."""
        gains = self.of(self._everyone) - self.of(tuple(other for other in self._everyone if other != place))
        error = float(gains.std(ddof=1) / math.sqrt(len(gains))) if len(gains) > 1 else math.inf
        return float(gains.mean()), error

    def _part(self, places: Sequence[int]) -> Panel:
        given: Any = self.settings
        own = attrs.evolve(
            given, teachers=tuple(self.teachers[place][0] for place in places), teacher_weights=self._weights(places)
        )
        part = Panel(
            self.config, own, self.data, [self.teachers[place] for place in places], self.train, self.valid_data
        )
        part._known = {
            tuple(places.index(place) for place in members): values
            for members, values in self._known.items()
            if set(members) <= set(places)
        }
        return part

    def _weights(self, places: Sequence[int]) -> tuple[float, ...] | None:
        given = self.settings.teacher_weights
        return None if given is None else tuple(given[place] for place in places)

    def _consensus(self, places: Sequence[int]) -> Consensus:
        part = self if len(places) == len(self.teachers) else self._part(places)
        scores = [trajectory.scores[-1] for _, trajectory in part.teachers]
        return part.settings.weighed(scores, bool(self.config["valid_metric_bigger"]))

    def _lists(self, members: tuple[int, ...]) -> Tensor:
        weights = self._weights(members)
        if weights is not None and not any(weights):  # those that count for nothing list nothing
            return torch.full((self.data.n_users, self._length), PAD, dtype=torch.int32)
        return self._fused([self.teachers[place][1] for place in members], self._consensus(members))

    def _fused(self, chosen: Sequence[Trajectory], consensus: Consensus) -> Tensor:
        budget = self.settings.block_elements
        fuse = fuse_of(self.data, chosen, consensus, self.valid_data, self.config["seed"], budget)
        return ensemble_lists(self.data, chosen, consensus, self._length, budget, fuse)

    @property
    def _length(self) -> int:
        return 2 * max(self.config["topk"])
