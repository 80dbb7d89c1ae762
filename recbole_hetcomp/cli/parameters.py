"""Types of options and arguments, each with what a shell offers for it. Nothing is asked of RecBole for that."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.settings import HetCompSettings

_MODELS = ("teachers", "student_backbone")  # settings whose values are models


def known_models() -> list[str]:
    """Names of RecBole's general recommenders and of those the plugin has property files for, read from files."""
    names = {file.stem for file in (properties_dir() / "model").glob("*.yaml")}
    spec = importlib.util.find_spec("recbole")
    if spec is not None and spec.origin is not None:
        listing = Path(spec.origin).parent / "model" / "general_recommender" / "__init__.py"
        names.update(re.findall(r"^from \S+ import (\w+)", listing.read_text(encoding="utf-8"), re.MULTILINE))
    return sorted(names)


def known_configs() -> list[str]:
    """Names of the benchmark configs that come with the package."""
    return sorted(file.stem for file in (properties_dir() / "benchmark").glob("*.yaml"))


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class ModelName(click.ParamType):
    """Any name; that there is such a model is checked when RecBole has been imported."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Models."""
        return _starting(incomplete, known_models())


class ConfigFiles(click.ParamType):
    """Names of files, separated by spaces; a name with spaces stands alone, or in quotes of its own."""

    name = "files"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names; one of no file is refused."""
        names = _file_names(value) if isinstance(value, str) else tuple(value)
        missing = [name for name in names if not Path(name).is_file()]
        if missing:
            self.fail(f"config file {missing[0]!r} does not exist", param, ctx)
        return names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Files."""
        return click.Path().shell_complete(ctx, param, incomplete)


def _file_names(text: str) -> tuple[str, ...]:
    if Path(text).is_file():
        return (text,)
    try:
        return tuple(shlex.split(text)) if os.name == "posix" else tuple(text.split())
    except ValueError:  # a quote that is not closed is part of a name
        return tuple(text.split())


class BenchmarkConfig(click.ParamType):
    """A file, or the name of a config that comes with the package."""

    name = "file|name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names of configs that come with the package; files where none fits."""
        return _starting(incomplete, known_configs()) or [CompletionItem(incomplete, type="file")]


class SettingWords(click.ParamType):
    """Settings as words: after a setting's name its values are completed, also the last of a list."""

    name = "--name=value"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Values of the setting whose name stands before."""
        before = (ctx.params.get(param.name or "") or ("",))[-1].removeprefix("--")
        done = re.match(r".*[\[, ]|", incomplete)
        assert done is not None
        return _starting(incomplete, [done[0] + value for value in _values(before)])


def _values(setting: str) -> list[str]:
    declaration = HetCompSettings.declarations().get(setting)
    if declaration is None:
        return []
    if setting in _MODELS:
        return known_models()
    if declaration.one_of is not None:
        return [str(value) for value in declaration.one_of]
    return ["True", "False"] if isinstance(HetCompSettings.defaults()[setting], bool) else []


class CommandWithSettings(click.Command):
    """Completes the names of the plugin's settings after its own options."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options, then settings."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            for name, declaration in HetCompSettings.declarations().items():
                if f"--{name}".startswith(incomplete):
                    found.append(CompletionItem(f"--{name}", help=declaration.meaning))
        return found
