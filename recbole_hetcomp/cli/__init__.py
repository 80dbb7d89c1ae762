"""The commands ``hetcomp`` and ``run_recbole``: one file a command. Contents:

================  ===========================================================================
errors         what is printed and which exit status is given when something goes wrong
overrides      settings as words, ``--name=value``
options        how a command is declared; options that commands share
parameters     types of options and arguments, with what a shell completes
command_words  options of a command as the words that a person would type
=============  ===========================================================================

The other files are a command each. Nothing here imports RecBole, torch or Ray before a command runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from recbole_hetcomp.cli.errors import guarded
from recbole_hetcomp.version import __version__

COMMANDS = {
    "run": "train teachers, distil a student, print and write the table",
    "teachers": "train the teachers only, or look after those in the store",
    "import-teacher": "bring rankings that were made elsewhere, as a teacher",
    "export-rankings": "write any teacher, ensemble or student as a table",
    "recommend": "write the best items of users, of a saved model",
    "export": "write a student as vectors, ONNX and FAISS, each compared with the model for all users",
    "profile": "time student, teachers and ensemble side by side: size, latency, throughput",
    "check": "the gate of a build: does a student keep enough, is it fast and small; an exit status",
    "leaderboard": "all models trained on a data set: accuracy, size, latency, popularity",
    "select": "find the best student within a budget of bytes and milliseconds",
    "serve": "serve an exported student over HTTP, with a page to look at its lists",
    "tune": "search hyperparameters with Ray Tune, on one machine or a cluster",
    "models": "list the models that may teach or be taught",
    "store": "check every file of the trajectory store, and repair it",
    "prepare": "raw files to RecBole's, with the paper's split and a data card",
    "pipeline": "the whole way in one file: prepare, teachers, distil, evaluate, export, profile, report",
    "benchmark": "compare distillation methods, RecBole's models and the teachers' ensemble on one data set",
    "settings": "say what a setting means, or write the documents of all",
    "completion": "print the script that lets a shell complete these commands",
}
"""What each says of itself, here so that help imports none; it is the object of its name in its module, _ for -."""


class _Commands(click.Group):
    """Imports a command's module when it is called; help and shells' completion list it without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = name.replace("-", "_")
        return getattr(importlib.import_module(f"recbole_hetcomp.cli.{module}"), module)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        named = [CompletionItem(name, help=says) for name, says in COMMANDS.items() if name.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=_Commands,
    no_args_is_help=False,  # no command is a wrong call
    context_settings={"max_content_width": 120},
    epilog="Every setting: docs/settings.md. Results: results/<dataset>/<run>/.",
)
@click.version_option(__version__, message="recbole-hetcomp %(version)s")
def hetcomp() -> None:
    """Distil an ensemble of different recommenders into one small, fast model (HetComp, WWW 2023)."""


class _Bash(BashComplete):
    """Bash hands over ``--name=value`` as three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return [word for word in args if word != "="], "" if incomplete == "=" else incomplete


add_completion_class(_Bash)


def main(argv: Sequence[str] | None = None) -> int:
    """The ``hetcomp`` command; its exit status."""
    return guarded(hetcomp, "hetcomp", argv)


def run_recbole_main(argv: Sequence[str] | None = None) -> int:
    """The ``run_recbole`` command; its exit status."""
    from recbole_hetcomp.cli.run_recbole import run_recbole

    return guarded(run_recbole, "run_recbole", argv)


def run_hyper_main(argv: Sequence[str] | None = None) -> int:
    """RecBole's ``run_hyper.py``; its exit status."""
    from recbole_hetcomp.cli.run_hyper import run_hyper

    return guarded(run_hyper, "run_hyper.py", argv)
