"""The steps of a pipeline: the words that each runs, what it reads, what it writes.

=========  ==========================================  =====================================================
prepare    ``hetcomp prepare``                         ``data/<dataset>``
import     ``hetcomp import-teacher``, one a ranking   entries of the store
teachers   ``hetcomp teachers``                        entries of the store
tune       ``hetcomp tune``                            ``tune/best.yaml``
distil     ``hetcomp run``                             ``student/``: student.pth, results.json, results.csv
evaluate   ``recbole_hetcomp.pipeline.evaluation``     ``evaluation.json``
export     ``hetcomp export``                          ``export/``
profile    ``hetcomp profile``                         ``profile/``
report     ``recbole_hetcomp.pipeline.report``         ``report.html``, ``report.md``
=========  ==========================================  =====================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole_hetcomp.files import DamagedFileError, write_whole
from recbole_hetcomp.pipeline.file import Pipeline
from recbole_hetcomp.trajectories.entry import entries_of
from recbole_hetcomp.trajectories.imported import FOLDER as IMPORTED
from recbole_hetcomp.tune.options import PLAN
from recbole_hetcomp.values import as_plain, read_value, read_yaml

STUDENT = "student.pth"
"""In the folder ``student``: the distilled student, under the same name whatever the run was called."""
RESULTS = "results.json"
_ALONE = "NoKD-"  # begins the name of a student alone in the store, which is no teacher

Words = list[str]
OptionWords = Callable[[str, Mapping[str, Any]], Words]
"""A command's name and its options → words; refuses an option that the command does not have."""


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        name: its name.
        words: what it runs, one list of words a process: ``hetcomp``, a command, its options; or ``python -m`` …
        reads: files and folders from outside of the pipeline.
        after: steps whose outputs it reads.
        writes: files and folders that are there when it has ended, or folders whose entries are.
        finish: what is left to do when its processes have ended.
        found: what it wrote, where that is not all that lies in ``writes``.
        going_on: words that go on with it where it was interrupted, and the file that is then there.
        check: words that check the settings of a training before any begins.
    """

    name: str
    words: tuple[Words, ...]
    reads: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    finish: Callable[[], None] | None = None
    found: Callable[[], Sequence[str]] | None = None
    going_on: tuple[str, Words] | None = None
    check: Words | None = None

    def written(self) -> list[str]:
        """The paths that its outputs are."""
        return list(self.writes if self.found is None else self.found())


def steps_of(pipeline: Pipeline, option_words: OptionWords) -> list[Step]:
    """The steps of a pipeline, in their order, without those that are left out.

    Args:
        pipeline: the pipeline.
        option_words: writes a command's options.

    Raises:
        ValueError: an option is not known to its command.
    """
    made, keys = _Steps(pipeline, option_words), pipeline.keys
    ways: dict[str, Callable[[], Step]] = {
        **({} if keys.prepare is None else {"prepare": made.prepare}),
        **({"import": made.imports} if keys.imported else {}),
        "teachers": made.teachers,
        **({} if keys.tune is None else {"tune": made.tune}),
        "distil": made.distil,
        "evaluate": made.evaluate,
        "export": made.export,
        "profile": made.profile,
        "report": made.report,
    }
    names = [name for name in ways if name not in keys.skip]
    steps = [ways[name]() for name in names]
    return [replace(step, after=tuple(name for name in step.after if name in names)) for step in steps]


class _Steps:
    """Makes each step."""

    def __init__(self, pipeline: Pipeline, option_words: OptionWords) -> None:
        self.pipeline, self.keys, self.option_words = pipeline, pipeline.keys, option_words
        self.out = pipeline.keys.output

    def prepare(self) -> Step:
        options = dict(self.keys.prepare or {})
        folder = f"{self.out}/data"
        place = str(
            (self.pipeline.folder / folder).absolute()
        )  # stands in the data set's settings: a move makes it anew
        words = self._command("prepare", {**options, "output": place, "name": self.keys.dataset, "overwrite": True})
        return Step("prepare", (words,), _texts(options.get("input")), writes=(f"{folder}/{self.keys.dataset}",))

    def imports(self) -> Step:
        lines, reads = [], []
        for name, options in self.keys.imported.items():
            command = self._command("import-teacher", {"name": name, "replace": True, **options})
            lines.append([*command, *self._data(), *_settings(self._common())])
            reads += [path for key in ("table", "vectors", "ids", "checkpoint") for path in _texts(options.get(key))]
        entries = tuple(f"{self.pipeline.store}/{IMPORTED}/{name}" for name in self.keys.imported)
        return Step("import", tuple(lines), self._files(*reads), ("prepare",), entries)

    def teachers(self) -> Step:
        words = ["hetcomp", "teachers", "train", *self._extensions(), *self._data()]
        words += ["--parallel"] if self.keys.parallel_teachers else []
        words += _settings({**self._common(), "checkpoint_dir": f"{self.out}/teachers"})
        return Step(
            "teachers", (words,), self._files(), ("prepare", "import"), (self.pipeline.store,), found=self._entries
        )

    def tune(self) -> Step:
        folder, options = f"{self.out}/tune", dict(self.keys.tune or {})
        words = self._command("tune", {**options, "model": self.keys.model, "output": folder})
        student = {name: value for name, value in self.keys.student.items() if name not in options}
        words += [*self._data(), *_settings({**self._common(), **student})]
        on = ["hetcomp", "tune", *self._extensions(), "--resume", "--output", folder]
        reads, after = self._files(*_texts(options.get("space"))), ("prepare", "import", "teachers")
        return Step("tune", (words,), reads, after, (f"{folder}/best.yaml",), going_on=(f"{folder}/{PLAN}", on))

    def distil(self) -> Step:
        places = {"result_dir": f"{self.out}/student", "checkpoint_dir": f"{self.out}/student"}
        run = ["hetcomp", "run", *self._extensions(), "--model", self.keys.model]
        words = [*run, *self._data(), *_settings({**self._common(), **self.keys.student, **places})]
        check = [*words, "--dry_run"]
        if self.keys.tune is not None:  # the best settings, with all the others
            words = [*run, "--dataset", self.keys.dataset, "--config_files", f"{self.out}/tune/best.yaml"]
            words += _settings({"store_dir": self.pipeline.store, **places})
        writes = tuple(f"{self.out}/student/{name}" for name in (STUDENT, RESULTS, "results.csv"))
        after = ("prepare", "import", "teachers", "tune")
        return Step("distil", (words,), self._files(), after, writes, finish=self._name_student, check=check)

    def evaluate(self) -> Step:
        words = [
            *_module("evaluation"),
            self._student(),
            f"{self.out}/student/{RESULTS}",
            f"{self.out}/evaluation.json",
        ]
        return Step("evaluate", (words,), self._files(), ("prepare", "distil"), (f"{self.out}/evaluation.json",))

    def export(self) -> Step:
        return self._of_student("export", self.keys.export)

    def profile(self) -> Step:
        return self._of_student("profile", self.keys.profile)

    def _of_student(self, name: str, options: Mapping[str, Any]) -> Step:
        place = f"{self.out}/{name}"
        words = self._command(name, {"checkpoint": self._student(), "to": place, **options})
        return Step(name, (words,), self._files(), ("prepare", "teachers", "distil"), (place,))

    def report(self) -> Step:
        after = ("prepare", "distil", "evaluate", "export", "profile")
        pages = (f"{self.out}/report.html", f"{self.out}/report.md")
        return Step("report", ([*_module("report"), self.out, self.keys.dataset],), (), after, pages)

    # -- parts of words ---------------------------------------------------------------------------------------

    def _command(self, name: str, options: Mapping[str, Any]) -> Words:
        return ["hetcomp", name, *self._extensions(), *self.option_words(name, options)]

    def _extensions(self) -> Words:
        return [word for module in self.keys.extensions for word in ("--extension", module)]

    def _data(self) -> Words:
        words = ["--dataset", self.keys.dataset]
        for file in self._config_files():
            words += ["--config_files", file]
        return words

    def _config_files(self) -> list[str]:
        name = self.keys.dataset
        prepared = [] if self.keys.prepare is None else [f"{self.out}/data/{name}/{name}.yaml"]
        return [*prepared, *self.keys.config_files]

    def _common(self) -> dict[str, Any]:
        teachers = {} if self.keys.teachers is None else {"teachers": list(self.keys.teachers)}
        return {"store_dir": self.pipeline.store, **self.keys.settings, **teachers}

    def _student(self) -> str:
        return f"{self.out}/student/{STUDENT}"

    def _files(self, *more: str) -> tuple[str, ...]:
        """Files from outside that a run reads: its config files, modules of the user's, the data set if it is one."""
        modules = [name for name in self.keys.extensions if (self.pipeline.folder / name).is_file()]
        return (*self.keys.config_files, *modules, *self._own_data(), *more)

    def _own_data(self) -> list[str]:
        """The folder of a data set that is RecBole's files already; ml-100k lies inside RecBole."""
        name = self.keys.dataset
        if self.keys.prepare is not None or name == "ml-100k":
            return []
        roots = [_data_path(self.pipeline.folder / file) for file in self.keys.config_files]
        root = [*filter(None, ["dataset", *roots, self.keys.settings.get("data_path")])][-1]
        return [f"{root}/{name}"] if (self.pipeline.folder / str(root) / name).is_dir() else []

    # -- what is found when a step has ended ------------------------------------------------------------------

    def _entries(self) -> list[str]:
        store = self.pipeline.folder / self.pipeline.store
        names = [
            path for path in entries_of(store) if not path.name.startswith(_ALONE) and path.parent.name != IMPORTED
        ]
        return [f"{self.pipeline.store}/{path.relative_to(store).as_posix()}" for path in names]

    def _name_student(self) -> None:
        """Give the run's checkpoint its fixed name too."""
        folder = self.pipeline.output / "student"
        about = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        saved = folder / f"{about['dataset']}-{about['run']}.pth"
        if not saved.is_file():
            raise DamagedFileError(f"{saved} is not there, the student of {folder / RESULTS}")
        content = saved.read_bytes()
        write_whole(folder / STUDENT, lambda path: Path(path).write_bytes(content))


def _data_path(file: Path) -> str | None:
    """What a config file says of where data sets lie."""
    content = read_yaml(file.read_text(encoding="utf-8-sig")) if file.is_file() else None
    return content.get("data_path") if isinstance(content, Mapping) else None


def _module(name: str) -> Words:
    return ["python", "-m", f"recbole_hetcomp.pipeline.{name}"]


def _texts(given: Any) -> tuple[str, ...]:
    """Paths of an option: none, one or several."""
    if given is None:
        return ()
    return tuple(map(str, given)) if isinstance(given, (list, tuple)) else (str(given),)


def _settings(given: Mapping[str, Any]) -> Words:
    """Settings as a command line gives them.

    >>> _settings({"teachers": ["BPR"], "preset": "quick", "p": None, "note": "1"})
    ['--teachers=["BPR"]', '--preset=quick', '--p=null', "--note='1'"]
    """
    return [f"--{name}={as_text(value)}" for name, value in given.items()]


def as_text(value: Any) -> str:
    """A value as a text that is read as this value again, the plainest there is."""
    plain = as_plain(value)
    texts = [plain] if isinstance(plain, str) else [json.dumps(plain, ensure_ascii=False)]
    return next((text for text in texts if _same(read_value(text), plain)), repr(plain))


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
