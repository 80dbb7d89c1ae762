"""``hetcomp models``."""

from __future__ import annotations

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE


@options.command("models")
def models() -> int:
    """List the models that may teach or be taught."""
    from recbole_hetcomp.recbole_bridge.registry import TEACHER, general_models, models_of_role, registered

    for name in general_models():
        notes = ["plugin"] if name in registered() else []
        if name in models_of_role(TEACHER):
            notes.append("may teach")
        click.echo(f"{name:20} {', '.join(notes)}")
    return DONE
