"""``hetcomp pipeline``: the whole way from raw data to an exported student, in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.command_words import check_words, option_words
from recbole_hetcomp.cli.errors import DONE, FAILED, WrongCall, checking

FILE = "pipeline.yaml"
_PATH = click.Path(path_type=Path, dir_okay=False)
_file = click.argument("file", nargs=1, default=FILE, type=_PATH)


@options.command("run", short_help="run the steps that have something new to do")
@_file
@click.option("--dry", is_flag=True, help="Only say which steps would run, and why; write nothing.")
@click.option(
    "--from", "start", metavar="STEP", help="Run this step and all after it, whether or not anything changed."
)
@click.option("--only", metavar="STEP", help="Run this step alone, changed or not.")
def run(file: Path, dry: bool, start: str | None, only: str | None) -> int:
    """Go the way that FILE (pipeline.yaml) describes: prepare, teachers, distil, evaluate, export, profile, report.

    A step is skipped where its settings, the content of what it reads and what it wrote are as they were. A run that
    was stopped goes on with the same command.
    """
    from recbole_hetcomp.pipeline.run import Plan, StepFailedError, check_inputs, describe, run_pipeline

    with checking():
        pipeline, steps = _read(file)
        plan = Plan(pipeline, steps, start, only)
    if dry:
        describe(plan, click.echo)
        return DONE
    with checking():
        check_inputs(plan)
    try:
        run_pipeline(plan, click.echo)
    except StepFailedError as error:
        click.echo(f"error: {error}", err=True)
        return FAILED
    return DONE


def _read(file: Path) -> tuple[Any, Any]:
    """A pipeline and its steps, each command's options checked by the command."""
    from recbole_hetcomp.extensions import use_extension
    from recbole_hetcomp.pipeline.file import read_pipeline
    from recbole_hetcomp.pipeline.steps import steps_of

    pipeline = read_pipeline(file)
    with _inside(pipeline.folder):
        for name in pipeline.keys.extensions:
            use_extension(name)
        steps = steps_of(pipeline, option_words)
        for step in steps:
            for words in step.words:
                if words[0] == "hetcomp":
                    check_words(step.name, words)
    return pipeline, steps


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@options.command("init", short_help="write a first file, with comments")
@_file
@click.option(
    "--input",
    type=click.Path(path_type=Path, exists=True),
    help="Your interactions, a CSV or Parquet table; ml-100k, which ships in RecBole, if not given.",
)
@click.option("--name", help="What your data set is called; the input's name if not given.")
def init(file: Path, input: Path | None, name: str | None) -> int:
    """Write FILE (pipeline.yaml), which runs as it is."""
    from recbole_hetcomp.files import write_text_whole
    from recbole_hetcomp.pipeline.template import template

    if file.exists():
        raise WrongCall(f"{file} is there already: delete it, or give another name")
    if not file.absolute().parent.is_dir():
        raise WrongCall(f"{file.absolute().parent} does not exist")
    with checking():
        text = template(file, input, name)
    write_text_whole(file, text)
    click.echo(f"{file}: hetcomp pipeline run {file} goes the way, --dry says what it would do")
    return DONE


@options.command("dvc", short_help="write the steps as stages of DVC")
@_file
def dvc(file: Path) -> int:
    """Write dvc.yaml beside FILE (pipeline.yaml): a stage a step, for those who use DVC. Write it anew when FILE has
    other steps.
    """
    from recbole_hetcomp.files import write_text_whole
    from recbole_hetcomp.pipeline.dvc import DVC, MARK, stages

    with checking():
        pipeline, steps = _read(file)
        target = pipeline.folder / DVC
        if target.exists() and not target.read_text(encoding="utf-8").startswith(MARK):
            raise FileExistsError(f"{target} is there already, and hetcomp pipeline dvc did not write it")
        text = stages(pipeline, steps)
    write_text_whole(target, text)
    click.echo(f"{target}: dvc repro runs the {len(steps)} stages")
    return DONE


@click.group("pipeline", no_args_is_help=False, context_settings={"max_content_width": 120})
def pipeline() -> None:
    """From raw data to an exported student in one file: run it, write a first one, or write it for DVC."""


for _command in (run, init, dvc):
    pipeline.add_command(_command)
