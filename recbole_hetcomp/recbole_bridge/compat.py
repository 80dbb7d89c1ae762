"""What RecBole 1.2.1 needs to run with today's libraries, one shim a function, each applied once and only if needed.

:func:`before_recbole` acts before a module of RecBole is imported; :func:`in_data_sets` on its data set's module.
How RecBole reads checkpoints stands in :mod:`~recbole_hetcomp.recbole_bridge.restricted_pickle`.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch

from recbole_hetcomp import ray_api
from recbole_hetcomp.extras import require
from recbole_hetcomp.kept import entry_kept
from recbole_hetcomp.recbole_bridge.wrapping import called_by_recbole, wrap

_NUMPY_1_NAMES = {
    "bool8": np.bool_,
    "float_": np.float64,
    "complex_": np.complex128,
    "unicode_": np.str_,
    "string_": np.bytes_,
}


def _version(module: ModuleType) -> tuple[int, int]:
    major, minor = module.__version__.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def put_numpy_names_back() -> None:
    """NumPy >= 2 has no ``float_``, ``complex_`` and ``unicode_``.

    Where: ``Config.compatibility_settings``; ``bool8`` in the logger of Ray <= 2.6.
    """
    for name, value in _NUMPY_1_NAMES.items():
        if name not in vars(np):
            setattr(np, name, value)


def put_dok_update_back() -> None:
    """SciPy >= 1.13 has no ``dok_matrix._update(entries)``, which took entries without checking them.

    Where: GCMC, LightGCN, NCL, NGCF, SpectralCF, KGIN and MCCLK build their adjacency matrix by it.
    """
    if hasattr(scipy.sparse.dok_matrix, "_update"):
        return

    def _update(self: Any, entries: dict[tuple[int, int], Any]) -> None:
        self._dict.update(entries)

    scipy.sparse.dok_matrix._update = _update


class _PandasOfRecBole(ModuleType):
    """pandas as RecBole's data set was written for: text columns hold objects, and sequences no missing values.

    All but :meth:`read_csv` is pandas' own.
    """

    def __init__(self) -> None:
        super().__init__("pandas")

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)

    def read_csv(self, *args: Any, **kwargs: Any) -> pd.DataFrame:
        with pd.option_context("future.infer_string", False):
            frame = pd.read_csv(*args, **kwargs)
        for column in frame.columns:
            if str(column).endswith("_seq"):
                frame[column] = frame[column].fillna("")
        return frame


def fill_missing_values(dataset: Any) -> None:
    """What RecBole's ``Dataset._fill_nan`` does to columns of tokens and numbers: 0, and the column's mean.

    Versions: pandas >= 3, where RecBole's ``feat[field].fillna(..., inplace=True)`` changes a copy and nothing else:
    missing values stay, without an error.
    """
    for name in dataset.feat_name_list:
        frame = getattr(dataset, name)
        for field in frame:
            kind = dataset.field2type[field].value
            if kind in ("token", "float") and frame[field].isna().any():
                frame[field] = frame[field].fillna(0 if kind == "token" else frame[field].mean())


def is_pandas_3() -> bool:
    """Whether this pandas copies a column before it is changed in place, and has a type of its own for text."""
    return _version(pd) >= (3, 0)


def in_data_sets(module: Any) -> None:
    """Give RecBole's data set module the pandas that it was written for.

    Versions: pandas >= 3, whose text columns are of a type of their own, and where the empty text that RecBole puts
    into empty sequences (``_load_feat``) is lost.
    """
    if is_pandas_3() and not isinstance(module.pd, _PandasOfRecBole):
        module.pd = _PandasOfRecBole()


class _Tune:
    """``ray.tune`` as ``recbole.quick_start`` uses it: imported when it is used, in any version of Ray's own way."""

    def report(self, **metrics: Any) -> None:
        require("RecBole's objective_function reports to Ray", "ray")
        ray_api.report(metrics)


def put_lengths_back() -> None:
    """pandas >= 3 answers ``series.agg(len)`` with the series' length; up to 2 it was each element's.

    Where: RecBole's data sets split sequences by it (``_remap``, ``_normalize``, ``_discretization`` and more). Only
    calls from a ``recbole.*`` module are touched.
    """

    def with_lengths(original: Callable) -> Callable:
        @functools.wraps(original)
        def agg(self: pd.Series, func: Any = None, *args: Any, **kwargs: Any) -> Any:
            return self.map(len) if func is len and called_by_recbole() else original(self, func, *args, **kwargs)

        return agg

    if is_pandas_3():
        wrap(pd.Series, "agg", with_lengths)


@contextmanager
def without_ray() -> Iterator[None]:
    """While RecBole is imported, ``from ray import tune`` gives :class:`_Tune`.

    Where: ``recbole.quick_start.quick_start``. Ray need not be installed then, a run does not wait for it, it does not
    take SIGTERM over, and RecBole's ``tune.report(**metrics)`` suits Ray >= 2.7 too.
    """
    stand_in: Any = ModuleType("ray")
    stand_in.tune = _Tune()
    with entry_kept(sys.modules, "ray"):
        sys.modules["ray"] = stand_in
        yield


def silence_grad_scaler_warning() -> None:
    """RecBole's trainer builds ``torch.cuda.amp.GradScaler`` every epoch, deprecated since torch 2.4.

    On a machine without CUDA it also says that it is disabled.
    """
    if _version(torch) >= (2, 4):
        warnings.filterwarnings("ignore", message=r".*torch\.cuda\.amp\.GradScaler.*", category=FutureWarning)


def silence_chained_assignment_warning() -> None:
    """What pandas >= 2 says of ``feat[field].fillna(..., inplace=True)``, which works in 2 and is mended in 3."""
    message = "A value is (trying to be|being) set on a copy of a DataFrame or Series"
    kind = pd.errors.ChainedAssignmentError if is_pandas_3() else FutureWarning
    warnings.filterwarnings("ignore", message=message, category=kind, module=r"recbole\.data\.")


def silence_read_only_warning() -> None:
    """pandas >= 3 gives out columns that cannot be written to, and torch warns where it takes one over.

    Where: ``Dataset._dataframe_to_interaction``. RecBole writes into none of these tensors.
    """
    if is_pandas_3():
        message = "The given NumPy array is not writable"
        warnings.filterwarnings("ignore", message=message, category=UserWarning, module=r"recbole\.data\.")


def before_recbole() -> None:
    """Apply what must be there before RecBole's modules are imported. Harmless when called again."""
    put_numpy_names_back()
    put_dok_update_back()
    put_lengths_back()
    silence_grad_scaler_warning()
    silence_chained_assignment_warning()
    silence_read_only_warning()
    ray_api.silence_pkg_resources_warning()
    with without_ray():
        import recbole.quick_start.quick_start  # noqa: F401
