"""``run_recbole``: RecBole's own command, with the plugin's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import checking
from recbole_hetcomp.cli.run import train


@options.command("run_recbole", takes_settings=True)
@options.model(default=None, help="Model name (default: the config files', or BPR).")
@options.dataset(default=None, help="Data set (default: the config files', or ml-100k, which ships in RecBole).")
@options.config_files()
def run_recbole(
    model: str | None, dataset: str | None, config_files: Sequence[str], settings: Mapping[str, Any]
) -> int:
    """RecBole's run_recbole with the models of recbole-hetcomp."""
    with checking():
        named = _named_in(config_files)
    return train(model or named.get("model", "BPR"), dataset or named.get("dataset", "ml-100k"), config_files, settings)


def _named_in(config_files: Sequence[str]) -> dict[str, str]:
    """Model and data set that config files name."""
    named: dict[str, str] = {}
    for file in config_files:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            named.update({key: content[key] for key in ("model", "dataset") if key in content})
    return named
