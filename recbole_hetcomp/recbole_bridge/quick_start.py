"""One call for the whole pipeline, one to load what it saved, and what is asked before a run begins."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import recbole.quick_start
import torch
from recbole.config import Config
from recbole.utils import get_model

from recbole_hetcomp.declared import suggestion
from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden, devices_kept, read_checkpoint
from recbole_hetcomp.recbole_bridge.config import refuse_misspelt
from recbole_hetcomp.recbole_bridge.registry import general_models, registered, registration_of
from recbole_hetcomp.recbole_bridge.warm_start import external_ids

_OTHER_DATA = "does not fit its data set, which has changed since it was trained"


def run(
    model: str = "HetComp",
    dataset: str | None = None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Train and test a model, a plugin model or any of RecBole's, as ``recbole.quick_start.run_recbole`` does.

    For HetComp this trains the teachers, or finds them in the store, distils the student and writes the table.

    Args:
        model: model name.
        dataset: data set name.
        config_file_list: YAML files with settings.
        config_dict: settings.
        saved: whether checkpoints are written.

    Returns:
        RecBole's result: best_valid_score, valid_score_bigger, best_valid_result, test_result.

    Raises:
        ValueError: a setting is not allowed; before any training.
    """
    return recbole.quick_start.run_recbole(
        model=model, dataset=dataset, config_file_list=config_file_list, config_dict=config_dict, saved=saved
    )


def load_data_and_model(model_file: str) -> tuple[Config, Any, Any, Any, Any, Any]:
    """Load a saved model with its data, as ``recbole.quick_start.load_data_and_model`` does.

    Args:
        model_file: a checkpoint of the plugin's or of RecBole's.

    Returns:
        config, model, dataset, train_data, valid_data, test_data.

    Raises:
        FileNotFoundError: it, or its data set, is not there.
        DamagedFileError: it is damaged, or no saved model.
        ValueError: the data set is another one than it was trained on.
    """
    try:
        found = recbole.quick_start.load_data_and_model(model_file)
    except pickle.UnpicklingError as error:
        raise DamagedFileError(f"{model_file} cannot be read as a checkpoint: {error}") from error
    except (KeyError, TypeError) as error:
        if _is_saved_model(model_file):
            raise
        raise DamagedFileError(f"{model_file} holds no saved model") from error
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        said = "; ".join(line.strip() for line in str(error).splitlines()[1:2])
        raise ValueError(f"{model_file} {_OTHER_DATA}: {said}") from error
    _check_ids(model_file, found[2])
    return found


def _check_ids(file: str, dataset: Any) -> None:
    """Refuse a data set whose users or items have other rows than a student was trained with.

    RecBole numbers ids as they come: the same data in another order give every row to somebody else.

    Raises:
        ValueError: they have.
    """
    try:
        ids = read_checkpoint(file).get("ids") or {}
    except DamagedFileError:  # RecBole's own does not say whose its rows are
        return
    for side, now in external_ids(dataset).items():
        if side in ids and now != ids[side]:
            raise ValueError(f"{file} {_OTHER_DATA}: it has other {side}s, or has them in another order")


def _is_saved_model(file: str) -> bool:
    """Whether a file, which torch can read, has what RecBole looks for."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # RecBole's own, with its Config
        return True
    return isinstance(content, dict) and {"config", "state_dict"} <= set(content)


def reports(model: str) -> bool:
    """Whether a model's run ends with a table of its own."""
    entry = registered().get(model)
    return entry is not None and hasattr(entry.trainer, "report")


def check_model(name: str) -> None:
    """Refuse a model that RecBole cannot find.

    Raises:
        ValueError: names the closest one.
    """
    try:
        get_model(name)
    except (ValueError, AttributeError, ImportError) as error:
        hint = suggestion(name, general_models()) or f" ({error})"
        raise ValueError(f"unknown model {name!r}{hint}") from error


def build_config(
    model: str | None, dataset: str | None, config_files: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> Config:
    """A run's Config, of these settings only: neither does it read the process's command line nor choose its GPU.

    Raises:
        ValueError, TypeError, FileNotFoundError: a model of the plugin refuses a setting, or its data is not there.
        KeyError: neither arguments, files nor settings name a model and a data set.
    """
    with command_line_hidden(), devices_kept():
        config = Config(model, dataset, list(config_files) or None, dict(settings or {}))
    if registration_of(config) is None:  # a model of the plugin has looked itself
        refuse_misspelt(config)
    if (config["nproc"] or 1) != 1:
        raise ValueError(f"nproc={config['nproc']} is not allowed: the commands work in one process, 1")
    return config


def check_run(model: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any]) -> Config:
    """Refuse what :func:`run` would refuse before it begins, with the same errors as :func:`build_config`.

    What the Config warns of is left to the run.

    Returns:
        The Config.
    """
    check_model(model)
    alone = {name: value for name, value in settings.items() if name != "local_rank"}  # which joins other processes
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return build_config(model, dataset, config_files, alone)
    finally:
        logging.disable(before)
