"""Where RecBole has no place for a plugin: methods and functions of it that are wrapped, once.

Models and trainers need none of this (``registry``); property files, loaders, checks of a Config and new processes do.
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import recbole.data.dataset.dataset as recbole_dataset
import recbole.data.utils
import recbole.quick_start
import recbole.quick_start.quick_start as recbole_quick_start
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.evaluator.evaluator import Evaluator
from recbole.utils import ModelType

from recbole_hetcomp.ray_api import is_worker
from recbole_hetcomp.recbole_bridge import compat
from recbole_hetcomp.recbole_bridge.atomic_files import read_atomic_file
from recbole_hetcomp.recbole_bridge.checkpoint import revive
from recbole_hetcomp.recbole_bridge.loaders import CatalogueEvalDataLoader
from recbole_hetcomp.recbole_bridge.property_files import load_yaml
from recbole_hetcomp.recbole_bridge.recbole_settings import as_given, check_negatives, check_recbole_settings, is_text
from recbole_hetcomp.recbole_bridge.registry import registered, registration_of, teacher_defaults
from recbole_hetcomp.recbole_bridge.restricted_pickle import guard_torch_load
from recbole_hetcomp.recbole_bridge.wrapping import wrap


def install() -> None:
    """Wrap what is wrapped. Harmless when called again.

    A registered model class may say ``default_settings(config)`` (its defaults, over RecBole's), ``configure(config)``
    (checks, when a Config has been built) and ``loader_config(config)`` (the Config by which RecBole chooses its
    training loader).
    """
    guard_torch_load(revive)
    compat.in_data_sets(recbole_dataset)
    if compat.is_pandas_3():
        wrap(Dataset, "_fill_nan", _with_missing_values_filled)
    wrap(Config, "_load_internal_config_dict", _with_plugin_properties)
    wrap(Config, "__init__", _with_configuration)
    wrap(Config, "_set_default_parameters", _with_checked_values)
    wrap(Config, "_convert_config_dict", _without_execution)
    wrap(Config, "_load_cmd_line", _of_a_user)
    wrap(Config, "_load_config_files", _with_checked_files)
    wrap(Dataset, "_load_feat", _with_checked_lines)
    wrap(Dataset, "_change_feat_format", _in_exact_order)
    wrap(Evaluator, "evaluate", _in_plain_numbers)
    wrap(recbole.data.utils, "get_dataloader", _with_plugin_loaders)
    wrap(recbole_quick_start, "run_recboles", _in_spawned_processes)
    wrap(recbole_quick_start, "get_trainer", _with_report)
    wrap(recbole_quick_start, "data_preparation", _with_all_parts)
    wrap(recbole_quick_start, "init_logger", _with_short_opening)
    recbole.quick_start.run_recboles = recbole_quick_start.run_recboles  # the package's own reference to it


def _with_plugin_properties(original: Callable) -> Callable:
    """RecBole reads its own property files, then the plugin's for the plugin's models."""

    @functools.wraps(original)
    def load(self: Config, model: str, model_class: type, dataset: str) -> Any:
        result = original(self, model, model_class, dataset)
        entry = registered().get(model)
        if entry is not None and entry.model is model_class:
            own = getattr(model_class, "default_settings", None)
            self.internal_config_dict.update(teacher_defaults(model) if own is None else own(self))
        return result

    return load


def _with_configuration(original: Callable) -> Callable:
    """A plugin model checks its settings as soon as its Config is built."""

    @functools.wraps(original)
    def initialise(self: Config, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        entry = registered().get(self.model)
        if entry is not None and hasattr(entry.model, "configure"):
            entry.model.configure(self)

    return initialise


def _with_checked_values(original: Callable) -> Callable:
    """What makes no sense is refused before RecBole, or a model, trips over it."""

    @functools.wraps(original)
    def set_defaults(self: Config) -> None:
        check_recbole_settings(self.external_config_dict, self.final_config_dict, self.internal_config_dict)
        if "train_neg_sample_args" in self.external_config_dict:
            check_negatives(self.model, self.model_class, self.final_config_dict)
        original(self)

    return set_defaults


def _with_checked_files(original: Callable) -> Callable:
    """Config files are read by the one reader, and what cannot be read is named."""

    @functools.wraps(original)
    def load(self: Config, file_list: list[str] | None) -> dict[str, Any]:
        found = {key: value for file in file_list or () for key, value in load_yaml(Path(file)).items()}
        return {key: as_given(key, value) if is_text(key) else value for key, value in found.items()}

    return load


def _of_a_user(original: Callable) -> Callable:
    """RecBole takes settings from any process's command line; a Ray worker's is Ray's own (``--worker-id=…``)."""

    @functools.wraps(original)
    def load(self: Config) -> dict[str, Any]:
        return {} if is_worker() else original(self)

    return load


def _without_execution(original: Callable) -> Callable:
    """Texts in a Config become the values that they name; RecBole evaluates them as code, whoever wrote them."""

    @functools.wraps(original)
    def convert(self: Config, config_dict: dict[str, Any]) -> dict[str, Any]:
        for key, value in config_dict.items():
            config_dict[key] = as_given(key, value)
        return config_dict

    return convert


def _with_plugin_loaders(original: Callable) -> Callable:
    """The plugin's models get the training loader that they need, and evaluation batches of the catalogue's size."""

    @functools.wraps(original)
    def get_dataloader(config: Config, phase: str) -> Any:
        entry = registration_of(config)
        if entry is None:
            return original(config, phase)
        if phase == "train" and entry.loader is not None:
            return entry.loader
        if phase == "train" and hasattr(entry.model, "loader_config"):
            return get_dataloader(entry.model.loader_config(config), phase)
        if phase != "train" and config["eval_args"]["mode"][phase] == "full":
            return CatalogueEvalDataLoader
        return original(config, phase)

    return get_dataloader


def _with_checked_lines(original: Callable) -> Callable:
    """What RecBole would trip over or misread is refused with its line: an id that it makes its padding, and more."""

    @functools.wraps(original)
    def load(self: Dataset, filepath: str, source: Any) -> Any:
        return read_atomic_file(self, Path(filepath), source, lambda: original(self, filepath, source))

    return load


def _with_missing_values_filled(original: Callable) -> Callable:
    """RecBole fills missing values in a way that some versions of pandas take for a change of a copy."""

    @functools.wraps(original)
    def fill(self: Dataset) -> None:
        compat.fill_missing_values(self)
        original(self)

    return fill


def _in_exact_order(original: Callable) -> Callable:
    """Interactions are in the order of their times before RecBole narrows these to float32, where seconds get lost.

    RecBole's own sorting by time, which is stable, then leaves equal ones as they are.
    """

    @functools.wraps(original)
    def change(self: Dataset) -> None:
        by_time = self.config["eval_args"]["order"] == "TO" or self.config["MODEL_TYPE"] == ModelType.SEQUENTIAL
        if by_time and self.benchmark_filename_list is None and self.time_field in self.inter_feat.columns:
            self.inter_feat.sort_values(self.time_field, kind="stable", inplace=True, ignore_index=True)
        original(self)

    return change


def _in_plain_numbers(original: Callable) -> Callable:
    """Metrics are Python's numbers: NumPy >= 2 would have RecBole log each as ``np.float64(0.5)``."""

    @functools.wraps(original)
    def evaluate(self: Evaluator, collected: Any) -> OrderedDict[str, float]:
        found = original(self, collected).items()
        return OrderedDict((name, value.item() if isinstance(value, np.generic) else value) for name, value in found)

    return evaluate


def _with_all_parts(original: Callable) -> Callable:
    """What ends with a table needs a test part with users in it; known before anything is trained."""

    @functools.wraps(original)
    def prepare(config: Config, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        parts = original(config, dataset, *args, **kwargs)
        entry = registration_of(config)
        if entry is not None and hasattr(entry.model, "configure") and not (parts[1] and parts[2]):
            which = "validation" if not parts[1] else "test"
            raise ValueError(
                f"the {which} part of {config['dataset']} is empty: eval_args={config['eval_args']} leaves it no "
                "interaction"
            )
        return parts

    return prepare


def _with_short_opening(original: Callable) -> Callable:
    """All settings of a run go into RecBole's log file; a terminal shows them where it is to show everything."""

    @functools.wraps(original)
    def init(config: Config) -> None:
        original(config)
        if config["state"] == "DEBUG":
            return
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.addFilter(_no_settings)

    return init


def _no_settings(record: logging.LogRecord) -> bool:
    return not isinstance(record.msg, (Config, list))  # RecBole logs its Config and sys.argv as they are


def _with_report(original: Callable) -> Callable:
    """``run_recbole`` ends with a trainer's report, where it has one: RecBole's function has no step after the test."""

    @functools.wraps(original)
    def get_trainer(model_type: Any, model_name: str) -> type:
        trainer = original(model_type, model_name)
        return _reporting(trainer) if hasattr(trainer, "report") else trainer

    return get_trainer


@functools.cache
def _reporting(trainer: type) -> type:
    return type(trainer.__name__, (_Reporting, trainer), {"__doc__": trainer.__doc__, "__module__": trainer.__module__})


class _Reporting:
    """Mixin of trainers, before the trainer's class: reports after the evaluation of the test split."""

    def evaluate(self, eval_data: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().evaluate(eval_data, *args, **kwargs)  # type: ignore[misc]
        if self.reports_on(eval_data):  # type: ignore[attr-defined]
            self.report(eval_data, result)  # type: ignore[attr-defined]
        return result


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
    """Unpickled in a new process: importing this module has made the plugin known there."""
    return recbole_quick_start.run_recboles
