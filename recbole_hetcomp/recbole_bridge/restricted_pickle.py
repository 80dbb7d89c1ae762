"""A pickle module that makes only what RecBole's checkpoints hold: its Config, enumerations, tensors, arrays, matrices.

``torch.load(file, pickle_module=restricted_pickle, weights_only=False)`` reads a checkpoint of RecBole's without
letting it name anything else. Reading with ``TRUST`` set in the environment puts no limit on a file.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import torch
from recbole.model.abstract_recommender import AbstractRecommender

from recbole_hetcomp.files import DamagedFileError, verify_archive
from recbole_hetcomp.recbole_bridge.wrapping import called_by_recbole, wrap

TRUST = "HETCOMP_TRUST_CHECKPOINTS"

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as protocol 2, which torch.save uses, names them
_ALLOWED = {
    "_codecs": {"encode"},
    "builtins": {"bytearray", "complex", "dict", "frozenset", "int", "list", "object", "set", "slice", "tuple"},
    "collections": {"Counter", "OrderedDict", "defaultdict"},
    "copyreg": {"_reconstructor"},
    "numpy": {"dtype", "matrix", "ndarray"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "recbole.config.configurator": {"Config"},
    "torch": {"Size", "device", "dtype"},
    "torch._utils": {"_rebuild_parameter", "_rebuild_sparse_tensor", "_rebuild_tensor_v2"},
    "torch.serialization": {"_get_layout"},
    "yaml.loader": {"FullLoader"},
}
_CLASSES_OF = ("recbole.model.", "recbole.utils.enum_type", "scipy.sparse.")
_LEFT_OUT = ("torch.nn.modules.", "recbole.data.", "recbole.sampler.")


class _LeftOut:
    """In place of a layer, and of the data set inside it, that some models (DIN, SASRecF) keep beside their weights.

    It runs nothing and holds nothing. The model makes the layer itself, and its weights are among the others.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> _LeftOut:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Whatever it was to be made of."""

    def __setstate__(self, state: Any) -> None:
        """Whatever it was to hold."""


class Unpickler(pickle.Unpickler):
    """Refuses every name that a checkpoint of RecBole's does not need."""

    def find_class(self, module: str, name: str) -> Any:
        """The class, or one of the functions that put arrays and tensors together.

        Raises:
            pickle.UnpicklingError: it is none of them; names it and the way to read the file all the same.
        """
        if name in _ALLOWED.get(_PYTHON_2.get(module, module), ()):
            return super().find_class(module, name)
        if module in ("torch", "torch.storage"):
            found = super().find_class(module, name)
            if isinstance(found, torch.dtype) or (isinstance(found, type) and name.endswith("Storage")):
                return found
        loaded = getattr(sys.modules.get(module), name, None)
        if isinstance(loaded, type) and issubclass(loaded, AbstractRecommender):
            return loaded  # a Config holds its model's class, also of a model that is not RecBole's
        if module.startswith(_LEFT_OUT) or (module, name) == ("logging", "getLogger"):
            return _LeftOut
        if module.startswith(_CLASSES_OF):
            found = super().find_class(module, name)
            if isinstance(found, type) and issubclass(found, torch.nn.Module):
                return _LeftOut
            if isinstance(found, type) and found.__module__.startswith(_CLASSES_OF):
                return found
        raise pickle.UnpicklingError(
            f"the file names {module}.{name}, which no checkpoint of RecBole's needs; if you trust whoever made it, "
            f"set {TRUST}=1 in the environment"
        )


def load(file: Any, **options: Any) -> Any:
    """As ``pickle.load``."""
    return Unpickler(file, **options).load()


def load_checkpoint(torch_load: Callable[..., Any], revive: Callable[[Any], Any], f: Any, *args: Any, **kw: Any) -> Any:
    """A checkpoint of ours or of RecBole's, with nothing run that it names.

    A file's checksums are verified first, which torch does not do: an altered weight would be taken as it is. It is
    then read as weights and plain data; one of RecBole's own format with what its checkpoints need and nothing else.

    Args:
        torch_load: ``torch.load`` itself.
        revive: turns the content of one of our checkpoints into what RecBole expects.
        f: the file, and what else ``torch.load`` takes.

    Raises:
        DamagedFileError: it is truncated, altered or no checkpoint at all.
        pickle.UnpicklingError: it names something else.
    """
    if isinstance(f, (str, os.PathLike)) and _is_archive(f):
        verify_archive(os.fspath(f))
    load = _saying_what_is_wrong(torch_load, f)
    try:
        return revive(load(f, *args, **{**kw, "weights_only": True}))
    except pickle.UnpicklingError:
        if os.environ.get(TRUST) == "1":
            return load(f, *args, **{**kw, "weights_only": False})
    restricted = sys.modules[__name__]
    content = load(f, *args, **{**kw, "weights_only": False, "pickle_module": restricted})
    if isinstance(content, dict) and isinstance(content.get("other_parameter"), dict):
        kept = {name: value for name, value in content["other_parameter"].items() if not isinstance(value, _LeftOut)}
        content["other_parameter"] = kept
    return revive(content)


def _saying_what_is_wrong(torch_load: Callable[..., Any], file: Any) -> Callable[..., Any]:
    """``torch.load``, of whose many errors on what is no checkpoint one is made that names the file."""

    def load(*args: Any, **kwargs: Any) -> Any:
        try:
            return torch_load(*args, **kwargs)
        except (OSError, MemoryError, pickle.UnpicklingError):
            raise
        except Exception as error:  # unpickling raises errors of any kind on what is no pickle
            said = " ".join(str(error).split())
            raise DamagedFileError(f"{file} cannot be read as a checkpoint: {type(error).__name__}: {said}") from error

    return load


def guard_torch_load(revive: Callable[[Any], Any]) -> None:
    """Let RecBole's own modules read both their checkpoints and ours.

    Reason: since torch 2.6 ``torch.load`` defaults to ``weights_only=True``, which refuses RecBole's
    checkpoints (they pickle a ``Config``), so ``Trainer.evaluate``, ``resume_checkpoint`` and
    ``load_data_and_model`` fail. Versions: torch >= 2.6 for RecBole's files, every torch for ours, which hold
    plain data where RecBole expects a ``Config``.

    Only calls that come from a ``recbole.*`` module and leave ``weights_only`` open are touched; they are answered by
    :func:`load_checkpoint`. Harmless when called again.

    Args:
        revive: turns the content of one of our checkpoints into what RecBole expects, and returns anything
            else unchanged.
    """

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def load(f: Any, *args: Any, **kwargs: Any) -> Any:
            if called_by_recbole() and kwargs.get("weights_only") is None:
                return load_checkpoint(original, revive, f, *args, **kwargs)
            return original(f, *args, **kwargs)

        return load

    wrap(torch, "load", guarded)


def _is_archive(file: Any) -> bool:
    """Whether a file is of torch's format since 1.6, which has checksums."""
    with open(file, "rb") as stream:
        return stream.read(2) == b"PK"
