"""``hetcomp import-teacher``: rankings that were made elsewhere become a teacher, ``teachers: [import:NAME]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.cli.overrides import read_pairs

_PATH = click.Path(path_type=Path)
_SOURCES = ("table", "vectors", "checkpoint", "function")


@options.command("import-teacher", takes_settings=True)
@click.option("--name", required=True, help="What runs call it: teachers: [import:NAME].")
@options.dataset()
@options.config_files()
@click.option("--table", type=_PATH, help="A table (Parquet, CSV, TREC run), or a folder of its parts.")
@click.option("--vectors", type=(_PATH, _PATH), metavar="USERS ITEMS", help="Vectors: .npy, .npz or .safetensors.")
@click.option("--ids", type=(_PATH, _PATH), metavar="USERS ITEMS", help="Ids of the vectors, one a line.")
@click.option("--checkpoint", type=_PATH, help="A RecBole checkpoint, or a folder of them: one snapshot each.")
@click.option("--function", help="Dotted path of a function: external user ids -> scores of all items.")
@click.option("--format", type=click.Choice(["parquet", "csv", "trec"]), help="The table's; by its ending otherwise.")
@click.option("--columns", default="", metavar="user=NAME,…", help="Other names of a table's columns.")
@click.option("--by", type=click.Choice(["rank", "score"]), help="What sorts a table's lists; rank where there is one.")
@click.option("--length", default=1000, help="Items of a list that are kept of what scores all items.")
@click.option("--allow", default="", metavar="KIND=SHARE,…", help="Shares of mismatches that are allowed.")
@click.option("--replace", is_flag=True, help="Take the place of another import of this name.")
@click.option("--address", help="Ray cluster whose workers read the table (Ray Data): auto, or HOST:PORT.")
@click.option("--any_split", is_flag=True, help="It learnt from no validation or test data of any split.")
def import_teacher(
    name: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any], columns: str, allow: str,
    replace: bool, any_split: bool, length: int, **given: Any,
) -> int:  # fmt: skip
    """Bring rankings that were made elsewhere into the store, for one data set and split (docs/rankings.md).

    What does not match the data is counted and reported; above a threshold it is refused, and the store is as before.
    """
    with checking():
        sources = [source for source in _SOURCES if given[source] is not None]
        if len(sources) != 1:
            raise ValueError(f"give one source, {', '.join(f'--{source}' for source in _SOURCES)}, not {len(sources)}")
        if given["address"] is not None and sources != ["table"]:
            raise ValueError("--address belongs to --table")
        if given["ids"] is not None and sources != ["vectors"]:
            raise ValueError("--ids belongs to --vectors")
        named, shares = read_pairs("--columns", columns), read_pairs("--allow", allow)
        from recbole_hetcomp.teachers.importing import ImportPlan, TargetData

        plan = ImportPlan(name, shares, replace, any_split, length)
        target = TargetData.load(dataset, config_files, settings)
        plan.check(target, "")
    rankings, lines = _import(sources[0], given, named, plan, target)
    for line in lines:
        click.echo(f"  {line}")
    about = rankings.about
    click.echo(
        f"import:{name}: {about['rows']} entries, {about['users']} users, "
        f"{len(rankings.snapshots)} snapshots ({rankings.folder})"
    )
    return DONE


def _import(source: str, given: Mapping[str, Any], columns: Mapping[str, Any], plan: Any, target: Any) -> Any:
    """The entry, and lines on what did not match."""
    from recbole_hetcomp.data.rankings.reading import RankingTable
    from recbole_hetcomp.teachers import importing, scored

    place = given[source]
    if source == "table":
        how = place, given["format"], {key: str(name) for key, name in columns.items()}, given["by"]
        readers: AbstractContextManager[None] = nullcontext()
        if given["address"] is None:
            table = RankingTable(*how)
        else:
            from recbole_hetcomp.data.rankings.spread import SpreadTable
            from recbole_hetcomp.tune.cluster import ray_cluster

            table, readers = SpreadTable(*how), ray_cluster(given["address"])
        with readers:
            rankings, counted = importing.import_table(target, plan, table)
        return rankings, [*table.notes, *counted.lines()]
    counted = plan.check(target, str(place) if source != "vectors" else " and ".join(map(str, place)))
    if source == "vectors":
        snapshots = [(0, scored.vector_scores(target, place, given["ids"] or (None, None), counted))]
    elif source == "checkpoint":
        snapshots = scored.checkpoint_scores(target, place)
    else:
        snapshots = [(0, scored.function_scores(target, place, counted))]
    return importing.import_scores(target, plan, counted.source, snapshots, counted), counted.lines()
