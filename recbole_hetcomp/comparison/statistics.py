"""Whether one method is better than others, and by how much: paired tests over users and over seeds.

The tests are SciPy's, Holm's correction is statsmodels'. The paired t-test and the randomisation test are the ones
that hold up in ranking evaluation (Smucker et al., CIKM 2007; Urbano et al., SIGIR 2019); Wilcoxon's is given beside
them, as many papers report it.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

TESTS = ("t", "wilcoxon", "randomisation")
INTERVALS = ("bca", "t")
CONDITION = ("dataset", "backbone", "dimension")
EXACT_WILCOXON = 50  # differences up to which the exact distribution is used, as SciPy does
_SIGNS = np.array([-1, 1], dtype=np.int8)
_RESAMPLED_AT_ONCE = 2_000_000  # values that one batch of resamples holds


def paired_over_users(
    per_user: pd.DataFrame,
    metric: str,
    method: str,
    others: Sequence[str],
    *,
    tests: Sequence[str] = TESTS,
    interval: str = "bca",
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
    same_seeds: bool = True,
) -> pd.DataFrame:
    r"""Compare a method with others, users being the units.

    A user's values are first averaged over the seeds, so that a further seed makes a user's value more precise and
    not the sample larger. Per pair of methods, with the differences d_u = method − other:

    - ``difference`` the mean of d, ``relative`` the same over the other's mean, ``low`` and ``high`` the confidence
      interval of the mean;
    - ``d_z`` Cohen's effect size of paired differences, mean / s.d.;
    - ``better``, ``equal``, ``worse``: shares of the users;
    - ``p_t``, ``p_wilcoxon`` (zeros ranked, Pratt's way), ``p_randomisation`` (signs of d flipped): two-sided;
      ``p_…_holm``: corrected by Holm over all ``others`` of this call.

    Methods that give every user the same value cannot be told apart: p is 1 and d_z 0.

    Args:
        per_user: columns ``method``, ``seed``, ``user`` and the metric; one data set, backbone and dimension for each
            method.
        metric: the column compared.
        method: the method of interest.
        others: what it is compared with.
        tests: which of ``t``, ``wilcoxon``, ``randomisation``.
        interval: ``bca`` (bootstrap, bias-corrected and accelerated; work grows with the users squared) or ``t``.
        confidence: of the interval.
        resamples: of the randomisation test and of the bootstrap.
        seed: of their random draws.
        same_seeds: refuse methods whose seeds differ from the method's of interest; False for an other that was made
            once, as an ensemble is.

    Returns:
        One row an other: ``method``, ``other``, ``metric``, ``unit``, ``n``, ``mean``, ``other_mean`` and the above.

    Raises:
        ValueError: a column, a method or a pair is missing (it is named), or a value occurs twice or is not finite.
    """
    values = _values(per_user, metric, method, others, ["user", "seed"])
    if same_seeds:
        _same_seeds(values, method, others)
    wide = _per_user_means(values, metric)
    pairs = _pairs(wide, method, others, "user")
    return _compare(pairs, metric, method, "users", tests, interval, confidence, resamples, seed)


def paired_over_seeds(
    runs: pd.DataFrame,
    metric: str,
    method: str,
    others: Sequence[str],
    *,
    tests: Sequence[str] = TESTS,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a method with others, runs of equal seed being the pairs; says how far training's chance decides.

    With n seeds no two-sided randomisation or Wilcoxon p-value is below 2/2^n: .25 for three, .06 for five. The
    interval is Student's t, as a bootstrap of so few values is too narrow.

    Args:
        runs: columns ``method``, ``seed`` and the metric; one data set, backbone and dimension for each method.
        metric: the column compared.
        method: the method of interest.
        others: what it is compared with.
        tests: which of ``t``, ``wilcoxon``, ``randomisation``.
        confidence: of the interval.
        resamples: of the randomisation test, where not all sign flips can be gone through.
        seed: of its random draws.

    Returns:
        As :func:`paired_over_users`; ``better`` etc. are shares of the seeds.

    Raises:
        ValueError: as there, or the method has one seed only.
    """
    values = _values(runs, metric, method, others, ["seed"])
    seeds = sorted(values.loc[values["method"] == method, "seed"])
    if len(seeds) < 2:
        raise ValueError(f"a test over seeds needs 2 or more: {method} has seed {seeds[0]} only")
    pairs = _pairs(values.pivot(index="seed", columns="method", values=metric), method, others, "seed")
    return _compare(pairs, metric, method, "seeds", tests, "t", confidence, resamples, seed)


def _values(frame: pd.DataFrame, metric: str, method: str, others: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """The rows of the methods, checked to hold one finite value a key."""
    missing = [column for column in ("method", *keys, metric) if column not in frame]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing; there are: {', '.join(map(str, frame.columns))}")
    if not others or method in others or len(set(others)) < len(others):
        raise ValueError(f"others is {list(others)}; needed: at least one method, none twice and not {method!r}")
    known = list(frame["method"].unique())
    for name in (method, *others):
        if name not in known:
            raise ValueError(f"no values of method {name!r}; there are: {', '.join(map(str, known))}")
    rows = frame.loc[frame["method"].isin([method, *others])]
    for column in CONDITION:
        if column in rows:
            mixed = rows.groupby("method")[column].nunique(dropna=False)
            if (mixed > 1).any():
                name = mixed.index[mixed > 1][0]
                found = rows.loc[rows["method"] == name, column].unique()
                raise ValueError(f"{name} has several values of {column}: {_some(found)}; choose one first")
    twice = rows.duplicated(["method", *keys])
    if twice.any():
        raise ValueError(f"there are two values for {_named(rows.loc[twice].iloc[0], ['method', *keys])}")
    wrong = ~np.isfinite(rows[metric].astype(float))
    if wrong.any():
        row = rows.loc[wrong].iloc[0]
        raise ValueError(f"{metric} is {row[metric]} for {_named(row, ['method', *keys])}; needed: a finite number")
    return rows[["method", *keys, metric]]


def _same_seeds(values: pd.DataFrame, method: str, others: Sequence[str]) -> None:
    seeds = {name: set(rows["seed"]) for name, rows in values.groupby("method")}
    for other in others:
        for lacking, having in ((other, method), (method, other)):
            absent = seeds[having] - seeds[lacking]
            if absent:
                raise ValueError(f"{lacking} has no seed {_some(sorted(absent))}, which {having} has")


def _per_user_means(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over seeds, [users, methods]; every seed of a method has to have the same users."""
    grouped = values.groupby(["user", "method"])[metric].agg(["mean", "size"]).unstack("method")
    for name in grouped["size"]:
        sizes = grouped["size"][name].dropna()
        if sizes.nunique() > 1:
            raise ValueError(f"{name} lacks a seed of user {_some(sizes.index[sizes < sizes.max()])}")
    return grouped["mean"]


def _pairs(wide: pd.DataFrame, method: str, others: Sequence[str], unit: str) -> pd.DataFrame:
    """Values [units, methods], checked to have no gap."""
    for name in (method, *others):
        gaps = wide.index[wide[name].isna()]
        if len(gaps):
            raise ValueError(f"{name} has no {unit} {_some(gaps)}, which another method has")
    if len(wide) < 2:
        raise ValueError(f"a test needs 2 or more {unit}s, there is {len(wide)}")
    return wide[[method, *others]].astype(float)


def _compare(
    pairs: pd.DataFrame,
    metric: str,
    method: str,
    unit: str,
    tests: Sequence[str],
    interval: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    _check(tests, interval, confidence, resamples)
    rows = []
    for other in pairs.columns.drop(method):
        mine, theirs = pairs[method].to_numpy(), pairs[other].to_numpy()
        d = mine - theirs
        low, high = _interval(d, interval, confidence, resamples, np.random.default_rng(seed))
        rows.append(
            {
                "method": method,
                "other": other,
                "metric": metric,
                "unit": unit,
                "n": len(d),
                "mean": mine.mean(),
                "other_mean": theirs.mean(),
                "difference": d.mean(),
                "relative": d.mean() / theirs.mean() if theirs.mean() else float("nan"),
                "low": low,
                "high": high,
                "interval": interval,
                "d_z": effect_size(d),
                "better": (d > 0).mean(),
                "equal": (d == 0).mean(),
                "worse": (d < 0).mean(),
                **{f"p_{test}": _p_value(test, d, resamples, np.random.default_rng(seed)) for test in tests},
            }
        )
    return with_holm(pd.DataFrame(rows))


def with_holm(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Comparisons with their p-values corrected by Holm as one family, whether or not they were before.

    Args:
        comparisons: rows of :func:`paired_over_users` or :func:`paired_over_seeds`.

    Returns:
        The rows with ``p_…_holm`` beside each ``p_…``.

    >>> with_holm(pd.DataFrame({"p_t": [0.01, 0.04, 0.03]}))["p_t_holm"].tolist()
    [0.03, 0.06, 0.06]
    """
    corrected = {}
    gc.freeze()  # multipletests collects garbage, which takes long beside a large heap: put that aside
    try:
        for column in [f"p_{test}" for test in TESTS if f"p_{test}" in comparisons]:
            corrected[f"{column}_holm"] = multipletests(comparisons[column], method="holm")[1]
    finally:
        gc.unfreeze()
    return comparisons.assign(**corrected)


def _check(tests: Sequence[str], interval: str, confidence: float, resamples: int) -> None:
    unknown = [test for test in tests if test not in TESTS]
    if unknown or not tests:
        raise ValueError(f"tests is {list(tests)}; allowed: some of {', '.join(TESTS)}")
    if interval not in INTERVALS:
        raise ValueError(f"interval is {interval!r}; allowed: {', '.join(INTERVALS)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; allowed: between 0 and 1")
    if resamples < 99:
        raise ValueError(f"resamples is {resamples}; allowed: 99 or more")


def effect_size(differences: np.ndarray) -> float:
    """Cohen's d_z: mean over s.d. (n − 1) of paired differences; infinite where all are the same and not 0.

    >>> effect_size(np.array([1.0, 2.0, 3.0]))
    2.0
    """
    mean = float(np.mean(differences))
    if np.ptp(differences) == 0:
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    return mean / float(np.std(differences, ddof=1))


def _p_value(test: str, d: np.ndarray, resamples: int, random: np.random.Generator) -> float:
    """Two-sided p-value of paired differences [n]; 1 where all are 0."""
    moved = d[d != 0]
    if not len(moved):
        return 1.0
    if test == "t":
        with np.errstate(all="ignore"):
            return 0.0 if np.ptp(d) == 0 else float(stats.ttest_rel(d, np.zeros_like(d)).pvalue)
    if test == "wilcoxon":
        exact = len(d) == len(moved) <= EXACT_WILCOXON and len(np.unique(np.abs(d))) == len(d)
        with warnings.catch_warnings():  # zeros or ties among fewer than 10 rule out the exact distribution
            warnings.filterwarnings("ignore", message="Sample size too small for normal approximation")
            return float(stats.wilcoxon(d, zero_method="pratt", method="exact" if exact else "approx").pvalue)
    return 1.0 if len(moved) == 1 else _sign_flips(moved, resamples, random)


def _sign_flips(moved: np.ndarray, resamples: int, random: np.random.Generator) -> float:
    """Randomisation test of paired differences, none of them 0 (that is the same under either sign) [n].

    Goes through all 2^n sign flips where these are not more than ``resamples``, and draws that many otherwise.
    """
    batch = max(1, _RESAMPLED_AT_ONCE // len(moved))
    if 2.0 ** min(len(moved), 1000) <= resamples:
        found = stats.permutation_test((moved,), np.sum, permutation_type="samples", n_resamples=resamples, batch=batch)
    else:  # what permutation_test does for more, ten times faster
        found = stats.monte_carlo_test(
            moved,
            lambda size: moved * random.choice(_SIGNS, size),
            np.sum,
            n_resamples=resamples,
            batch=batch,
        )
    return float(found.pvalue)


def _interval(
    d: np.ndarray, interval: str, confidence: float, resamples: int, random: np.random.Generator
) -> tuple[float, float]:
    """Confidence interval of the mean of paired differences [n]."""
    if np.ptp(d) == 0:
        return float(d[0]), float(d[0])
    if interval == "t":
        found = stats.t.interval(confidence, len(d) - 1, loc=d.mean(), scale=stats.sem(d))
        return float(found[0]), float(found[1])
    bounds = stats.bootstrap(
        (d,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _RESAMPLED_AT_ONCE // len(d)),
        confidence_level=confidence,
        method="BCa",
        random_state=random,
    ).confidence_interval
    return float(bounds.low), float(bounds.high)


def _some(values: Iterable[object]) -> str:
    """Up to five of some values, and how many more.

    >>> _some(range(7))
    '0, 1, 2, 3, 4 and 2 more'
    """
    ordered = list(values)
    rest = len(ordered) - 5
    return ", ".join(map(str, ordered[:5])) + (f" and {rest} more" if rest > 0 else "")


def _named(row: pd.Series, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {row[key]}" for key in keys)
