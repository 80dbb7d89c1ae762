"""RecBole Configs of a run: its settings read and checked, and the Configs of the models beside the student."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
from recbole.config import Config
from recbole.utils import get_model
from recbole.utils.argument_list import dataset_arguments, evaluation_arguments, general_arguments

from recbole_hetcomp.declared import Settings, closest, convert, default, did_you_mean, field_types, suggestion
from recbole_hetcomp.file_errors import check_folder
from recbole_hetcomp.memory import score_elements
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden, data_root, is_plain, is_reviving
from recbole_hetcomp.recbole_bridge.identity import place_keys
from recbole_hetcomp.recbole_bridge.own_data import check_own_files, own_settings
from recbole_hetcomp.recbole_bridge.property_files import read_preset, read_properties, recbole_defaults
from recbole_hetcomp.recbole_bridge.recbole_settings import check_model_settings, recbole_setting
from recbole_hetcomp.recbole_bridge.registry import (
    TEACHER,
    is_model,
    may_be_taught,
    may_teach,
    model_defaults,
    model_named,
    models_of_role,
    teacher_defaults,
    teaching_models,
    why_not,
)
from recbole_hetcomp.recbole_bridge.source import outside_code
from recbole_hetcomp.recbole_bridge.training_rules import ALL as TRAINING_RULES
from recbole_hetcomp.recbole_bridge.training_rules import grow, prefer_given
from recbole_hetcomp.settings import HetCompSettings, Run, Student, Training, from_outside

_DATA = (set(dataset_arguments) | set(general_arguments) | set(evaluation_arguments)) - {"config_file"}
_DATA |= {"worker", "shuffle", "benchmark_filename", "metric_decimal_place"}
_OTHER_WIDTHS = {"DMF": ["item_hidden_size_list"], "GCMC": ["gcn_output_dim"], "DiffRec": [], "LDiffRec": []}
"""Which settings size the embeddings of RecBole's models whose ``embedding_size`` is of something else."""


# -- reading and checking ---------------------------------------------------------------------------------------------


def run_settings(config: Config) -> HetCompSettings:
    """The settings of a RecBole Config.

    Raises:
        ValueError: a value is not allowed; names it and what is.
        TypeError: a value has the wrong type.
    """
    settings = HetCompSettings.read(config)
    _check_backbone(settings.student_backbone)
    return settings


def settings_for(config: Config, n_items: int) -> HetCompSettings:
    """The settings of a Config for a catalogue: default lists are no longer than it, given ones must not be.

    Args:
        config: the run's Config.
        n_items: I, without RecBole's padding item.

    Raises:
        ValueError: a length that was given is larger than the catalogue.
    """
    settings = run_settings(config)
    too_long = [name for name in ("K", "K_D") if getattr(settings, name) > n_items]
    shrunk = {name: n_items for name in too_long if name not in config.external_config_dict}
    if shrunk:
        logging.getLogger().warning(
            f"the catalogue has {n_items} items, less than the default {' and '.join(shrunk)}: "
            f"{', '.join(f'{name}={n_items}' for name in shrunk)}"
        )
        settings = attrs.evolve(cast(Any, settings), **shrunk)
    settings.check_catalogue(n_items)
    return settings


def checked_settings(config: Config, method: type[Settings] | None = None) -> HetCompSettings:
    """The settings of a Config that the user has just given: its keys, its data set and its values checked.

    Args:
        config: the run's Config.
        method: the settings of the run's method, where it has some of its own; they are checked too.

    Raises:
        ValueError, TypeError: a key is misspelt, or a value is not allowed.
        FileNotFoundError: the data set is not there.
    """
    refuse_misspelt(config, method)
    check_data_files(config)
    if method is not None:
        method.read(config)
    prefer_given(config, config.external_config_dict)
    settings = run_settings(config)
    if not is_reviving():
        for name in ("store_dir", "result_dir", "checkpoint_dir"):
            if config[name] is not None:
                check_folder(name, config[name])
    if not is_reviving():  # a saved student needs its teachers' code no more
        _check_teachers(settings)
    _check_student_config(config, settings)
    return settings


def _check_teachers(settings: HetCompSettings) -> None:
    for name in settings.teachers:
        if not from_outside(name) and not may_teach(name):
            raise ValueError(f"unknown teacher {name!r}{why_not(name) or did_you_mean(name, teaching_models())}")
    for name, given in settings.teacher_config.items():
        if name not in settings.teachers:
            if not from_outside(name) and not may_teach(name):
                raise ValueError(f"teacher_config names {name!r}{did_you_mean(name, settings.teachers)}")
            logging.getLogger().warning(f"teacher_config names {name}, which is no teacher of this run")
        elif is_model(name):
            _check_nested(f"teacher_config for {name}", model_named(name), given)


def _kind_of(name: str) -> str:
    """What a model of RecBole's is that is no general recommender; nothing where there is no such model."""
    try:
        kind = get_model(name).type
    except (ValueError, AttributeError, ImportError):
        return ""
    return f": it is a {kind.name.lower()} model, and a general recommender is needed."


def _check_backbone(name: str) -> None:
    known = models_of_role(TEACHER)
    if name not in known:
        raise ValueError(f"unknown student_backbone {name!r}{_kind_of(name)}{did_you_mean(name, known)}")
    if not may_be_taught(name):
        raise ValueError(
            f"student_backbone={name!r} is fitted in one step and cannot be distilled into; use e.g. 'BPR'"
        )


def _check_student_config(config: Config, settings: HetCompSettings) -> None:
    backbone = settings.student_backbone
    _check_nested("student_config", backbone, settings.student_config, set(config.final_config_dict))
    if settings.compare_no_kd:
        _check_nested("no_kd_config", backbone, settings.no_kd_config, set(config.final_config_dict))


def _check_nested(place: str, model: str, given: Mapping[str, Any], known: Iterable[str] = ()) -> None:
    """Refuse settings of another model that it does not read, or that make no sense for it.

    A model from outside may read what no property file names.

    Raises:
        ValueError, TypeError: names the place, the setting and the value.
    """
    defaults = {**recbole_defaults("overall"), **model_defaults(model), **teacher_defaults(model)}
    all_known = set(defaults) | set(known) | _DATA | TRAINING_RULES
    for key in given:
        if key not in all_known and not recbole_setting(key):
            hint = suggestion(key, all_known)
            if hint or not outside_code(model):
                raise ValueError(f"{place} names {key!r}, which nothing reads{hint}")
    check_model_settings(place, given, defaults)
    rules = {key: given[key] for key in TRAINING_RULES if key in given}
    Training(**{key: convert(f"{place}: {key}", value, field_types(Training)[key]) for key, value in rules.items()})


def refuse_misspelt(config: Config, method: type[Settings] | None = None) -> None:
    """Look at the keys that the user gave and that nothing reads; warn about them.

    Args:
        config: the run's Config.
        method: the settings of the run's method, where it has some of its own.

    Raises:
        ValueError: one looks like a misspelling of one of ours; names the closest.
    """
    ours = HetCompSettings.names() + ([] if method is None else method.names())
    known = set(config.internal_config_dict) | _DATA | place_keys() | set(ours) | {"model", "dataset", "MODEL_TYPE"}
    known |= {key for keys in config.parameters.values() for key in keys}
    for key in config.external_config_dict:
        if key in known:
            continue
        if closest(key, ours, cutoff=0.75) or key.lower().startswith("hetcomp"):
            raise ValueError(f"unknown setting {key!r}{did_you_mean(key, ours)}")
        near = closest(key, known, cutoff=0.75)
        if near:
            raise ValueError(f"unknown setting {key!r}; did you mean {near!r}?")
        logging.getLogger().warning(f"setting {key!r} is read by nobody in this run")


def check_data_files(config: Config) -> None:
    """Refuse a data set that is not there, before RecBole tries to download it.

    Raises:
        FileNotFoundError: names the file that was looked for and what to give.
    """
    if config["dataset"] == "ml-100k" or config["dataset_save_path"] or config["dataloaders_save_path"]:
        return
    folder, name = Path(config["data_path"]), config["dataset"]
    parts = [f"{name}.{part}.inter" for part in config["benchmark_filename"] or []] or [f"{name}.inter"]
    for part in parts:
        if not (folder / part).is_file():
            raise FileNotFoundError(
                f"data set {name!r}: {folder / part} does not exist. Give --data_path=FOLDER with "
                f"FOLDER/{name}/{part} in RecBole's atomic format, or use ml-100k, which ships inside RecBole "
                "(RecBole's own download links answer 'Access Denied')"
            )


def memory_for_scores(config: Config) -> int:
    """Scores of a block of users that fit a Config's memory budget, the default one where its model has none."""
    budget = config["memory_budget_mb"]
    return score_elements(default(Run, "memory_budget_mb") if budget is None else budget)


# -- defaults ---------------------------------------------------------------------------------------------------------


def student_defaults(config: Config, method: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults of a student: RecBole's with ours over them, its backbone's, the plugin's, a preset's, its method's.

    Args:
        config: the Config that is being built.
        method: defaults that are the method's own.
    """
    given = config.external_config_dict.get("student_backbone", default(Student, "student_backbone"))
    backbone = convert("student_backbone", given, str)
    return {**run_defaults(config, model_defaults(backbone)), **method}


def run_defaults(config: Config, backbone: Mapping[str, Any]) -> dict[str, Any]:
    """The same of any model that knows the teachers."""
    given = config.external_config_dict.get("preset")
    preset = convert("preset", given, field_types(Training)["preset"])
    Training(preset=preset)  # refuses one that there is not
    published = {} if preset is None else read_preset(preset)
    return {**read_properties("overall"), **backbone, **HetCompSettings.defaults(), **published}


# -- the Configs of other models --------------------------------------------------------------------------------------


def backbone_config(config: Config, settings: HetCompSettings) -> Config:
    """The run's Config as the student's backbone is to see it: under its own name and with ``student_config``."""
    view = copy.copy(config)
    view.final_config_dict = {**config.final_config_dict, **copy.deepcopy(dict(settings.student_config))}
    view.final_config_dict["model"] = settings.student_backbone
    view.model = settings.student_backbone
    view.model_class = get_model(settings.student_backbone)
    given = {*config.external_config_dict, *settings.student_config}
    _spread_embedding_size(view.final_config_dict, settings.student_backbone, given)
    return view


def student_settings(config: Config, n_items: int) -> HetCompSettings:
    """:func:`settings_for` a student, grown by the size of its backbone's embeddings.

    Args:
        config: the run's Config; what grows is put into it.
        n_items: I, without RecBole's padding item.

    Raises:
        ValueError: as :func:`settings_for`.
    """
    grow(config, n_items, dimension_of(config, run_settings(config)))
    return settings_for(config, n_items)


def dimension_of(config: Config, settings: HetCompSettings) -> int:
    """Size of the backbone's embeddings, of the largest where it has several; 0 where it has none."""
    view, backbone = backbone_config(config, settings).final_config_dict, settings.student_backbone
    usual = [key for key in model_defaults(backbone) if key == "embedding_size" or key.endswith("_embedding_size")]
    keys = _OTHER_WIDTHS.get(backbone, usual)
    sizes = [min(view[key]) if isinstance(view[key], list) else view[key] for key in keys]
    return max((size for size in sizes if isinstance(size, int)), default=0)


def _spread_embedding_size(final: dict[str, Any], backbone: str, given: set[str]) -> None:
    """``embedding_size`` also for backbones that name their sizes otherwise (NeuMF's ``mf_embedding_size``)."""
    for key in model_defaults(backbone):
        if key.endswith("_embedding_size") and key not in given:
            final[key] = final["embedding_size"]


def companion_config(config: Config, name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """Config of another model trained in a run: the run's data, evaluation and device, and nothing else of it.

    Neither the run's training settings nor the process's command line reach it.

    Args:
        config: the run's Config.
        name: the model.
        given: settings for this model, which win.
        defaults: settings that win over RecBole's defaults only.

    Raises:
        ValueError: a key in ``given`` is one that the model does not have, and names the closest one; or the model
            would never be validated, or lacks files.
    """
    kept = {key: config[key] for key in (*_DATA, "memory_budget_mb") if key in config and is_plain(config[key])}
    root = data_root(config)
    kept.pop("data_path", None)
    if root is not None:
        kept["data_path"] = root
    with command_line_hidden():
        kept |= own_settings(config, name, {**defaults, **given})
        made = Config(model=name, dataset=config["dataset"], config_dict={**kept, **defaults, **given})
    known = sorted(set(made.internal_config_dict) | set(defaults) | set(kept) | TRAINING_RULES)
    for key in given:
        if key not in known and not recbole_setting(key) and not outside_code(name):
            hint = suggestion(key, known) or f". Allowed: {', '.join(known)}."
            raise ValueError(f"unknown setting {key!r} for {name}{hint}")
    prefer_given(made, given)
    own = getattr(get_model(name), "own_settings", None)
    if own is not None:
        own.read(made)
    if made["eval_step"] < 1:
        raise ValueError(
            f"eval_step={made['eval_step']} for {name} is not allowed: at least 1, a snapshot needs a validation"
        )
    check_own_files(made)
    made["device"] = config["device"]
    return made


def teacher_config(config: Config, settings: HetCompSettings, name: str) -> Config:
    """Config with which a teacher of the run trains: properties/model/<name>.yaml, then ``teacher_config[name]``."""
    model = model_named(name)
    return companion_config(config, model, settings.teacher_config.get(name, {}), teacher_defaults(model))


def no_kd_config(config: Config, settings: HetCompSettings) -> Config:
    """Config with which the student's backbone trains alone, at the student's size."""
    given = {**settings.student_config, **settings.no_kd_config}
    size: dict[str, Any] = {"embedding_size": config["embedding_size"]}
    for key in model_defaults(settings.student_backbone):
        if key in config.external_config_dict:
            size[key] = config[key]
    size["embedding_size"] = given.get("embedding_size", size["embedding_size"])
    _spread_embedding_size(size, settings.student_backbone, {*config.external_config_dict, *given})
    return companion_config(config, settings.student_backbone, given, size)
