"""``hetcomp models``."""

from __future__ import annotations

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE


@options.command("models")
def models() -> int:
    """List the models that may teach or be taught."""
    from recbole_hetcomp.recbole_bridge.registry import general_models, registered, role_in_words, teaching_models

    for name in sorted({*general_models(), *teaching_models()}):
        notes = ["plugin"] if name in registered() else []
        click.echo(f"{name:20} {', '.join([*notes, role_in_words(name)])}")
    return DONE
