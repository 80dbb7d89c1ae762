"""``hetcomp store``."""

from __future__ import annotations

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, FAILED
from recbole_hetcomp.settings import Teachers


@options.command("store", short_help="list the trajectory store and check every entry's checksum")
@options.declared(Teachers, ["store_dir"])
def store(store_dir: str) -> int:
    """List the trajectory store and check every entry's checksum. Exit status 1 if one is damaged."""
    from recbole_hetcomp.trajectories import CorruptTrajectoryError, TrajectoryStore

    kept, damaged = TrajectoryStore(store_dir), 0
    for entry in kept.entries():
        try:
            trajectory = kept.open(entry)
        except CorruptTrajectoryError as error:
            damaged += 1
            click.echo(f"DAMAGED  {entry}: {error}")
            continue
        snapshots, users, length = trajectory.unobserved.shape
        click.echo(
            f"ok       {entry}: {snapshots} snapshots x {users} users x {length} items, epochs {trajectory.epochs}"
        )
    return FAILED if damaged else DONE
