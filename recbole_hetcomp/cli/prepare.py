"""``hetcomp prepare``: raw files to RecBole's."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, WrongCall, checking
from recbole_hetcomp.data.prepare import pipeline
from recbole_hetcomp.data.prepare.filters import Filters
from recbole_hetcomp.data.prepare.layout import READING_OPTIONS, Layout, format_named, format_names
from recbole_hetcomp.file_errors import in_words

_LAYOUT, _FILTERS = Layout(), Filters()  # the defaults
_KEEPING = ("threshold", "min_user", "min_item", "k_core")


class _FormatName(click.Choice):
    """A format that is registered when the command runs, a user's own too."""

    def __init__(self) -> None:
        self.case_sensitive = True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(format_names())


def _formats(option: str) -> str:
    """Names of the formats to which an option applies."""
    return ", ".join(name for name in format_names() if option in format_named(name).options)


def _reading(name: str, help: str, callback: Any = None) -> Any:
    """An option of how the file is read."""
    default = getattr(_LAYOUT, name) or None
    return click.option(f"--{name}", default=default, callback=callback, help=f"{_formats(name)}: {help}")


def _words(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.split(","))


def _some_words(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return _words(ctx, parameter, text) or ()


def _tab(ctx: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return "\t" if text == "\\t" else text


@options.command(
    "prepare",
    epilog="Example: hetcomp prepare --format citeulike --input users.dat --output data --name citeulike-t",
)
@click.option("--format", required=True, type=_FormatName(), help="What the input is; see docs/data.md.")
@click.option(
    "--input",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The raw file, or a folder of parts.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the folder NAME is made: RecBole's data_path.",
)
@click.option("--name", required=True, help="Name of the data set.")
@click.option("--overwrite", is_flag=True, help="Replace a data set of this name that this command made.")
@_reading(
    "columns",
    "what the columns are, of user, item, rating, timestamp and _ (ignored), e.g. item,user,rating,timestamp.",
    _words,
)
@_reading("user_column", "column of users; if not given user_id, userId, user … whichever it has.")
@_reading("item_column", "column of items; if not given item_id, movieId, item … whichever it has.")
@_reading("rating_column", "column of ratings; if not given looked for with --threshold only.")
@_reading("timestamp_column", "column of times in seconds; if not given looked for where the split needs it.")
@_reading("keep_columns", "further columns to keep, e.g. genre:token,price:float.", _some_words)
@_reading("encoding", "of the text; UTF-8, or UTF-16 with its mark, if not given.")
@_reading(
    "separator",
    "between columns, \\t for a tab; if not given a comma, a tab in files named .tsv or "
    ".inter, or the one that the header has.",
    _tab,
)
@click.option(
    "--threshold", type=float, default=_FILTERS.threshold, help="Lowest rating that counts; all count if not given."
)
@click.option("--min_user", type=int, default=_FILTERS.min_user, help="Interactions a user must have.")
@click.option("--min_item", type=int, default=_FILTERS.min_item, help="Interactions an item must have.")
@click.option(
    "--k_core",
    is_flag=True,
    default=_FILTERS.k_core,
    help="Ask again until all have as many; otherwise counted once, as the authors do.",
)
@click.option(
    "--split",
    type=click.Choice(pipeline.SPLITS),
    default=pipeline.SPLITS[0],
    help="The HetComp paper's at random; by time for each user, at two points in time for all, or each user's last "
    "two; or none, one file for RecBole's own splitter.",
)
@click.option("--seed", type=int, default=0, help="Of the paper's split; 0 is the paper's.")
def prepare(
    format: str, input: Path, output: Path, name: str, overwrite: bool, split: str, seed: int, **chosen: Any
) -> int:
    """Write a raw file of interactions as RecBole's atomic files, with the paper's split or none, the settings to load
    them, and a data card. Says what is dropped and why.
    """
    with checking():
        layout = Layout(format, **{key: chosen[key] for key in READING_OPTIONS})
        filters = Filters(**{key: chosen[key] for key in _KEEPING})
        pipeline.check_names(name, split)
    try:
        prepared = pipeline.prepare(input, output, name, layout, filters, split, seed, overwrite)
    except (FileNotFoundError, FileExistsError) as error:
        raise WrongCall(in_words(error)) from error
    click.echo(prepared)
    file = shlex.quote(str(prepared.config_file))
    click.echo(f"use it: run_recbole --model=HetComp --dataset={name} --config_files={file}")
    return DONE
