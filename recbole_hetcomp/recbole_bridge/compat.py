"""What RecBole 1.2.1 needs to run with today's libraries, one shim a function, applied only when needed.

Everything that can be solved by a version range is solved in ``setup.py`` instead.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any, Callable

import torch

from recbole_hetcomp.recbole_bridge import restricted_pickle

_APPLIED = "_recbole_hetcomp_shim"


def torch_version() -> tuple[int, int]:
    """Major and minor version of the installed torch."""
    major, minor = torch.__version__.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def load_recbole_checkpoints(revive: Callable[[dict], dict]) -> None:
    """Let RecBole's own modules read both their checkpoints and ours.

    Reason: since torch 2.6 ``torch.load`` defaults to ``weights_only=True``, which refuses RecBole's
    checkpoints (they pickle a ``Config``), so ``Trainer.evaluate``, ``resume_checkpoint`` and
    ``load_data_and_model`` fail. Versions: torch >= 2.6 for RecBole's files, every torch for ours, which hold
    plain data where RecBole expects a ``Config``.

    Only calls that come from a ``recbole.*`` module and leave ``weights_only`` open are touched; they are answered by
    :func:`~recbole_hetcomp.recbole_bridge.restricted_pickle.load_checkpoint`.

    Args:
        revive: turns the content of one of our checkpoints into what RecBole expects, and returns anything
            else unchanged.
    """
    original = torch.load
    if hasattr(original, _APPLIED):
        return

    @functools.wraps(original)
    def load(f: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith("recbole.") or kwargs.get("weights_only") is not None:
            return original(f, *args, **kwargs)
        return restricted_pickle.load_checkpoint(original, revive, f, *args, **kwargs)

    setattr(load, _APPLIED, True)
    torch.load = load


def silence_grad_scaler_warning() -> None:
    """Hide one deprecation warning per epoch.

    Reason: RecBole's trainer builds ``torch.cuda.amp.GradScaler`` every epoch, deprecated since torch 2.4 in favour
    of ``torch.amp.GradScaler``. On a machine without CUDA it also says that it is disabled.
    """
    if torch_version() >= (2, 4):
        warnings.filterwarnings("ignore", message=r".*torch\.cuda\.amp\.GradScaler.*", category=FutureWarning)


def silence_chained_assignment_warning() -> None:
    """Hide what pandas 2 says of RecBole's ``feat[field].fillna(..., inplace=True)``, which works there.

    Reason: RecBole's ``Dataset`` is written for pandas 1; with pandas 2 every run would open with these warnings.
    """
    message = "A value is trying to be set on a copy of a DataFrame or Series through chained assignment"
    warnings.filterwarnings("ignore", message=message, category=FutureWarning)


def silence_pkg_resources_warning() -> None:
    """Hide the notice that Ray's first import prints.

    Reason: Ray <= 2.6.3, which RecBole imports, uses ``pkg_resources``, and setuptools 67 to 80 warn of its removal.
    ``setup.py`` keeps setuptools below 81, so the user can do nothing about it.
    """
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated as an API", category=UserWarning)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated as an API", category=DeprecationWarning)


def apply(revive: Callable[[dict], dict]) -> None:
    """Apply every shim that this machine's libraries need. Harmless when called again."""
    load_recbole_checkpoints(revive)
    silence_grad_scaler_warning()
    silence_chained_assignment_warning()
