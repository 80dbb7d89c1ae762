"""A plan's names, settings and metrics against what RecBole and the plugin know, before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.evaluator.register import metrics_dict, smaller_metrics
from recbole.utils import get_model

import recbole_hetcomp  # noqa: F401 (registers the plugin)
from recbole_hetcomp.comparison.grid import Cell, Grid
from recbole_hetcomp.comparison.plan import BenchmarkPlan
from recbole_hetcomp.declared import convert, suggestion
from recbole_hetcomp.files import versions
from recbole_hetcomp.metrics.per_user import is_per_user
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.recbole_bridge.config import run_settings
from recbole_hetcomp.recbole_bridge.recbole_settings import check_computed, cutoffs
from recbole_hetcomp.recbole_bridge.registry import general_models
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.teachers.planned import planned_teachers
from recbole_hetcomp.version import __version__

_ATOMIC = {".inter", ".user", ".item", ".kg", ".link", ".net"}  # RecBole's files of a data set

# What the plan itself decides, under its own keys.
_DECIDED = {
    "model": "the entry's model",
    "dataset": "dataset",
    "data_path": "data_path",
    "seed": "seeds and teachers.seed",
    "store_dir": "store_dir",
    "teachers": "teachers.models",
    "teacher_config": "teachers.settings",
    "student_backbone": "students.backbones",
    "compare_no_kd": "a method NoKD",
    "result_dir": "the output folder",
    "checkpoint_dir": "the output folder",
    "show_progress": "nothing: a cell has a log",
}
# What decides the teachers' entries in the store; one method with another value would train teachers of its own.
_RECORDED = ("snapshots", "snapshot_spacing", "K_prime", "topk", "valid_metric", "preset")


def check_plan(plan: BenchmarkPlan) -> str:
    """Check a plan and name its data.

    Returns:
        Fingerprint of the data set's files and of the versions that compute.

    Raises:
        ValueError, TypeError: a name, a setting or a metric is not allowed; names it and what is.
        FileNotFoundError: the data set is not there.
    """
    _check_metrics(plan.settings)
    _check_decided(plan)
    _check_models(plan)
    grid = Grid(plan, data="")
    ensemble = grid.ensembles()[0]
    config = _config(plan, ensemble)
    _check_keys(plan.students.settings, _known(config, ensemble), "students.settings")
    planned_teachers(config, run_settings(config))
    for what in grid.tuned():
        grid.trials(what)  # a space with too few settings
    for row, _ in grid.finals():
        cell = grid.runs(row, {})[0]
        known = _known(_config(plan, cell), cell)
        _check_keys(cell.settings, known, f"the settings of {row.method!r}")
        _check_keys(grid.entry(row).space, known, f"the space of {row.method!r}")
    return _fingerprint(config)


def _config(plan: BenchmarkPlan, cell: Cell) -> Config:
    place = {} if plan.data_path is None else {"data_path": plan.data_path}
    with command_line_hidden():
        try:
            return Config(model=cell.model, dataset=cell.dataset, config_dict={**cell.settings, **place})
        except (ValueError, TypeError) as error:
            raise type(error)(f"{cell.method}: {error}") from error


def _known(config: Config, cell: Cell) -> set[str]:
    """Settings that something reads in a run of a cell."""
    known = set(config.internal_config_dict) | {key for keys in config.parameters.values() for key in keys}
    ours = {"memory_budget_mb"} if cell.role == "baseline" else set(HetCompSettings.names())
    return known | ours | {"benchmark_filename"}


def _check_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    for key in given:
        if key.split(".")[0] not in known:
            raise ValueError(f"{where}: unknown setting {key!r}{suggestion(key, known)}")


def _check_metrics(settings: Mapping[str, Any]) -> None:
    metrics = convert("settings.metrics", settings["metrics"], tuple[str, ...])
    topk = cutoffs(settings, "settings.")
    comparable = sorted(name for name in metrics_dict if is_per_user(name) and name not in smaller_metrics)
    for name in metrics:
        if name.lower() not in comparable:
            raise ValueError(
                f"settings.metrics names {name!r}{suggestion(name, comparable)} "
                f"Allowed, as they have a value for each user and bigger is better: {', '.join(comparable)}."
            )
    check_computed(settings, [f"{name}@{k}".lower() for name in metrics for k in topk], "settings.")


def _check_decided(plan: BenchmarkPlan) -> None:
    """Refuse settings that the plan decides elsewhere, and methods that would train teachers of their own."""
    students = plan.students
    parts: list[tuple[str, Mapping[str, Any], bool]] = [("settings", plan.settings, False)]
    parts += [("students.settings", students.settings, False), ("tuning.settings", plan.tuning.settings, True)]
    for name, part in students.backbones.items():
        place = f"students.backbones.{name}"
        parts.append((f"{place}.settings", part.settings, True))
        parts += [(f"{place}.methods.{method}", own, True) for method, own in (part.methods or {}).items()]
    for where, entries in (("students.methods", students.methods), ("baselines", plan.baselines)):
        for name, entry in entries.items():
            parts += [(f"{where}.{name}.settings", entry.settings, True), (f"{where}.{name}.space", entry.space, True)]
    for where, given, single in parts:
        for key in (name.split(".")[0] for name in given):
            if key in _DECIDED and not (key == "teachers" and single):
                raise ValueError(f"{where}.{key} is not allowed: {_DECIDED[key]} decides it")
            if single and key in _RECORDED:
                raise ValueError(f"{where}.{key} is not allowed: it decides what all models share, set it in settings")


def _check_models(plan: BenchmarkPlan) -> None:
    known = general_models()
    methods = plan.students.methods
    for name, entry in methods.items():
        if entry.like is None:
            students = [model for model in known if issubclass(get_model(model), DistilledStudent)]
            _check_name(entry.model or name, students, f"students.methods.{name}")
            if plan.tuning.trials and entry.tuned and not entry.space:
                raise ValueError(f"students.methods.{name} has no space for its tuning.trials={plan.tuning.trials}")
    for name, entry in plan.baselines.items():
        _check_name(entry.model or name, known, f"baselines.{name}")
    for teacher in plan.teachers.settings:
        _check_name(teacher, plan.teachers.models, "teachers.settings")
    if plan.metric is not None:
        reported = [f"{name}@{k}".lower() for name in plan.settings["metrics"] for k in plan.settings["topk"]]
        _check_name(plan.metric.lower(), reported, "metric")


def _check_name(name: str, known: Iterable[str], where: str) -> None:
    known = list(known)
    if name not in known:
        raise ValueError(f"{where} names {name!r}{suggestion(name, known) or '.'} Allowed: {', '.join(known)}.")


def _fingerprint(config: Config) -> str:
    """Hash of the data set's atomic files and of the versions of the packages whose code decides a result."""
    digest = hashlib.sha256()
    suffixes = _ATOMIC | {f".{name}" for name in config["additional_feat_suffix"] or ()}
    for file in sorted(Path(config["data_path"]).glob(f"{config['dataset']}.*")):
        if file.suffix in suffixes:  # beside them lie a data card and a config, which names the folder
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    digest.update(f"{__version__} {versions()['recbole']}".encode())
    return digest.hexdigest()[:16]
