"""Teaches RecBole the plugin's models, trainers, loaders and property files, without writing a file into it.

RecBole finds a model by its module's name below ``recbole.model``, a trainer as an attribute of ``recbole.trainer``,
property files beside its own source, and a loader in a table inside a function. The first two are given to it where
it looks; for the other two one method and one function are wrapped.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import recbole
import recbole.data.utils
import recbole.model.general_recommender as general_recommender
import recbole.quick_start
import recbole.quick_start.quick_start as recbole_quick_start
import recbole.trainer
from recbole.config import Config

from recbole_hetcomp.methods._students.cd import CD
from recbole_hetcomp.methods._students.cldrd import CLDRD
from recbole_hetcomp.methods._students.dcd import DCD
from recbole_hetcomp.methods._students.hetcomp import HetComp
from recbole_hetcomp.methods._students.mtd import MTD
from recbole_hetcomp.methods._students.nokd import NoKD
from recbole_hetcomp.methods._students.rcekd import RCEKD
from recbole_hetcomp.methods._students.rd import RD
from recbole_hetcomp.methods._students.rrd import RRD
from recbole_hetcomp.methods._students.unkd import UnKD
from recbole_hetcomp.methods.hetcomp import HetCompTrainer
from recbole_hetcomp.recbole_bridge import compat
from recbole_hetcomp.recbole_bridge.checkpoint import revive
from recbole_hetcomp.recbole_bridge.config import PRESETS, HetCompSettings, backbone_config, read_properties
from recbole_hetcomp.recbole_bridge.loaders import CatalogueEvalDataLoader, ItemDataLoader
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.teachers.cml import CML
from recbole_hetcomp.teachers.ensemble import TeacherEnsemble, TeacherEnsembleTrainer
from recbole_hetcomp.teachers.imported_ranking import ImportedRanking
from recbole_hetcomp.teachers.itemvae import ItemVAE

_FAMILIES = (
    "general_recommender",
    "context_aware_recommender",
    "sequential_recommender",
    "knowledge_aware_recommender",
    "exlib_recommender",
)


@dataclass(frozen=True)
class Registration:
    """One model of the plugin.

    Attributes:
        model: its class.
        trainer: its RecBole trainer class, or None for RecBole's choice.
        loader: its training loader class, or None for RecBole's choice.
    """

    model: type
    trainer: type | None = None
    loader: type | None = None


_REGISTERED: dict[str, Registration] = {}


def register_model(model: type, trainer: type | None = None, loader: type | None = None) -> type:
    """Make RecBole know a model class by its name, in this process.

    Args:
        model: a RecBole model class.
        trainer: its trainer, where it is not RecBole's choice.
        loader: its training loader, where it is not RecBole's choice.

    Returns:
        The model class.

    Raises:
        ValueError: RecBole, or somebody else, has a model of this name already.
    """
    name = model.__name__
    known = _REGISTERED.get(name)
    if known is not None and known.model is model:
        return model
    taken = _place_of(name)
    if taken is not None:
        raise ValueError(f"model name {name!r} is taken: RecBole finds {taken} under it")
    if trainer is not None and hasattr(recbole.trainer, f"{name}Trainer"):
        raise ValueError(f"trainer name '{name}Trainer' is taken in recbole.trainer")
    _REGISTERED[name] = Registration(model, trainer, loader)
    alias = ModuleType(f"recbole.model.general_recommender.{name.lower()}", f"Where RecBole looks for {name}.")
    alias.__spec__ = ModuleSpec(alias.__name__, None)
    setattr(alias, name, model)
    sys.modules[alias.__name__] = alias
    setattr(general_recommender, name, model)
    if trainer is not None:
        setattr(recbole.trainer, f"{name}Trainer", trainer)
    return model


def _place_of(name: str) -> str | None:
    """The module that RecBole's get_model finds for a name, or None.

    Looks at files: importing RecBole's families for a look would import their optional dependencies.
    """
    for family in _FAMILIES:
        module = f"recbole.model.{family}.{name.lower()}"
        file = Path(recbole.__file__).parent / "model" / family / f"{name.lower()}.py"
        if module in sys.modules or file.is_file():
            return module
    return None


def registered() -> dict[str, Registration]:
    """The plugin's models by name."""
    return dict(_REGISTERED)


def register() -> None:
    """Register everything. Harmless when called again."""
    compat.apply(revive)
    _wrap(Config, "_load_internal_config_dict", _with_plugin_properties)
    _wrap(Config, "__init__", _with_configuration)
    _wrap(recbole.data.utils, "get_dataloader", _with_plugin_loaders)
    _wrap(recbole_quick_start, "run_recboles", _in_spawned_processes)
    recbole.quick_start.run_recboles = recbole_quick_start.run_recboles  # the package's own reference to it
    register_model(CML)
    register_model(ItemVAE, loader=ItemDataLoader)
    register_model(ImportedRanking)
    register_model(TeacherEnsemble, trainer=TeacherEnsembleTrainer)
    register_model(HetComp, trainer=HetCompTrainer)
    for model in (NoKD, RD, CD, RRD, MTD, CLDRD, DCD, UnKD, RCEKD):
        method = importlib.import_module(f"recbole_hetcomp.methods.{model.__name__.lower()}")
        register_model(model, trainer=getattr(method, f"{model.__name__}Trainer"))


def _wrap(owner: Any, name: str, wrapper: Callable[[Callable], Callable]) -> None:
    original = getattr(owner, name)
    if getattr(original, "_recbole_hetcomp", False):
        return
    wrapped = wrapper(original)
    wrapped._recbole_hetcomp = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)


def _with_plugin_properties(original: Callable) -> Callable:
    """RecBole reads its own property files, then the plugin's for the plugin's models."""

    @functools.wraps(original)
    def load(self: Config, model: str, model_class: type, dataset: str) -> Any:
        result = original(self, model, model_class, dataset)
        if model in _REGISTERED and _REGISTERED[model].model is model_class:
            self.internal_config_dict.update(_plugin_defaults(self, model_class, model))
        return result

    return load


def _plugin_defaults(config: Config, model_class: Any, name: str) -> dict[str, Any]:
    files = getattr(model_class, "property_files", ())
    defaults: dict[str, Any] = read_properties("overall") if files else {}
    if hasattr(model_class, "properties"):
        defaults.update(model_class.properties(config))
    for file in files:
        defaults.update(read_properties("model", file))
    preset = config.external_config_dict.get("preset")
    if files and preset is not None:
        if preset not in PRESETS:
            raise ValueError(f"preset={preset!r} is not allowed: one of {', '.join(PRESETS)}")
        defaults.update(read_properties("preset", preset))
    if name not in files:  # what is a method's own, over a preset of the settings that it shares with HetComp
        defaults.update(read_properties("model", name))
    return defaults


def _with_configuration(original: Callable) -> Callable:
    """A plugin model checks its settings as soon as its Config is built."""

    @functools.wraps(original)
    def initialise(self: Config, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        entry = _REGISTERED.get(self.model)
        if entry is not None and hasattr(entry.model, "configure"):
            entry.model.configure(self)

    return initialise


def _with_plugin_loaders(original: Callable) -> Callable:
    """The plugin's models get the training loader that they need, and evaluation batches of the catalogue's size."""

    @functools.wraps(original)
    def get_dataloader(config: Config, phase: str) -> Any:
        entry = _REGISTERED.get(config["model"])
        if entry is None:
            return original(config, phase)
        if phase == "train" and entry.loader is not None:
            return entry.loader
        if phase == "train" and issubclass(entry.model, DistilledStudent):
            return get_dataloader(backbone_config(config, HetCompSettings.from_config(config)), phase)
        if phase != "train" and config["eval_args"]["mode"][phase] == "full":
            return CatalogueEvalDataLoader
        return original(config, phase)

    return get_dataloader


def _in_spawned_processes(original: Callable) -> Callable:
    """``recbole.quick_start.run`` spawns processes by a function of ours, so that they import the plugin."""
    return _SpawnedRun(original)


class _SpawnedRun:
    def __init__(self, original: Callable) -> None:
        functools.update_wrapper(self, original)

    def __call__(self, rank: int, *args: Any) -> Any:
        return self.__wrapped__(rank, *args)  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple:
        return _spawned_run, ()


def _spawned_run() -> Callable:
    """Unpickled in a new process: importing this module has registered the plugin there."""
    register()
    return recbole_quick_start.run_recboles
