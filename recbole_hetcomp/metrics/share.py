"""What share of one ranking's accuracy another keeps, and how far users' noise leaves that open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE, RESAMPLES = 0.95, 9999
_RESAMPLED_AT_ONCE = 2_000_000  # values that one batch of resamples holds


@dataclass(frozen=True)
class Share:
    """A share of means, with its interval over users.

    Attributes:
        share: mean of one's values over the mean of the other's.
        low: lower end of the interval.
        high: upper end.
    """

    share: float
    low: float
    high: float


def share_of_means(
    mine: np.ndarray, theirs: np.ndarray, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Share:
    """The share of the other's mean, with a percentile bootstrap over users, each user's two values kept together.

    Args:
        mine: a metric of each user, [n].
        theirs: the same users' values of the other ranking, [n].
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of its draws.

    Raises:
        ValueError: the users differ in number, there are less than two, or the other's mean is not above 0.

    >>> share_of_means(np.array([0.2, 0.4]), np.array([0.4, 0.8]))
    Share(share=0.5, low=0.5, high=0.5)
    """
    if mine.shape != theirs.shape or mine.ndim != 1 or len(mine) < 2:
        raise ValueError(f"values have shapes {mine.shape} and {theirs.shape}; allowed: the same 2 or more users")
    if not theirs.mean() > 0:
        raise ValueError(f"the mean that a share is of is {theirs.mean()}; allowed: above 0")

    def ratio(own: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
        below = other.mean(axis)
        return own.mean(axis) / np.where(below > 0, below, np.nan)

    found = float(mine.mean() / theirs.mean())
    if np.allclose(mine, found * theirs, rtol=1e-12, atol=0.0):  # no draw gives another share
        return Share(found, found, found)
    bounds = stats.bootstrap(
        (mine, theirs),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _RESAMPLED_AT_ONCE // len(mine)),
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Share(found, float(bounds.low), float(bounds.high))
