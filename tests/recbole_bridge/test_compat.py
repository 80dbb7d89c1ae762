"""Each shim: what it puts back, that it does nothing where nothing is missing, and that it is applied once."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import recbole_hetcomp  # noqa: F401
from recbole_hetcomp import ray_api
from recbole_hetcomp.recbole_bridge import compat


def test_numpy_has_the_names_that_recbole_takes():
    from recbole.config import Config

    Config.compatibility_settings(None)
    assert np.float is np.float_ is np.float64  # type: ignore[attr-defined]
    assert np.unicode is np.str_  # type: ignore[attr-defined]


def test_names_that_are_there_stay(monkeypatch):
    monkeypatch.setattr(np, "float_", "kept", raising=False)
    monkeypatch.delattr(np, "bool8", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.put_numpy_names_back()
    assert (np.float_, np.bool8) == ("kept", np.bool_)  # type: ignore[attr-defined]


def test_a_dok_matrix_takes_entries_as_they_are():
    matrix = scipy.sparse.dok_matrix((2, 3), dtype=np.float32)
    matrix._update({(0, 1): 1, (1, 2): 2})
    assert matrix.toarray().tolist() == [[0, 1, 0], [0, 0, 2]]
    assert matrix.tocoo().dtype == np.float32


def test_only_recbole_gets_each_elements_length():
    series = pd.Series([[1, 2], [], [3]])
    asked = {"__name__": "recbole.data.any", "series": series}
    exec("lengths = series.agg(len)", asked)
    assert asked["lengths"].tolist() == [2, 0, 1]
    if compat.is_pandas_3():
        assert series.agg(len) == 3
    assert pd.Series([1, 2]).agg("sum") == 3


def test_applied_twice_is_applied_once():
    before = pd.Series.agg, scipy.sparse.dok_matrix._update, np.float_, sys.modules.get("ray")
    compat.before_recbole()
    assert before == (pd.Series.agg, scipy.sparse.dok_matrix._update, np.float_, sys.modules.get("ray"))


def test_recbole_does_not_wait_for_ray(python):
    code = "import sys, recbole_hetcomp, recbole.quick_start; assert 'ray' not in sys.modules; import ray; ray.remote"
    python(code)


def test_what_recbole_reports_reaches_ray_in_its_own_way(monkeypatch):
    import recbole.quick_start.quick_start as quick_start

    seen = []
    monkeypatch.setattr(ray_api, "report", seen.append)
    quick_start.tune.report(recall=0.5, ndcg=0.25)
    assert seen == [{"recall": 0.5, "ndcg": 0.25}]


def test_a_ray_workers_own_words_are_no_settings(monkeypatch):
    from recbole.config import Config

    words = ["--worker-id=12", "--node-ip-address=127.0.0.1", "--epochs=7"]
    monkeypatch.setattr(sys, "argv", ["/any/ray/_private/workers/default_worker.py", *words])
    assert ray_api.is_worker()
    assert Config(model="HetComp", dataset="ml-100k")["epochs"] != 7
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs=7"])
    assert Config(model="HetComp", dataset="ml-100k")["epochs"] == 7


@pytest.mark.skipif(not compat.is_pandas_3(), reason="pandas 2 fills in place")
def test_without_its_shim_missing_values_would_stay(tmp_path):
    frame = pd.DataFrame({"rating": [1.0, np.nan]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame["rating"].fillna(0, inplace=True)  # as RecBole does
    assert frame["rating"].isna().any()
