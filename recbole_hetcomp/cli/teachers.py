"""``hetcomp teachers``: the teachers alone, one after the other or in parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import checking
from recbole_hetcomp.cli.run import train
from recbole_hetcomp.tune.options import SweepOptions

MODEL = "TeacherEnsemble"


@options.command("teachers", takes_settings=True, short_help="train the teachers only and evaluate their ensemble")
@options.dataset()
@options.config_files()
@click.option("--parallel", is_flag=True, help="Train the teachers in parallel, as Ray tasks.")
@options.declared(SweepOptions, ("cpus_per_teacher", "gpus_per_teacher", "address"))
def teachers(
    dataset: str, config_files: Sequence[str], settings: Mapping[str, Any], parallel: bool, **resources: Any
) -> int:
    """Train the teachers that are not in the store yet and evaluate their ensemble on the test split."""
    if parallel:
        _train_in_parallel(dataset, config_files, settings, resources)
    return train(MODEL, dataset, config_files, settings)


def _train_in_parallel(
    dataset: str, config_files: Sequence[str], settings: Mapping[str, Any], resources: Mapping[str, Any]
) -> None:
    """The ensemble then finds the teachers in the store."""
    from recbole_hetcomp.trajectories.remote import is_uri
    from recbole_hetcomp.tune.sweep_plan import portable_settings
    from recbole_hetcomp.tune.teachers import train_in_parallel

    with checking():
        if is_uri(settings.get("store_dir")):
            raise ValueError(
                f"store_dir={settings['store_dir']!r} is not allowed here: only hetcomp tune mirrors a URI"
            )
        chosen = SweepOptions(**resources)
        portable = portable_settings(MODEL, dataset, config_files, settings)
    train_in_parallel(MODEL, dataset, portable, chosen, click.echo)
