"""How a command is declared: what all commands have in common, options that some share, options from declarations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from recbole_hetcomp.cli.errors import checking
from recbole_hetcomp.cli.overrides import read_settings
from recbole_hetcomp.cli.parameters import CommandWithSettings, ConfigFiles, ModelName, SettingWords
from recbole_hetcomp.declared import Settings, field_types
from recbole_hetcomp.serving import SEEN
from recbole_hetcomp.values import read_yaml

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]

_SETTINGS = "Any setting of RecBole or of the plugin may follow as --name=value, e.g. --seed=1 --embedding_size=16."
_CLICK_TYPES = {int: click.INT, float: click.FLOAT, str: click.STRING}


def command(
    name: str, takes_settings: bool = False, hint: str | None = None, epilog: str = "", **attributes: Any
) -> Callable[[Callable[..., int]], click.Command]:
    """Decorator of a command's function, which takes its options and returns the exit status.

    Words that are no options of the command are settings, handed over as ``settings``; or they are refused, unless it
    has an argument that takes any number of words. An option that all commands are to have is added here.

    Args:
        name: the command's name.
        takes_settings: whether any setting may follow.
        hint: what a refusal says besides the word; None names the help page.
        epilog: the help page's end.
        attributes: of ``click.command``.
    """

    def refused(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> None:
        if words and not ctx.resilient_parsing:
            raise click.UsageError(
                f"{words[0]!r} is not understood; {hint or f'{ctx.command_path} --help lists all arguments'}", ctx
            )

    def settings(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> Any:
        if ctx.resilient_parsing:  # a shell asks how a line may go on
            return words
        with checking():
            return read_settings(words)

    def declare(function: Callable[..., int]) -> click.Command:
        made = click.command(
            name,
            cls=CommandWithSettings if takes_settings else click.Command,
            context_settings={"show_default": True, "max_content_width": 120},
            epilog=" ".join(filter(None, [epilog, _SETTINGS if takes_settings else ""])) or None,
            **attributes,
        )(_extension(function))
        if any(parameter.nargs == -1 for parameter in made.params if isinstance(parameter, click.Argument)):
            return made
        made.context_settings["ignore_unknown_options"] = True
        words = click.Argument(
            ["settings"],
            nargs=-1,
            type=SettingWords() if takes_settings else click.UNPROCESSED,
            metavar="[--NAME=VALUE]..." if takes_settings else "",
            callback=settings if takes_settings else refused,
            expose_value=takes_settings,
        )
        made.params.append(words)
        return made

    return declare


def _extension(function: Function) -> Function:
    """``--extension``, which acts before any other option is looked at."""

    def use(ctx: click.Context, _: click.Parameter, names: Sequence[str]) -> None:
        from recbole_hetcomp.extensions import use_extension

        with checking():
            for name in names:
                use_extension(name)

    return click.option(
        "--extension",
        multiple=True,
        metavar="MODULE",
        is_eager=True,
        expose_value=False,
        callback=use,
        help="Module or Python file of yours with methods, teachers, formats or metrics (docs/extending.md).",
    )(function)


def model(default: str = "HetComp") -> Decorator:
    """``--model``; the command line over config files over the default."""
    help = "Any plugin or RecBole model; config files may name it."
    return click.option("--model", "-m", default=default, type=ModelName(), help=help, callback=_named_in_files)


def dataset() -> Decorator:
    """``--dataset``, likewise."""
    help = "Data set; config files may name it; ml-100k ships in RecBole."
    return click.option("--dataset", "-d", default="ml-100k", help=help, callback=_named_in_files)


def _named_in_files(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """What config files say of an option that is not given."""
    assert option.name is not None
    if ctx.get_parameter_source(option.name) is not ParameterSource.DEFAULT or ctx.resilient_parsing:
        return value
    for file in reversed(ctx.params.get("config_files") or ()):
        with checking():
            content = read_yaml(Path(file).read_text(encoding="utf-8-sig"))
        if isinstance(content, Mapping) and option.name in content:  # what cannot be read is refused with the Config
            return str(content[option.name])
    return value


def quick(function: Function) -> Function:
    """``--quick``, which becomes a setting among those that follow."""

    @functools.wraps(function)
    def call(quick: bool, settings: Mapping[str, Any], **others: Any) -> Any:
        return function(settings={**({"preset": "quick"} if quick else {}), **settings}, **others)

    help = "HetComp in about a minute, a first look: two cheap teachers, preset=quick."
    return click.option("--quick", is_flag=True, help=help)(call)  # type: ignore[return-value]


def warm_start(function: Function) -> Function:
    """``--warm-start``, which becomes a setting among those that follow."""

    @functools.wraps(function)
    def call(warm_start: Path | None, settings: Mapping[str, Any], **others: Any) -> Any:
        return function(
            settings={**({} if warm_start is None else {"warm_start": str(warm_start)}), **settings}, **others
        )

    help = "A student's checkpoint that student and teachers go on from, on today's data (docs/warm-start.md)."
    kind = click.Path(path_type=Path)
    return click.option("--warm-start", "--warm_start", type=kind, help=help)(call)  # type: ignore[return-value]


def student() -> Decorator:
    """``--checkpoint`` of a student."""
    kind = click.Path(path_type=Path)
    return click.option("--checkpoint", required=True, type=kind, help="The student that a run saved (.pth).")


def teachers_store() -> Decorator:
    """``--store_dir`` of the teachers of a saved student."""
    return click.option("--store_dir", help="The store of its teachers, where it is not where it was.")


def seen() -> Decorator:
    """``--seen``."""
    help = "Which items of a user are left out: all in the data set, or those of the training split."
    return click.option("--seen", type=click.Choice(SEEN), default=SEEN[0], help=help)


def config_files(help: str = "YAML files with settings, separated by spaces; may be given again.") -> Decorator:
    """``--config_files``, given to the function as a tuple of names; later ones win."""
    return click.option(
        "--config_files", multiple=True, type=ConfigFiles(), help=help, is_eager=True,
        callback=lambda ctx, option, given: tuple(name for names in given for name in names),
    )  # fmt: skip


def declared(group: type[Settings], names: Sequence[str] | None = None) -> Decorator:
    """One option for each declared setting, with its type, default, allowed values and meaning.

    Args:
        group: the declarations; they check the values when the group is made.
        names: of the settings, None for all.
    """

    def add(function: Function) -> Function:
        for name in reversed(group.names() if names is None else names):
            function = click.option(f"--{name}", **_attributes(group, name))(function)
        return function

    return add


def _attributes(group: type[Settings], name: str) -> dict[str, Any]:
    kind = field_types(group)[name]
    inner = next((entry for entry in getattr(kind, "__args__", ()) if entry is not type(None)), kind)
    declaration, default = group.declarations()[name], group.defaults()[name]
    common = {"default": default, "help": declaration.meaning.replace("None: ", "not given: ")}
    if inner is bool:
        return {**common, "is_flag": True}
    choices = declaration.one_of
    return {**common, "type": _CLICK_TYPES[inner] if choices is None else click.Choice([str(c) for c in choices])}
