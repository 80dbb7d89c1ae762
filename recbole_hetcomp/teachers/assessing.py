"""What the teachers of a run give to their ensemble, from the names of a data set and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recbole.data import create_dataset, data_preparation
from recbole.utils import init_logger, init_seed

from recbole_hetcomp.recbole_bridge.config import run_settings, settings_for
from recbole_hetcomp.recbole_bridge.quick_start import build_config
from recbole_hetcomp.teachers.contribution import Contributions, Panel, check_judged
from recbole_hetcomp.teachers.knowledge import gather_knowledge


def assess(dataset: str, config_files: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> Contributions:
    """Train the teachers that the store does not have, and judge all of them on the validation split.

    Args:
        dataset: the data set's name.
        config_files: YAML files with settings.
        settings: settings that win over the files'.

    Raises:
        ValueError: a setting is not allowed; or there are less than two teachers.
    """
    given = {**(settings or {}), "leave_out_harmful": False}
    config = build_config("TeacherEnsemble", dataset, config_files, given)
    check_judged(config, run_settings(config).teachers)
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))
    own = settings_for(config, train_data._dataset.item_num - 1)
    knowledge = gather_knowledge(config, own, train_data, valid_data, with_no_kd=False)
    return Panel(config, own, knowledge.data, knowledge.teachers, train_data._dataset, valid_data).contributions()
