"""The steps as stages of DVC (https://dvc.org): what each reads, writes, and which keys of the file it depends on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from recbole_hetcomp.pipeline.file import Pipeline
from recbole_hetcomp.pipeline.steps import Step

DVC = "dvc.yaml"
MARK = "# Written by hetcomp pipeline dvc"
_RUNS = ("config_files", "extensions", "settings", "store")
_KEYS = {
    "prepare": ("prepare",),
    "import": ("imported", *_RUNS),
    "teachers": ("teachers", "parallel_teachers", *_RUNS),
    "tune": ("tune", "model", "student", "teachers", *_RUNS),
    "distil": ("model", "student", "teachers", "tune", *_RUNS),
    "evaluate": (),
    "export": ("export",),
    "profile": ("profile",),
    "report": (),
}
"""Keys of the file that a step's words are made from, besides ``output`` and ``dataset``."""


def stages(pipeline: Pipeline, steps: Sequence[Step]) -> str:
    """The text of ``dvc.yaml``; each stage runs one step of the pipeline.

    Args:
        pipeline: the pipeline.
        steps: its steps.
    """
    file = pipeline.file.name
    lines = [f"{MARK} {shlex.quote(file)}: written anew by the same command.", ""]
    content = {"stages": {step.name: _stage(pipeline, step, {one.name: one for one in steps}) for step in steps}}
    return "\n".join(lines) + yaml.safe_dump(content, sort_keys=False, default_flow_style=False, width=100)


def _stage(pipeline: Pipeline, step: Step, steps: dict[str, Step]) -> dict[str, Any]:
    before = [path for name in step.after for path in outs(pipeline, steps[name])]
    given = [key for key in ("output", "dataset", *_KEYS[step.name]) if key in pipeline.given]
    stage: dict[str, Any] = {"cmd": f"hetcomp pipeline run {shlex.quote(pipeline.file.name)} --only {step.name}"}
    if given:
        stage["params"] = [{pipeline.file.name: given}]
    deps = list(dict.fromkeys([*step.reads, *before]))
    if deps:
        stage["deps"] = deps
    stage["outs"] = [{path: {"persist": True}} for path in outs(pipeline, step)]  # steps go on with what is there
    return stage


def outs(pipeline: Pipeline, step: Step) -> list[str]:
    """What a step writes, as DVC may know it: no path lies in another stage's."""
    if step.name == "teachers":
        return [f"{pipeline.keys.output}/teachers"]
    return list(step.writes)
