"""``hetcomp benchmark``: a comparison of methods, from its config to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import checking
from recbole_hetcomp.cli.parameters import BenchmarkConfig


@options.command(
    "benchmark",
    hint="a change of the config is --set KEY=VALUE",
)
@click.option(
    "--config",
    required=True,
    type=BenchmarkConfig(),
    help="Config file, or the name of one in properties/benchmark.",
)
@click.option("--output", required=True, help="Folder of the results.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the config, e.g. --set data_path=dataset --set settings.topk=[10,50].",
)
@click.option("--dry_run", is_flag=True, help="Only say what is to be run and what is done.")
@click.option("--report_only", is_flag=True, help="Only write the tables and the report anew.")
@click.option("--restore", metavar="FILE", help="Restore the cells that FILE holds into the output first.")
@click.option("--pack", metavar="FILE", help="Pack the output's cells into FILE at the end.")
def benchmark(
    config: str,
    output: str,
    changes: Sequence[str],
    dry_run: bool,
    report_only: bool,
    restore: str | None,
    pack: str | None,
) -> int:
    """Train teachers, baselines and students as a config says, and write tables and a report. Started again with the
    same config and folder it goes on: a run that is done is never run again.
    """
    from recbole_hetcomp.comparison.archive import pack_cells, restore_cells
    from recbole_hetcomp.comparison.runner import command_line, read_grid, run_grid

    with checking():
        grid = read_grid(config, changes)
        if restore is not None:
            click.echo(f"{restore}: {restore_cells(Path(restore), Path(output))} cells")
    status = run_grid(grid, output, command_line(config, output, changes), dry_run, report_only)
    if pack is not None:
        click.echo(f"{pack}: {pack_cells(Path(output), Path(pack))} cells")
    return status
