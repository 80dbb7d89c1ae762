"""The share of a mean and its interval: by hand, against a loop, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.metrics.share import share_of_means


def test_by_hand():
    found = share_of_means(np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.0, 1.0]))
    assert found.share == 0.5
    assert 0 <= found.low < 0.5 < found.high <= 1


def test_two_users_are_kept_together():
    """Users differ a hundredfold, but each keeps about nine tenths: the interval is narrow all the same."""
    random = np.random.default_rng(0)
    theirs = 10 ** random.uniform(-2, 0, 200)
    found = share_of_means(theirs * random.normal(0.9, 0.01, 200), theirs)
    assert found.high - found.low < 0.01
    apart = share_of_means(random.permutation(theirs) * 0.9, theirs)
    assert apart.high - apart.low > 0.1


def test_against_a_loop_of_resamples():
    random = np.random.default_rng(1)
    theirs = random.random(60)
    mine = np.clip(theirs + random.normal(-0.05, 0.2, 60), 0, None)
    draws = [random.integers(0, 60, 60) for _ in range(4000)]
    shares = [mine[rows].mean() / theirs[rows].mean() for rows in draws]
    found = share_of_means(mine, theirs, resamples=4000)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(shares, [2.5, 97.5])), abs=0.02)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=2, max_size=30), factor=st.floats(0, 2))
def test_the_interval_holds_the_share_and_scales_with_it(values, factor):
    mine, theirs = (np.array(column) for column in zip(*values))
    found = share_of_means(mine, theirs, resamples=499)
    assert found.low <= found.share + 0.05
    assert found.low <= found.high
    exact = share_of_means(theirs * factor, theirs, resamples=499)
    assert (exact.low, exact.high) == pytest.approx((factor, factor))
    assert exact.share == pytest.approx(factor)


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [([0.1], [0.1], "2 or more"), ([0.1, 0.2], [0.1], "shapes"), ([0.1, 0.2], [0.0, 0.0], "above 0")],
)
def test_what_has_no_share(mine, theirs, said):
    with pytest.raises(ValueError, match=said):
        share_of_means(np.array(mine), np.array(theirs))
