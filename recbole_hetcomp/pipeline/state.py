"""What was run, with which words and inputs, and what came out; why a step is to run again."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recbole_hetcomp.files import find_json, write_json
from recbole_hetcomp.pipeline.contents import checksum

STATE = "pipeline.json"
"""In the output folder: what is done."""
SCHEMA = 1


@dataclass(frozen=True)
class Done:
    """A step that has ended well.

    Attributes:
        words: what it ran, a list of words each.
        version: of this package.
        inputs: {path: checksum} of what it read.
        outputs: {path: checksum} of what it wrote.
        seconds: wall-clock seconds that it took.
    """

    words: list[list[str]]
    version: str
    inputs: dict[str, str | None]
    outputs: dict[str, str | None]
    seconds: float


class State:
    """The steps that are done, in a file that is written whole after each of them.

    Paths are from the folder of the pipeline's file, so that all of it may be moved.

    Args:
        output: the pipeline's output folder.
    """

    def __init__(self, output: Path) -> None:
        self.file = output / STATE
        kept: Mapping[str, Any] = find_json(self.file) or {}
        if kept.get("schema") != SCHEMA:
            kept = {}
        self.done = {name: Done(**one) for name, one in kept.get("steps", {}).items()}
        self.begun: dict[str, str] = dict(kept.get("begun", {}))

    def begin(self, name: str, mark: str) -> None:
        """Note that a step has begun, with the :func:`fingerprint` of what it is made from: it is not done any more."""
        self.done.pop(name, None)
        self.begun[name] = mark
        self._write()

    def end(self, name: str, done: Done) -> None:
        """Note that a step has ended well."""
        self.done[name] = done
        self._write()

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        steps = {name: asdict(one) for name, one in self.done.items()}
        write_json(self.file, {"schema": SCHEMA, "steps": steps, "begun": self.begun})


def fingerprint(words: Sequence[Sequence[str]], version: str, inputs: Mapping[str, str | None]) -> str:
    """SHA-256 of all that a step is made from: its words, the version of this package, its inputs' checksums."""
    text = json.dumps([[list(line) for line in words], version, dict(inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def why_again(
    done: Done | None, words: Sequence[Sequence[str]], version: str, inputs: Mapping[str, str | None], folder: Path
) -> str | None:
    """Why a step is to run, or None where all is as it was.

    Args:
        done: what is known of its last run.
        words: what it would run now.
        version: of this package.
        inputs: {path: checksum} of what it would read.
        folder: that the outputs' paths are from.
    """
    if done is None:
        return "it has not run yet"
    return next(_changes(done, words, version, inputs, folder), None)


def _changes(
    done: Done, words: Sequence[Sequence[str]], version: str, inputs: Mapping[str, str | None], folder: Path
) -> Iterator[str]:
    given, before = [list(line) for line in words], [list(line) for line in done.words]
    if given != before:
        yield _difference(*([word for line in lines for word in line] for lines in (given, before)))
    if version != done.version:
        yield f"recbole-hetcomp {version} made nothing of it yet, {done.version} did"
    for path, found in inputs.items():
        if path not in done.inputs:
            yield f"{path} is a new input"
        elif found != done.inputs[path]:
            yield f"{path} has changed" if found else f"{path} is gone"
    for path in done.inputs:
        if path not in inputs:
            yield f"{path} is no input any more"
    for path, known in done.outputs.items():
        found = checksum(folder / path)
        if found != known:
            yield f"{path}, which it wrote, {'has changed' if found else 'is gone'}"


def _difference(now: Sequence[str], before: Sequence[str]) -> str:
    """
    >>> _difference(["run", "--epochs=3"], ["run", "--epochs=2", "--seed=1"])
    'settings have changed: now --epochs=3; before --epochs=2 --seed=1'
    """
    new, old = ([word for word in some if word not in others] for some, others in ((now, before), (before, now)))
    said = [f"{when} {shlex.join(words)}" for when, words in (("now", new), ("before", old)) if words]
    return "settings have changed" + (f": {'; '.join(said)}" if said else "")
