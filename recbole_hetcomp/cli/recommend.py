"""``hetcomp recommend``: top lists of a saved model by external ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.serving import SEEN, K

_FILE = click.Path(path_type=Path)


@options.command("recommend")
@click.option("--checkpoint", required=True, type=_FILE, help="What a run saved (.pth).")
@click.option("--users", help="A file of user ids, one a line, or ids between commas; all users if not given.")
@click.option("--k", default=K, show_default=True, help="Items of a list.")
@click.option("--to", required=True, type=_FILE, help="File: .parquet, .csv, .tsv or .trec.")
@click.option("--format", type=click.Choice(["parquet", "csv", "trec"]), help="The table's; by its ending otherwise.")
@click.option("--allow", help="The only items that may be recommended: a file of ids, or ids between commas.")
@click.option("--deny", help="Items that are not recommended, likewise.")
@click.option(
    "--seen",
    type=click.Choice(SEEN),
    default=SEEN[0],
    show_default=True,
    help="Which items of a user are left out: all in the data set, or those of the training split.",
)
def recommend(
    checkpoint: Path, users: str | None, k: int, to: Path, format: str | None, allow: str | None, deny: str | None,
    seen: str,
) -> int:  # fmt: skip
    """Write the best items of users that a saved student, ensemble or RecBole model has, by external ids.

    Users that it does not know get the most popular items, and a column says so (docs/serving.md).
    """
    from recbole_hetcomp.data.rankings.reading import table_format

    with checking():
        format = format or table_format(to)
        if not to.absolute().parent.is_dir():
            raise FileNotFoundError(f"{to.absolute().parent} does not exist")
        if k < 1:
            raise ValueError(f"k={k} is not allowed: at least 1")
        asked = None if users is None else _ids(users)
        lists = {
            name: None if given is None else list(_ids(given)) for name, given in (("allow", allow), ("deny", deny))
        }
        from recbole_hetcomp.serving.recommender import load
        from recbole_hetcomp.serving.writing import write_recommendations

        recommender = load(checkpoint, seen)
        parts = recommender.batches(
            recommender.users if asked is None else asked, k, allow=lists["allow"], deny=lists["deny"] or ()
        )
    rows, unknown = write_recommendations(to, parts, format)
    click.echo(f"{to}: {rows} rows" + (f"; {unknown} unknown users got the most popular items" if unknown else ""))
    return DONE


def _ids(given: str) -> Iterator[str]:
    """Ids of a file, a line at a time, or of a list between commas."""
    if Path(given).is_file():
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
