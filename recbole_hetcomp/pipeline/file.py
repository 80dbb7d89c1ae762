"""The file of a pipeline: every key once, with its type, default and meaning. Unknown keys are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import attrs
import yaml

from recbole_hetcomp.declared import Settings, convert, did_you_mean, field_types, setting, settings_group
from recbole_hetcomp.values import read_yaml

OPTIONAL = ("teachers", "evaluate", "export", "profile", "report")
"""Steps that may be left out; a run without its own step for teachers trains them itself."""
_GIVEN_BY_STEPS = ("store_dir", "result_dir", "checkpoint_dir", "resume")
_OPTIONS_OF_STEPS = {
    "prepare": ("output", "name"),
    "tune": ("output", "model", "resume"),
    "export": ("checkpoint", "to"),
    "profile": ("checkpoint", "to"),
}
"""Options of commands that the steps give themselves."""


@settings_group
class PipelineFile(Settings):
    """What the keys of the file say. Paths count from the file's folder."""

    output: str = setting("pipeline", "Folder of all that the steps write.")
    dataset: str = setting("ml-100k", "Name of the data set; with prepare, of the one that it makes.")
    prepare: Optional[Mapping[str, Any]] = setting(
        None, "Options of hetcomp prepare: format, input, split …; None: the data set is in RecBole's files already."
    )
    config_files: tuple[str, ...] = setting((), "YAML files with settings of all runs.")
    extensions: tuple[str, ...] = setting((), "Modules or Python files of yours.")
    settings: Mapping[str, Any] = setting({}, "Settings of all runs: split, metrics, topk, seed, teacher_config …")
    teachers: Optional[tuple[str, ...]] = setting(None, "The teachers; None: those that the settings or defaults say.")
    imported: Mapping[str, Mapping[str, Any]] = setting(
        {}, "Rankings made elsewhere, {NAME: options of hetcomp import-teacher}; teachers names them import:NAME."
    )
    parallel_teachers: bool = setting(False, "Whether teachers are trained at once, as Ray tasks.")
    model: str = setting("HetComp", "The method that distils.")
    student: Mapping[str, Any] = setting({}, "Settings of the student: embedding_size, epochs, learning_rate …")
    tune: Optional[Mapping[str, Any]] = setting(
        None, "Options of hetcomp tune: num_samples, epochs, space …; the best settings are distilled. None: no search."
    )
    export: Mapping[str, Any] = setting({}, "Options of hetcomp export.")
    profile: Mapping[str, Any] = setting({}, "Options of hetcomp profile.")
    store: Optional[str] = setting(None, "Folder of the trajectory store; None: store in output.")
    skip: tuple[str, ...] = setting((), f"Steps that are left out, of {', '.join(OPTIONAL)}.")

    def check(self) -> None:
        """Refuse steps that cannot be left out, teachers that nobody imports, and places that steps give themselves."""
        super().check()
        for name in self.skip:
            if name not in OPTIONAL:
                raise ValueError(f"skip names {name!r}{did_you_mean(name, OPTIONAL)}")
        for name in self.imported:
            if f"import:{name}" not in (self.teachers or self.settings.get("teachers") or ()):
                raise ValueError(f"imported brings {name!r}, which teachers does not name: add import:{name} to them")
        for key in ("output", "store"):
            if getattr(self, key) is not None and not getattr(self, key).strip():
                raise ValueError(
                    f"{key}={getattr(self, key)!r} is not allowed: a folder is needed, '.' for the file's own"
                )
            if "://" in (getattr(self, key) or ""):
                raise ValueError(f"{key}={getattr(self, key)!r} is not allowed: a folder, not an address")
        for key, given in {**dict.fromkeys(("settings", "student"), _GIVEN_BY_STEPS), **_OPTIONS_OF_STEPS}.items():
            taken = [name for name in given if name in (getattr(self, key) or {})]
            if taken:
                raise ValueError(f"{key}.{taken[0]} is not allowed: the pipeline keeps its files in output and store")


@attrs.frozen
class Pipeline:
    """A pipeline's file, read.

    Attributes:
        file: the file.
        keys: what it says.
        given: names of the keys that it says something of.
    """

    file: Path
    keys: PipelineFile
    given: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the steps work: the file's folder."""
        return self.file.parent

    @property
    def output(self) -> Path:
        """Folder of all that the steps write."""
        return self.folder / self.keys.output

    @property
    def store(self) -> str:
        """The trajectory store, a path from the file's folder."""
        return self.keys.store or f"{self.keys.output}/store"


def read_pipeline(file: Path) -> Pipeline:
    """Read a pipeline's file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no YAML, a key is unknown, or a value is not allowed.
        TypeError: a value has the wrong type.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: hetcomp pipeline init {file} writes one")
    try:
        content = read_yaml(file.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    return Pipeline(file.absolute(), read_keys(content), tuple(content or ()))


def read_keys(content: Any) -> PipelineFile:
    """The content of a file as keys.

    Raises:
        ValueError, TypeError: as :func:`read_pipeline`.

    >>> read_keys({"outptu": "here"})
    Traceback (most recent call last):
    ValueError: unknown key 'outptu'; did you mean 'output'? Allowed: output, dataset, prepare, config_files, \
extensions, settings, teachers, imported, parallel_teachers, model, student, tune, export, profile, store, skip.
    """
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise TypeError(f"a pipeline is a mapping of keys and values, not a {type(content).__name__}")
    kinds = field_types(PipelineFile)
    for key in content:
        if key not in kinds:
            raise ValueError(f"unknown key {str(key)!r}{did_you_mean(str(key), list(kinds))}")
    return PipelineFile(**{name: convert(name, value, kinds[name]) for name, value in content.items()})
