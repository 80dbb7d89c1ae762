"""``hetcomp recommend``: top lists of a saved model by external ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.serving import K

_FILE = click.Path(path_type=Path)


@options.command("recommend")
@click.option("--checkpoint", required=True, type=_FILE, help="What a run saved (.pth), or an export's folder.")
@click.option(
    "--users", help="A file of ids, one a line; column user of a Parquet file or folder; ids between commas; else all."
)
@click.option("--k", default=K, show_default=True, help="Items of a list.")
@click.option("--to", required=True, type=_FILE, help="File: .parquet, .csv, .tsv or .trec.")
@click.option("--format", type=click.Choice(["parquet", "csv", "trec"]), help="The table's; by its ending otherwise.")
@click.option("--allow", help="The only items that may be recommended: a file of ids, or ids between commas.")
@click.option("--deny", help="Items that are not recommended, likewise.")
@options.seen()
@click.option("--address", help="Ray cluster whose workers recommend (Ray Data): auto, or HOST:PORT.")
@click.option("--cpus_per_worker", default=1, show_default=True, help="Processors and threads of a worker there.")
def recommend(
    checkpoint: Path, users: str | None, k: int, to: Path, format: str | None, allow: str | None, deny: str | None,
    seen: str, address: str | None, cpus_per_worker: int,
) -> int:  # fmt: skip
    """Write the best items of users that a saved student, ensemble or RecBole model has, by external ids.

    Users that it does not know get the most popular items, and a column says so (docs/serving.md).
    """
    from recbole_hetcomp.data.rankings.reading import table_format

    with ExitStack() as cluster:
        with checking():
            format = format or table_format(to)
            if not to.absolute().parent.is_dir():
                raise FileNotFoundError(f"{to.absolute().parent} does not exist")
            if to.is_dir():
                raise IsADirectoryError(f"{to} is a folder, and a file is wanted there")
            for name, number in (("k", k), ("cpus_per_worker", cpus_per_worker)):
                if number < 1:
                    raise ValueError(f"{name}={number} is not allowed: at least 1")
            workers = 1 if address is None else _workers(cluster, address, cpus_per_worker)
            asked = None if users is None else _users(users)
            only, without = None if allow is None else list(_ids(allow)), [] if deny is None else list(_ids(deny))
            from recbole_hetcomp.serving.recommender import load
            from recbole_hetcomp.serving.writing import rows_of, write_rows

            make = partial(load, checkpoint.absolute(), seen)
            recommender = make()
            asked = recommender.users if asked is None else asked
            rows: Iterator[Any] = map(rows_of, recommender.batches(asked, k, allow=only, deny=without))
            if address is not None:
                from recbole_hetcomp.serving.spread import Asked, spread_rows

                given = Asked(asked if hasattr(asked, "__len__") else list(asked), k, only, without)
                rows = spread_rows(make, given, recommender.at_once, workers, cpus_per_worker)
        written, unknown = write_rows(to, rows, format)
    click.echo(f"{to}: {written} rows" + (f"; {unknown} unknown users got the most popular items" if unknown else ""))
    return DONE


def _workers(cluster: ExitStack, address: str, cpus: int) -> int:
    """Connect to a cluster for as long as the stack is open; how many workers it has room for."""
    from recbole_hetcomp import ray_api
    from recbole_hetcomp.tune.cluster import node_resources, ray_cluster
    from recbole_hetcomp.tune.options import Resources, check_room

    ray_api.data()
    cluster.enter_context(ray_cluster(address))
    nodes = node_resources()
    check_room("a worker", Resources(cpus, 0), nodes)
    return sum(int(node.get("CPU", 0) // cpus) for node in nodes)


def _users(given: str) -> Any:
    """Users of a Parquet file or folder, or of :func:`_ids`."""
    from recbole_hetcomp.serving.users import UserTable, is_parquet

    place = Path(given)
    return UserTable(place) if os.path.isdir(place) or is_parquet(place) else _ids(given)


def _ids(given: str) -> Iterator[str]:
    """Ids of a file, a line at a time, or of a list between commas."""
    if os.path.isfile(given):  # Path's own refuses what is too long for a name
        return _lines(Path(given))
    if "," not in given and ("/" in given or Path(given).suffix):
        raise FileNotFoundError(f"{given} does not exist")
    return iter([word.strip() for word in given.split(",") if word.strip()])


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            name = line.strip("\r\n")
            if name:
                yield name
