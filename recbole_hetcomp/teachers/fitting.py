"""Teachers' weights fitted on the validation split, cross-validated over users."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.teachers.contribution import Panel

FOLDS = 5
EVALUATIONS = 15
"""Ensembles that are tried for each teacher's weight, in each fold."""
_STEP = 0.7  # in the logarithm of a weight, at first
_SMALLEST = -6.0  # logarithm of a weight, the largest being 1


@dataclass(frozen=True)
class FittedWeights:
    """Weights of teachers.

    Attributes:
        weights: one a teacher, the largest 1; the unfitted ones where fitting did not pay.
        validated: the lists that validate them, int32 [U, L]: each user's by weights that were fitted without it.
        value: the validation metric of these lists.
        unfitted: that of the ensemble before.
    """

    weights: tuple[float, ...]
    validated: Tensor
    value: float
    unfitted: float


def fit_weights(panel: Panel, seed: int = 0) -> FittedWeights:
    """Search the weights of the best ensemble by Nelder and Mead's method over their logarithms (SciPy).

    Users are dealt into :data:`FOLDS` parts. Weights that are fitted to the others judge each part, so that the value
    is of no user that it was fitted to. Where that is no gain, the weights stay as they were.

    Args:
        panel: the teachers.
        seed: of the parts.
    """
    first = np.log(np.clip(panel.unfitted_weights, np.exp(_SMALLEST), None))
    first -= first.max()
    unfitted = panel.values(_weights(first))
    users = EvaluatedUsers.of(panel.valid_data).users
    part = np.random.default_rng(seed).permutation(len(users)) % FOLDS
    validated = panel.lists(_weights(first))
    values = unfitted.copy()
    for fold in range(min(FOLDS, len(users))):
        held_out = part == fold
        weights = _fitted(panel, first, ~held_out)
        values[held_out] = panel.values(weights)[held_out]
        rows = users[torch.from_numpy(held_out)]
        validated[rows] = panel.lists(weights)[rows]
    gain = float((values - unfitted).mean())
    metric = panel.config["valid_metric"]
    said = f"{metric} {values.mean():.4f} of users that they were not fitted to, {unfitted.mean():.4f} before"
    if gain <= 0:
        logging.getLogger().info(f"fitted weights do not pay ({said}): they stay as they were")
        unchanged = float(unfitted.mean())
        return FittedWeights(_weights(first), panel.lists(_weights(first)), unchanged, unchanged)
    logging.getLogger().info(f"teachers' weights are fitted: {said}")
    everyone = np.ones(len(users), dtype=bool)
    return FittedWeights(_fitted(panel, first, everyone), validated, float(values.mean()), float(unfitted.mean()))


def _fitted(panel: Panel, first: NDArray[np.float64], rows: NDArray[np.bool_]) -> tuple[float, ...]:
    """The best weights for some of the evaluated users."""
    found = minimize(
        lambda logs: -panel.values(_weights(logs))[rows].mean(),
        first,
        method="Nelder-Mead",
        options={
            "maxfev": EVALUATIONS * len(first),
            "initial_simplex": np.vstack([first, first + _STEP * np.eye(len(first))]),
            "xatol": 0.05,
            "fatol": 1e-5,
        },
    )
    return _weights(found.x)


def _weights(logs: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """Weights of which the largest is 1, to three digits: the same point is not judged twice."""
    logs = np.asarray(logs)
    return tuple(round(float(value), 3) for value in np.exp(np.clip(logs - logs.max(), _SMALLEST, None)))
