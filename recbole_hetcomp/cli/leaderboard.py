"""``hetcomp leaderboard``: every model that was trained on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.deployment import RESULTS

_PATH = click.Path(path_type=Path)


@options.command("leaderboard", takes_settings=True)
@options.dataset()
@options.config_files()
@click.option("--results", default=Path(RESULTS), type=_PATH, help="Folder below which runs wrote their results.")
@click.option("--metric", help="What orders the table, e.g. ndcg@50; the validation metric if not given.")
@click.option("--no-time", is_flag=True, help="Do not time the models.")
@click.option("--to", type=_PATH, help="Folder for leaderboard.csv and leaderboard.png.")
def leaderboard(
    dataset: str, config_files: Sequence[str], results: Path, metric: str | None, no_time: bool, to: Path | None,
    settings: Mapping[str, Any],
) -> int:  # fmt: skip
    """List all models of a data set and split: accuracy on the test split, size, latency, popularity, Pareto mark.

    Students and ensembles are those of the runs below --results, teachers those of the store. What is of other data,
    or of another split, is named and left out.
    """
    from recbole_hetcomp.file_errors import check_folder

    with checking():
        if to is not None:
            check_folder("to", str(to))
        from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
        from recbole_hetcomp.teachers.importing import TargetData

        with command_line_hidden():
            target = TargetData.load(dataset, config_files, settings)
        from recbole_hetcomp.deployment.leaderboard import leaderboard as board_of

        board = board_of(target, results, metric, timed=not no_time)
    shown = board.table.drop(columns=["of"] if to is None else [])
    shown = shown.assign(pareto=shown["pareto"].map({True: "*", False: ""}))
    click.echo(f"\n{shown.to_markdown(index=False, floatfmt=',.4f', intfmt=',', tablefmt='github')}\n")
    click.echo("*: no other model is at least as good and as cheap (on the test split: to look at, not to choose by)")
    for line in board.left_out:
        click.echo(line)
    if to is not None:
        from recbole_hetcomp.deployment.pareto import write_pareto
        from recbole_hetcomp.files import write_csv

        to.mkdir(parents=True, exist_ok=True)
        write_csv(to / "leaderboard.csv", board.table)
        write_pareto(board.table, board.metric, to / "leaderboard.png")
        click.echo(f"Written to {to}")
    return DONE
