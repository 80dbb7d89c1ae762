"""``hetcomp export-rankings``: any teacher, ensemble or student as a table of rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking


@options.command(
    "export-rankings",
    takes_settings=True,
)
@click.option("--source", required=True, help="A checkpoint (.pth), import:NAME, or an entry of the store.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File: .parquet, .csv, .tsv or .trec.")
@click.option("--format", type=click.Choice(["parquet", "csv", "trec"]), help="The table's; by its ending otherwise.")
@click.option("--length", default=100, help="Items of a list of a checkpoint; a store's are as long as they are.")
@options.dataset()
@options.config_files()
def export_rankings(
    source: str, output: Path, format: str | None, length: int, dataset: str, config_files: Sequence[str],
    settings: Mapping[str, Any],
) -> int:  # fmt: skip
    """Write a teacher, an ensemble or a student as a table of rankings by external ids (docs/rankings.md).

    A checkpoint knows its data; an entry of the store needs the data set and split that it was made from.
    """
    from recbole_hetcomp.data.rankings.reading import table_format
    from recbole_hetcomp.teachers import exporting

    with checking():
        format = format or table_format(output)
        if length < 1:
            raise ValueError(f"length={length} is not allowed: at least 1")
        if not output.absolute().parent.is_dir():
            raise FileNotFoundError(f"{output.absolute().parent} does not exist")
    if source.endswith(".pth"):
        with checking():
            if not Path(source).is_file():
                raise FileNotFoundError(f"{source} does not exist")
        rows = exporting.export_model(Path(source), output, length, format)
    else:
        rows = _export_entry(source, output, format, dataset, config_files, settings)
    click.echo(f"{output}: {rows} rows")
    return DONE


def _export_entry(
    source: str, output: Path, format: str, dataset: str, config_files: Sequence[str], settings: Mapping[str, Any]
) -> int:
    from recbole_hetcomp.teachers import exporting
    from recbole_hetcomp.teachers.importing import TargetData
    from recbole_hetcomp.trajectories import TrajectoryStore
    from recbole_hetcomp.trajectories.housekeeping import find, stored_teachers
    from recbole_hetcomp.trajectories.imported import read_imported

    with checking():
        target = TargetData.load(dataset, config_files, settings)
        store = target.settings.store_dir
        entry = find(stored_teachers(store), source)
        made_for = entry.folder.parent.name
        if not entry.imported and made_for != target.data.fingerprint:
            raise ValueError(
                f"{entry.folder} is of other data, or of another split, than these settings give "
                f"({target.data.fingerprint}); give the data set, seed and eval_args that it was made with"
            )
        if entry.imported:
            rankings = read_imported(store, entry.folder.name)
            if rankings.about["data"]["ids"] != target.data.ids:
                raise ValueError(f"{entry.name} is of other users and items than data set {dataset!r} has here")
            rankings.verify()
    if entry.imported:
        return exporting.export_imported(target, rankings, output, format)
    return exporting.export_trajectory(target, TrajectoryStore(store).open(entry.folder), output, format)
