"""``hetcomp teachers contribution``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.file_errors import check_folder

if TYPE_CHECKING:
    from recbole_hetcomp.teachers.contribution import Contributions


@options.command(
    "contribution", takes_settings=True, short_help="say what each teacher gives to the ensemble, on validation"
)
@options.dataset()
@options.config_files()
@click.option("--output", type=click.Path(path_type=Path), help="Folder for two tables and a picture.")
def contribution(dataset: str, config_files: Sequence[str], settings: Mapping[str, Any], output: Path | None) -> int:
    """Say what each teacher gives to the ensemble and how alike the teachers are, on the validation split.

    Teachers that are not in the store yet are trained.
    """
    from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
    from recbole_hetcomp.recbole_bridge.quick_start import check_run
    from recbole_hetcomp.teachers.assessing import assess

    with checking():
        if output is not None:
            check_folder("output", str(output))
        check_run("TeacherEnsemble", dataset, config_files, settings)
    with command_line_hidden():
        found = assess(dataset, config_files, settings)
    _say(found)
    if output is not None:
        _write(found, output)
    return DONE


def _tables(found: Contributions) -> tuple[Any, Any]:
    """A row a teacher; and who has how much of whose best items."""
    import pandas as pd

    rows = [
        {
            "teacher": one.name,
            "alone": one.alone,
            "gain": one.gain,
            "standard_error": one.error,
            "shapley": one.shapley,
        }
        for one in found.teachers
    ]
    names = [one.name for one in found.teachers]
    shares = pd.DataFrame(found.agreement, columns=names)
    shares.insert(0, "of", names)
    return pd.DataFrame(rows), shares


def _say(found: Contributions) -> None:
    rows, shares = _tables(found)
    shapley = "all subsets" if found.exact else "random orders"
    click.echo(
        f"\nvalidation {found.metric}: {found.ensemble:.4f} of all teachers\n"
        f"gain: less that of the ensemble without the teacher; shapley: of {shapley}\n\n"
        f"{rows.to_markdown(index=False, floatfmt='.4f', tablefmt='github')}\n"
    )
    click.echo(
        f"share of one's first {found.length} items (row) that another has too (column):\n\n"
        f"{shares.to_markdown(index=False, floatfmt='.2f', tablefmt='github')}\n"
    )
    for line in found.in_words():
        click.echo(line)


def _write(found: Contributions, folder: Path) -> None:
    from recbole_hetcomp.files import write_csv
    from recbole_hetcomp.teachers.contribution_picture import draw_contributions

    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("contribution", "agreement"), _tables(found)):
        write_csv(folder / f"{name}.csv", table)
    draw_contributions(found, folder / "contribution.png")
    click.echo(f"Written to {folder}")
