"""``hetcomp completion``: shells complete commands, options, settings, models and configs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from recbole_hetcomp.cli.options import command

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("hetcomp", "run_recbole")


@command("completion")
@click.argument("shell", type=click.Choice(SHELLS), default="bash")
def completion(shell: str) -> int:
    """Print the script that lets a shell complete these commands.

    \b
    bash:  eval "$(hetcomp completion bash)"    in ~/.bashrc
    zsh:   eval "$(hetcomp completion zsh)"     in ~/.zshrc
    fish:  hetcomp completion fish | source     in ~/.config/fish/config.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    for program in PROGRAMS:
        click.echo(made(click.Command(program), {}, program, f"_{program.upper()}_COMPLETE").source())
    return 0
