"""The front: against a loop over all pairs, and what is not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from recbole_hetcomp.deployment.pareto import pareto_front, write_pareto

VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


@given(values=VALUES)
def test_no_other_is_as_good_and_as_cheap_and_better_in_one(values):
    accuracy, size, time = (np.array(column, dtype=float) for column in zip(*values))
    expected = [
        not any(a >= b and c <= d and e <= f and (a, c, e) != (b, d, f) for a, c, e in values) for b, d, f in values
    ]
    assert pareto_front(accuracy, size, time).tolist() == expected


def test_what_is_not_known_is_on_no_front_and_beats_nothing():
    found = pareto_front(np.array([0.9, 0.5, np.nan]), np.array([np.nan, 2.0, 1.0]))
    assert found.tolist() == [False, True, False]


def test_a_picture_with_and_without_times(tmp_path):
    table = pd.DataFrame({"name": ["a", "b"], "role": ["student", "teacher"], "ndcg@50": [0.2, 0.3]})
    table["bytes"], table["pareto"] = [10.0, 100.0], [True, True]
    for number, times in enumerate(([np.nan, np.nan], [1.0, 2.0])):
        file = tmp_path / f"{number}.png"
        write_pareto(table.assign(p95_ms=times), "ndcg@50", file, {"bytes": 50.0}, chosen=0)
        assert file.read_bytes()[:4] == b"\x89PNG"
