"""``hetcomp teachers``: the teachers alone, trained one after the other or in parallel, and the store of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.contribution import contribution
from recbole_hetcomp.cli.errors import checking
from recbole_hetcomp.cli.export_rankings import export_rankings
from recbole_hetcomp.cli.run import train
from recbole_hetcomp.cli.stored_teachers import list_teachers, remove, show, verify
from recbole_hetcomp.tune.options import SweepOptions

MODEL = "TeacherEnsemble"


@options.command("train", takes_settings=True, short_help="train the teachers only and evaluate their ensemble")
@options.dataset()
@options.config_files()
@click.option("--parallel", is_flag=True, help="Train the teachers in parallel, as Ray tasks.")
@options.declared(SweepOptions, ("cpus_per_teacher", "gpus_per_teacher", "address"))
def train_teachers(
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


class _Teachers(click.Group):
    """Trains where no other command is named, so that settings may follow at once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Words that begin with no command are those of ``train``."""
        named = args[0] in self.commands or args[0] == "--help" if args else ctx.resilient_parsing
        return super().parse_args(ctx, args if named else ["train", *args])


@click.group(
    "teachers",
    cls=_Teachers,
    no_args_is_help=False,
    context_settings={"max_content_width": 120, "ignore_unknown_options": True},
    epilog="Without a command it is train: any setting may follow as --name=value.",
)
def teachers() -> None:
    """Train the teachers only and evaluate their ensemble (train), or look after those in the store."""


for _command in (train_teachers, contribution, list_teachers, show, verify, remove):
    teachers.add_command(_command)
teachers.add_command(export_rankings, "export")
