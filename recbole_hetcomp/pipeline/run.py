"""Runs the steps of a pipeline, each in processes of its own, and none that has nothing new to do."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_hetcomp import children
from recbole_hetcomp.declared import did_you_mean
from recbole_hetcomp.extras import EXTRAS, require
from recbole_hetcomp.file_errors import check_folder
from recbole_hetcomp.locks import BusyError, Lock
from recbole_hetcomp.pipeline.contents import checksums
from recbole_hetcomp.pipeline.file import Pipeline
from recbole_hetcomp.pipeline.state import Done, State, fingerprint, why_again
from recbole_hetcomp.pipeline.steps import Step, Words
from recbole_hetcomp.version import __version__

Say = Callable[[str], Any]

_TRAINING = ("teachers", "tune", "distil")


class StepFailedError(RuntimeError):
    """A step did not end well; what it said stands above."""


@dataclass(frozen=True)
class Plan:
    """What is run of a pipeline.

    Attributes:
        pipeline: the pipeline.
        steps: its steps.
        start: the first step that runs whether or not anything has changed, with all after it; None: there is none.
        only: the one step that runs, whether or not anything has changed; None: all.
    """

    pipeline: Pipeline
    steps: Sequence[Step]
    start: str | None = None
    only: str | None = None

    def __post_init__(self) -> None:
        """Refuse names of steps that the pipeline does not have.

        Raises:
            ValueError: names the closest one.
        """
        names = [step.name for step in self.steps]
        for option, name in (("--from", self.start), ("--only", self.only)):
            if name is not None and name not in names:
                raise ValueError(f"{option} {name!r} is no step of this pipeline{did_you_mean(name, names)}")
        if self.start is not None and self.only is not None:
            raise ValueError("give --from or --only, not both")

    def chosen(self) -> list[Step]:
        """The steps that are looked at."""
        return [step for step in self.steps if self.only in (None, step.name)]

    def forced(self) -> set[str]:
        """Names of steps that run in any case."""
        names = [step.name for step in self.steps]
        if self.only is not None:
            return {self.only}
        return set() if self.start is None else set(names[names.index(self.start) :])


def check_inputs(plan: Plan) -> None:
    """Refuse a pipeline that could not go its whole way, before any of it runs.

    Raises:
        FileNotFoundError: a file or folder that a step reads is not there.
        ValueError: something is in the way of the output folder.
        MissingPackageError: a package is not installed that a step needs.
    """
    check_folder("output", str(plan.pipeline.output))
    for step in plan.chosen():
        for path in step.reads:
            if not (plan.pipeline.folder / path).exists():
                raise FileNotFoundError(f"{path}, which the step {step.name} reads, does not exist")
        for name in ("export", "report"):
            if step.name == name:
                require(f"The step {name}", *_packages(name))


def _packages(step: str) -> list[str]:
    if step == "report":
        return ["jinja2", "matplotlib"]
    return [package for package, extra in EXTRAS.items() if extra == step]


def describe(plan: Plan, say: Say) -> None:
    """Say of each step whether it would run, why, and what; writes nothing."""
    state, new = State(plan.pipeline.output), set[str]()
    for step in plan.chosen():
        why = _why(plan, step, state)
        made_anew = [name for name in step.after if name in new]
        if why is None and made_anew:
            why = f"unless {made_anew[0]} makes the same as before"
        if why is None:
            say(f"{step.name}: unchanged")
            continue
        new.add(step.name)
        say(f"{step.name}: would run, {why}")
        for words in step.words:
            say(f"    {shlex.join(words)}")


def run_pipeline(plan: Plan, say: Say) -> None:
    """Run the steps whose settings, inputs or outputs have changed, in their order.

    What each step has done is written down when it has ended: a run that was stopped goes on where it was.

    Args:
        plan: what is run.
        say: takes a line of the log.

    Raises:
        StepFailedError: a step did not end well.
        ValueError: another run works on the same folder.
    """
    output = plan.pipeline.output
    output.mkdir(parents=True, exist_ok=True)
    lock = Lock(output / ".pipeline.lock", str(output))
    try:
        lock.acquire(wait=False)
    except BusyError as error:
        raise ValueError(str(error)) from error
    with lock:
        _run_all(plan, State(output), say)


def _run_all(plan: Plan, state: State, say: Say) -> None:
    started, ran = time.perf_counter(), 0
    checked = False
    for step in plan.chosen():
        why = _why(plan, step, state)
        if why is None:
            say(f"{step.name}: unchanged")
            continue
        if step.name in _TRAINING and not checked:
            _check_settings(plan)
            checked = True
        say(f"{step.name}: {why}")
        seconds = _run_step(plan, step, state)
        ran += 1
        say(f"{step.name}: done in {seconds:.1f} s")
    say(f"{ran} of {len(plan.chosen())} steps run in {time.perf_counter() - started:.1f} s: {plan.pipeline.output}")


def _why(plan: Plan, step: Step, state: State) -> str | None:
    if step.name in plan.forced():
        return "--only" if plan.only else f"--from {plan.start}"
    words, inputs = list(step.words), _inputs(plan, step, state)
    before = state.begun.get(step.name)
    if step.name not in state.done and before is not None:
        same = before == fingerprint(words, __version__, inputs)
        return "it did not end" if same else "it did not end, and what it is made from has changed"
    return why_again(state.done.get(step.name), words, __version__, inputs, plan.pipeline.folder)


def _inputs(plan: Plan, step: Step, state: State) -> dict[str, str | None]:
    """{path: checksum} of files from outside and of what earlier steps have written."""
    paths = [*step.reads]
    for earlier in plan.steps:
        if earlier.name in step.after:
            done = state.done.get(earlier.name)
            paths += earlier.written() if done is None else done.outputs
    return checksums(plan.pipeline.folder, dict.fromkeys(paths))


def _run_step(plan: Plan, step: Step, state: State) -> float:
    started, folder = time.perf_counter(), plan.pipeline.folder
    inputs = _inputs(plan, step, state)
    missing = [path for path, found in inputs.items() if found is None]
    if missing:
        raise ValueError(f"the step {step.name} reads {missing[0]}, which is not there: run the steps before it first")
    mark = fingerprint(step.words, __version__, inputs)
    lines = _to_run(plan, step, goes_on=state.begun.get(step.name) == mark and step.name not in state.done)
    state.begin(step.name, mark)
    for words in lines:
        _run_process(words, folder, step.name)
    if step.finish is not None:
        step.finish()
    outputs = checksums(folder, step.written())
    lost = [path for path, found in outputs.items() if found is None]
    if lost:
        raise StepFailedError(f"the step {step.name} ended, but {lost[0]} is not there")
    seconds = time.perf_counter() - started
    state.end(step.name, Done([list(words) for words in step.words], __version__, inputs, outputs, round(seconds, 1)))
    return seconds


def _to_run(plan: Plan, step: Step, goes_on: bool) -> Sequence[Words]:
    """The words of a step; of one that keeps a folder for itself, those that go on, or the folder is moved aside."""
    if step.going_on is None:
        return step.words
    name, words = step.going_on
    begun = plan.pipeline.folder / name
    if not begun.parent.exists():
        return step.words
    if goes_on and begun.is_file():
        return [words]
    folder, number = begun.parent, 1
    while (aside := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    os.rename(folder, aside)
    return step.words


def _run_process(words: Words, folder: Path, name: str) -> None:
    """Run a command of the plugin, or a module of it, in the pipeline's folder."""
    process = subprocess.Popen(argv(words), cwd=folder, env=children.environment())
    try:
        status = process.wait()
    except BaseException:
        children.end([process])
        raise
    if status:
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise StepFailedError(
            f"the step {name} ended with {how}; what was done before is kept, and the same command goes on from here"
        )


def argv(words: Words) -> list[str]:
    """A step's words as the process that runs them with this Python and this package."""
    if words[0] == "hetcomp":
        return [sys.executable, "-m", "recbole_hetcomp.cli", *words[1:]]
    return [sys.executable, *words[1:]]


def _check_settings(plan: Plan) -> None:
    """Let the run that distils check all its settings, before teachers are trained for it."""
    for step in plan.steps:
        if step.check is not None:
            _run_process(step.check, plan.pipeline.folder, step.name)
