"""``run_recbole``: RecBole's own command, with the plugin's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.run import train


@options.command("run_recbole", takes_settings=True)
@options.model(default="BPR")
@options.dataset()
@options.config_files()
@options.quick
def run_recbole(model: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any]) -> int:
    """RecBole's run_recbole with the models of recbole-hetcomp.

    --epochs and other settings of training are the student's; a teacher's are in --teacher_config.
    """
    return train(model, dataset, config_files, settings)
