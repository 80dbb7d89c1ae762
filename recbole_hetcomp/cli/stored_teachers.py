"""``hetcomp teachers list|show|verify|remove``: the store of trained and imported teachers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, FAILED, checking
from recbole_hetcomp.cli.store import say_states
from recbole_hetcomp.settings import Teachers

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DAY = 24 * 3600
_AGES = {"h": 3600, "d": _DAY, "w": 7 * _DAY}
_store = options.declared(Teachers, ["store_dir"])


@options.command("list", short_help="list the teachers in the store")
@_store
def list_teachers(store_dir: str) -> int:
    """List the teachers in the store, the oldest first: data, snapshots, quality, size, age."""
    from recbole_hetcomp.trajectories.housekeeping import stored_teachers

    with checking():
        entries = stored_teachers(store_dir)
    for entry in entries:
        click.echo(f"{entry.name:<32} {_size(entry.bytes):>9} {_age(entry.made):>8}  {_summary(entry)}")
    click.echo(f"{len(entries)} teachers, {_size(sum(entry.bytes for entry in entries))} in {store_dir}")
    return DONE


@options.command("show", short_help="say what a stored teacher was made from, and how good it is")
@click.argument("entry", nargs=-1, required=True)
@_store
def show(entry: Sequence[str], store_dir: str) -> int:
    """Print an entry's manifest: data, settings, snapshots, validation scores."""
    from recbole_hetcomp.trajectories.housekeeping import find, stored_teachers

    with checking():
        entries = stored_teachers(store_dir)
        chosen = [find(entries, name) for name in entry]
    for one in chosen:
        click.echo(f"{one.name}: {one.folder}, {_size(one.bytes)}, made {_age(one.made)} ago")
        click.echo((one.folder / "manifest.json").read_text(encoding="utf-8"))
    return DONE


@options.command("verify", short_help="check the checksums of stored teachers")
@click.argument("entry", nargs=-1)
@_store
def verify(entry: Sequence[str], store_dir: str) -> int:
    """Read entries whole, all of them where none is named. Exit status 1 if one is damaged."""
    from recbole_hetcomp.trajectories.housekeeping import check_entry, find, stored_teachers

    with checking():
        entries = stored_teachers(store_dir)
        chosen = [find(entries, name) for name in entry] or entries
    if not chosen:
        click.echo(f"{store_dir} holds no teachers yet: a run, or hetcomp teachers, puts them there")
    return FAILED if say_states([check_entry(store_dir, one.folder) for one in chosen]) else DONE


@options.command("remove", short_help="remove stored teachers by name, age or size")
@click.argument("entry", nargs=-1)
@click.option("--older_than", metavar="TIME", help="Remove what was made longer ago: 12h, 30d, 8w.")
@click.option("--keep_size", metavar="SIZE", help="Remove the oldest until the store is no larger: 500M, 20G.")
@click.option("--dry_run", is_flag=True, help="Only say what would be removed.")
@_store
def remove(entry: Sequence[str], older_than: str | None, keep_size: str | None, dry_run: bool, store_dir: str) -> int:
    """Remove entries. Those that were imported go only by name: nothing could make them again."""
    from recbole_hetcomp.trajectories.entry import delete
    from recbole_hetcomp.trajectories.housekeeping import find, stored_teachers, to_clean

    with checking():
        if not entry and older_than is None and keep_size is None:
            raise ValueError("name entries, or give --older_than or --keep_size")
        entries = stored_teachers(store_dir)
        chosen = [find(entries, name) for name in entry]
        trained = [one for one in entries if not one.imported and one not in chosen]
        age = None if older_than is None else _amount("older_than", older_than, _AGES)
        size = None if keep_size is None else _amount("keep_size", keep_size, _UNITS)
        chosen += to_clean(trained, age, None if size is None else int(size))
    for one in chosen:
        if not dry_run:
            delete(one.folder)
        click.echo(
            f"{'would remove' if dry_run else 'removed'} {one.folder} ({_size(one.bytes)}, {_age(one.made)} old)"
        )
    return DONE


def _summary(entry: Any) -> str:
    try:
        about = json.loads((entry.folder / "manifest.json").read_text(encoding="utf-8"))
        if entry.imported:
            data = about["data"]
            split = "any split" if data["any_split"] else f"data {data['fingerprint']}"
            return f"{data['dataset']}, {split}, {len(about['snapshots'])} snapshots, {about['users']} users, imported"
        metric = about["settings"].get("valid_metric", "validation")
        epochs, score = ", ".join(map(str, about["epochs"])), about["scores"][-1]
        return f"data {about['fingerprint']}, epochs {epochs}, {metric} {score:.4f}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return f"its manifest is damaged ({type(error).__name__})"


def _amount(name: str, text: str, units: dict[str, int]) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]?)B?", text)
    unit = None if found is None else next((unit for unit in units if unit.lower() == found[2].lower()), None)
    if found is None or unit is None:
        raise ValueError(f"{name}={text!r} is not allowed: a number with one of {', '.join(filter(None, units))}")
    return float(found[1]) * units[unit]


def _size(size: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size = size / 1024  # type: ignore[assignment]
    return f"{size:.1f} GiB"


def _age(made: float) -> str:
    seconds = max(0.0, time.time() - made)
    if seconds < 2 * _DAY:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / _DAY:.0f} d"
