"""``hetcomp run``: teachers, student, table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking


@options.command("run", takes_settings=True)
@options.model()
@options.dataset()
@options.config_files()
@click.option("--dry_run", is_flag=True, help="Only look whether settings and data are sound; train nothing.")
@options.quick
@options.warm_start
def run(model: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any], dry_run: bool) -> int:
    """Train teachers (or take them from the store), distil a student, print and write the table.

    --epochs and other settings of training are the student's; a teacher's are in --teacher_config.
    """
    if dry_run:
        check(model, dataset, config_files, settings)
        click.echo(f"{model} on {dataset}: settings are sound, nothing is trained")
        return DONE
    return train(model, dataset, config_files, settings)


def check(model: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any]) -> Any:
    """The Config of what :func:`train` would run, by the same arguments.

    Raises:
        WrongCall: a name, a setting or the data set is refused.
    """
    from recbole_hetcomp.recbole_bridge import quick_start

    with checking():
        return quick_start.check_run(model, dataset, config_files, settings)


def train(model: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any]) -> int:
    """Run a model of the plugin or of RecBole; its exit status.

    Args:
        model: its name.
        dataset: the data set's name.
        config_files: YAML files with settings.
        settings: settings that win over the files'.

    Raises:
        WrongCall: a name, a setting or the data set is refused before anything runs.
    """
    from recbole_hetcomp.recbole_bridge import quick_start
    from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden

    config = check(model, dataset, config_files, settings)
    shown = {} if sys.stderr.isatty() or "show_progress" in config.external_config_dict else {"show_progress": False}
    with command_line_hidden():
        result = quick_start.run(model, dataset, list(config_files) or None, {**settings, **shown})
    if not quick_start.reports(model):
        cells = " | ".join(f"{name} {value}" for name, value in result["test_result"].items())
        click.echo(f"{model} on {dataset} (test split): {cells}")
    return DONE
