"""One call for the whole pipeline, and one to load what it saved."""

from __future__ import annotations

from typing import Any

import recbole.quick_start
from recbole.config import Config


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
    """
    return recbole.quick_start.load_data_and_model(model_file)
