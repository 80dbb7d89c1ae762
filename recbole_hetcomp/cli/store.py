"""``hetcomp store``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, FAILED, checking
from recbole_hetcomp.settings import Teachers

if TYPE_CHECKING:
    from recbole_hetcomp.trajectories.housekeeping import EntryState


@options.command("store")
@options.declared(Teachers, ["store_dir"])
@click.option("--repair", is_flag=True, help="Delete what is damaged or left by killed runs; it is trained again.")
def store(store_dir: str, repair: bool) -> int:
    """Check every entry of the trajectory store and look for what killed runs have left.

    Exit status 1 if something is damaged and stays so.
    """
    from recbole_hetcomp.trajectories.entry import delete
    from recbole_hetcomp.trajectories.housekeeping import check_store

    with checking():
        found = check_store(store_dir)
    bad = say_states(found)
    if not found:
        click.echo(f"{store_dir} holds no teachers yet: a run, or hetcomp teachers, puts them there")
    if bad and repair:
        for state in bad:
            delete(state.folder)
        click.echo(f"{len(bad)} deleted; a run trains again what it needs")
    elif bad:
        click.echo(f"{len(bad)} to repair: hetcomp store --repair --store_dir={shlex.quote(store_dir)} deletes them")
    return FAILED if bad and not repair else DONE


def say_states(states: Sequence[EntryState]) -> list[EntryState]:
    """Print a line for each; those that are not ok."""
    for state in states:
        click.echo(f"{state.verdict:<9}{state.folder}: {state.about}")
    return [state for state in states if state.verdict != "ok"]
