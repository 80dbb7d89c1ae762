"""``hetcomp prepare``: its arguments, and what it does with them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recbole_hetcomp.data.prepare.filters import Filters
from recbole_hetcomp.data.prepare.layout import Layout, format_names
from recbole_hetcomp.data.prepare.pipeline import SPLITS, prepare

EXAMPLE = "Example: hetcomp prepare --format citeulike --input users.dat --output data --name citeulike-t"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of :func:`run`."""
    add = parser.add_argument
    add("--format", required=True, choices=format_names(), help="what the input is; see docs/data.md")
    add("--input", required=True, type=Path, metavar="FILE", help="the raw file")
    add("--output", required=True, type=Path, metavar="DIR", help="where the folder NAME is made: RecBole's data_path")
    add("--name", required=True, help="name of the data set")
    add("--overwrite", action="store_true", help="replace a data set of this name that this command made")
    reading = parser.add_argument_group("reading")
    add = reading.add_argument
    add(
        "--columns",
        type=lambda text: tuple(text.split(",")),
        help="ratings-csv and checkins: what the columns are, of user, item, rating, timestamp and _ (ignored), "
        "e.g. item,user,rating,timestamp",
    )
    add("--user_column", default=Layout.user_column, help="table: column of users (default: %(default)s)")
    add("--item_column", default=Layout.item_column, help="table: column of items (default: %(default)s)")
    add("--rating_column", help="table: column of ratings (default: none)")
    add("--timestamp_column", help="table: column of times in seconds (default: none)")
    add(
        "--separator",
        type=lambda text: "\t" if text == "\\t" else text,
        help="table: between columns, \\t for a tab (default: comma; tab in files named .tsv or .inter)",
    )
    keeping = parser.add_argument_group("what is kept")
    add = keeping.add_argument
    add("--threshold", type=float, help="lowest rating that counts (default: all count)")
    add("--min_user", type=int, default=Filters.min_user, help="interactions a user must have (default: %(default)s)")
    add("--min_item", type=int, default=Filters.min_item, help="interactions an item must have (default: %(default)s)")
    add(
        "--k_core",
        action="store_true",
        help="ask again until all have as many (default: counted once, as the authors do)",
    )
    splitting = parser.add_argument_group("split")
    add = splitting.add_argument
    add(
        "--split",
        choices=SPLITS,
        default="paper",
        help="the HetComp paper's, as fixed files, or none, one file for RecBole's own splitter (default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="of the paper's split (default: %(default)s, the paper's)")


def run(arguments: argparse.Namespace) -> int:
    """Prepare and print the account; the exit status."""
    try:
        layout = Layout(
            arguments.format,
            arguments.columns,
            arguments.user_column,
            arguments.item_column,
            arguments.rating_column,
            arguments.timestamp_column,
            arguments.separator,
        )
        filters = Filters(arguments.threshold, arguments.min_user, arguments.min_item, arguments.k_core)
        prepared = prepare(
            arguments.input,
            arguments.output,
            arguments.name,
            layout,
            filters,
            arguments.split,
            arguments.seed,
            arguments.overwrite,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(prepared)
    print(f"use it: run_recbole --model=HetComp --dataset={arguments.name} --config_files={prepared.config_file}")
    return 0
