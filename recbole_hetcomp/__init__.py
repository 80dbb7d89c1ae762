"""recbole-hetcomp: distil an ensemble of different recommenders into one small, fast RecBole model.

Importing this package registers its models with RecBole, at once if RecBole is imported, otherwise as soon as it is:
help, shell completion and :mod:`recbole_hetcomp.core`, the algorithm itself, neither wait for RecBole nor need it.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from recbole_hetcomp.extras import RECBOLE, is_installed
from recbole_hetcomp.signals import take_back
from recbole_hetcomp.version import __version__
from recbole_hetcomp.when_imported import when_imported

if TYPE_CHECKING:
    from recbole_hetcomp.methods import distillation_method
    from recbole_hetcomp.metrics.register import register_metric
    from recbole_hetcomp.recbole_bridge.quick_start import load_data_and_model, run
    from recbole_hetcomp.recbole_bridge.registry import register_model
    from recbole_hetcomp.serving.recommender import load

__all__ = [
    "__version__",
    "distillation_method",
    "load",
    "load_data_and_model",
    "register_metric",
    "register_model",
    "run",
]

_PUBLIC = {
    "distillation_method": "recbole_hetcomp.methods",
    "load": "recbole_hetcomp.serving.recommender",
    "load_data_and_model": "recbole_hetcomp.recbole_bridge.quick_start",
    "run": "recbole_hetcomp.recbole_bridge.quick_start",
    "register_metric": "recbole_hetcomp.metrics.register",
    "register_model": "recbole_hetcomp.recbole_bridge.registry",
}


def _register() -> None:
    """Make RecBole know the plugin's models: each registers itself when its module is imported."""
    from recbole_hetcomp.recbole_bridge import compat

    compat.before_recbole()

    from recbole_hetcomp.recbole_bridge import hooks

    hooks.install()
    for models in ("recbole_hetcomp.teachers", "recbole_hetcomp.methods"):
        importlib.import_module(models)

    from recbole_hetcomp.extensions import load_extensions

    load_extensions()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not is_installed("recbole"):
    warnings.warn(RECBOLE, stacklevel=2)
when_imported("recbole", _register)
when_imported("ray", take_back)
