"""Options of a command as the words that a person would type, and whether it takes them; nothing is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from recbole_hetcomp.cli.errors import WrongCall
from recbole_hetcomp.declared import did_you_mean, suggestion


def option_words(name: str, options: Mapping[str, Any]) -> list[str]:
    """A command's options as words.

    Args:
        name: the command's.
        options: {option: value}: True for a flag, a list for several values, a mapping for ``name=value`` pairs; None
            and False are not given.

    Raises:
        ValueError: the command has no such option; names the closest one.

    >>> option_words("prepare", {"format": "table", "k_core": True, "keep_columns": ["genre", "price:float"]})
    ['--format=table', '--k_core', '--keep_columns=genre,price:float']
    """
    known = {word.lstrip("-"): option for option in _options(command_of(name)) for word in option.opts}
    words: list[str] = []
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"{name}.{key} is no option of hetcomp {name}{did_you_mean(key, sorted(known))}")
        words += _words(known[key], value)
    return words


def check_words(name: str, words: Sequence[str]) -> None:
    """Refuse words that a command would refuse when it reads them.

    Args:
        name: what is called so in the message.
        words: ``hetcomp``, a command, its options; config files, which may not be there yet, are not looked at.

    Raises:
        WrongCall: says which word, and what is allowed.
    """
    command, rest = command_of(words[1]), list(words[2:])
    while "--config_files" in rest:
        place = rest.index("--config_files")
        del rest[place : place + 2]
    if isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    try:
        command.make_context(" ".join(words[:2]), rest).close()
    except click.ClickException as error:
        raise WrongCall(f"{name}: {error.format_message()}") from error


def command_of(name: str) -> click.Command:
    """A command by its name.

    Raises:
        ValueError: there is none.
    """
    cli = importlib.import_module("recbole_hetcomp.cli")
    command = cli.hetcomp.get_command(click.Context(cli.hetcomp), name)
    if command is None:
        raise ValueError(f"there is no command hetcomp {name}{suggestion(name, cli.COMMANDS)}")
    return command


def _options(command: click.Command) -> list[click.Option]:
    return [option for option in command.params if isinstance(option, click.Option) and not option.is_eager]


def _words(option: click.Option, value: Any) -> list[str]:
    name = option.opts[0]
    if value is None or value is False:
        return []
    if option.is_flag:
        return [name] if value is True else [f"{name}={value}"]
    if option.multiple:
        return [f"{name}={one}" for one in (value if isinstance(value, (list, tuple)) else [value])]
    if option.nargs != 1:
        return [name, *map(str, value if isinstance(value, (list, tuple)) else [value])]
    if isinstance(value, Mapping):
        return [f"{name}=" + ",".join(f"{key}={one}" for key, one in value.items())]
    return [f"{name}=" + (",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))]
