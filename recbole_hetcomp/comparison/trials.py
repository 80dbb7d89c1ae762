"""The trials of a method, and the choice among them by their validation scores.

Spaces and draws are those of ``recbole_hetcomp.tune``: ``{setting: {kind: values}}``, as ``{K: {choice: [50, 100]}}``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from recbole_hetcomp.tune.space import Space, decoded, parse_yaml, random_points

_SPARE = 20  # draws for each trial wanted, among which there must be enough different ones


def space_of(given: Mapping[str, Any]) -> Space:
    """A method's space as the search knows it; empty where there is none.

    Args:
        given: ``{setting: {kind: values}}``.

    Raises:
        ValueError: it is not understood; names the setting.
    """
    return parse_yaml(yaml.safe_dump(dict(given))) if given else ()


def trial_settings(name: str, given: Mapping[str, Any], trials: int, seed: int) -> list[dict[str, Any]]:
    """The settings of a method's trials: nothing changed, then different draws.

    More trials begin with those of fewer.

    Args:
        name: the method; the draws depend on it.
        given: its space.
        trials: their number.
        seed: of the draws.

    Raises:
        ValueError: the space has too few different draws.

    >>> trial_settings("HetComp", {"p": {"choice": [1]}}, trials=2, seed=0)
    [{}, {'p': 1}]
    """
    space = space_of(given)
    drawn: list[dict[str, Any]] = [{}]
    for point in random_points(space, _SPARE * trials, (seed + zlib.crc32(name.encode())) % 2**32):
        settings = decoded(space, point)
        if len(drawn) < trials and settings not in drawn:
            drawn.append(settings)
    if len(drawn) < trials:
        raise ValueError(f"the space of {name!r} has no {trials - 1} different settings for tuning.trials={trials}")
    return drawn[:trials]


def best_trials(scores: Sequence[float | None], count: int) -> list[int]:
    """Numbers of the best trials, the first of equals before the others; bigger is better, as of every metric of lists.

    Args:
        scores: validation scores, None for a trial that failed.
        count: how many, at most; fewer where fewer have a score.

    >>> best_trials([0.1, None, 0.3, 0.3], count=2)
    [2, 3]
    """
    scored = sorted((-score, number) for number, score in enumerate(scores) if score is not None)
    return [number for _, number in scored[:count]]


def nearest(dimension: int, tuned: Sequence[int]) -> int:
    """The tuned embedding size whose ratio to another is closest to 1, the smaller of equals.

    >>> nearest(8, [4, 16, 64])
    4
    """
    return min(tuned, key=lambda size: (abs(math.log(size / dimension)), size))
