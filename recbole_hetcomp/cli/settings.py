"""``hetcomp settings``: what is known of a setting; the documents that are written from the declarations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, WrongCall


@options.command("settings")
@click.argument("names", nargs=-1)
@click.option("--write", is_flag=True, help="In a checkout, write the property files and docs/settings.md anew.")
def settings(names: Sequence[str], write: bool) -> int:
    """Say what settings mean: their types, defaults and allowed values. Without a name, print the page of all."""
    import recbole  # noqa: F401  (the methods' settings come with the plugin's models)

    from recbole_hetcomp.files import properties_dir, write_text_whole
    from recbole_hetcomp.methods.reference import described, settings_page, written_files

    if write:
        for file, text in written_files(_checkout(properties_dir())).items():
            write_text_whole(file, text)
            click.echo(f"wrote {file}")
        return DONE
    try:
        click.echo("\n".join(map(described, names)) if names else settings_page())
    except KeyError as error:
        raise WrongCall(str(error.args[0])) from error
    return DONE


def _checkout(properties: Path) -> Path:
    """The checkout whose property files these are."""
    root = properties.parent
    if not (root / "setup.py").is_file():
        raise WrongCall(f"--write needs a checkout; {properties} is in none")
    return root
