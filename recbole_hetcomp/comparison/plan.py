"""A benchmark as dataclasses: every key of its config file is one field here.

``plan_file`` makes them from a file; ``checks`` checks what their names mean to RecBole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from recbole_hetcomp.values import as_plain


@dataclass(frozen=True)
class Entry:
    """A method or a baseline.

    Attributes:
        model: RecBole's name of its model (None: the entry's own name).
        settings: its settings, over all others.
        space: what its tuning trials draw, {setting: {kind: values}} as in ``recbole_hetcomp.tune.space``.
        like: name of the method whose model, settings and tuned settings it starts from: an ablation, not tuned itself.
        dimensions: the embedding sizes at which a method runs (None: all of the backbone).
        seeds: the seeds with which it runs (None: all): one is enough of what a fixed split decides, like EASE.
        tuned: False: it runs with its settings as they stand, or those of the method that it is like, untuned.
    """

    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    like: str | None = None
    dimensions: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    tuned: bool = True

    @property
    def has_trials(self) -> bool:
        """Whether it is tuned itself where there is a budget."""
        return self.tuned and bool(self.space)


@dataclass(frozen=True)
class Backbone:
    """A student backbone.

    Attributes:
        dimensions: the embedding sizes at which it is trained.
        methods: the methods that train it, and the settings of each that are this backbone's own (None: all methods).
        settings: settings of every student with this backbone.
    """

    dimensions: tuple[int, ...]
    methods: Mapping[str, Mapping[str, Any]] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Teachers:
    """The teachers, trained once for each split.

    Attributes:
        models: their names.
        settings: settings of single teachers, {name: {key: value}}.
        seed: the seed of their weights and batches (None: the split's).
    """

    models: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True)
class Students:
    """What is distilled, and how.

    Attributes:
        backbones: the backbones by name.
        methods: the methods by name.
        settings: settings of every student.
    """

    backbones: Mapping[str, Backbone]
    methods: Mapping[str, Entry]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuning:
    """The budget: the same number of trials, on validation data alone, for every method.

    Attributes:
        trials: trials of a method, the first with the settings as they stand; 0 for no tuning.
        dimensions: the embedding sizes at which students are tuned; others take the nearest one's settings
            (empty: each backbone's first dimension).
        search: ``random``.
        seed: of the draws.
        settings: settings of every trial, e.g. fewer epochs.
        finalists: the best trials that run again without these settings, on the first seed; validation decides among
            them (1: the best trial's settings are taken). What is best in few epochs may not be in many.
    """

    trials: int = 0
    dimensions: tuple[int, ...] = ()
    search: str = "random"
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    finalists: int = 1


@dataclass(frozen=True)
class BenchmarkPlan:
    """A benchmark.

    Attributes:
        dataset: RecBole's name of the data set.
        seeds: of the runs.
        teachers: see :class:`Teachers`.
        students: see :class:`Students`.
        baselines: RecBole's own models, by name.
        tuning: see :class:`Tuning`.
        settings: settings of every model: split, metrics, evaluation.
        data_path: folder of the data set's folder (None: RecBole's).
        split_seed: the one split of all seeds (None: each seed splits for itself). Fixed split files are one split.
        store_dir: folder of the trajectory store (None: ``store`` in the output folder).
        metric: the test metric that the report compares (None: the validation metric).
        workers: cells that run at once.
        threads: threads of each.
    """

    dataset: str
    seeds: tuple[int, ...]
    teachers: Teachers
    students: Students
    baselines: Mapping[str, Entry] = field(default_factory=dict)
    tuning: Tuning = field(default_factory=Tuning)
    settings: Mapping[str, Any] = field(default_factory=dict)
    data_path: str | None = None
    split_seed: int | None = None
    store_dir: str | None = None
    metric: str | None = None
    workers: int = 1
    threads: int = 1

    @property
    def one_split(self) -> bool:
        """Whether all seeds share a split."""
        return self.split_seed is not None or bool(self.settings.get("benchmark_filename"))

    def split_of(self, seed: int) -> int:
        """The seed that splits the data for a run's seed."""
        if self.split_seed is not None:
            return self.split_seed
        return self.seeds[0] if self.one_split else seed

    @property
    def splits(self) -> tuple[int, ...]:
        """The different splits, in the order of the seeds."""
        return tuple(dict.fromkeys(self.split_of(seed) for seed in self.seeds))

    def teacher_seed(self, split: int) -> int:
        """The seed of the teachers of a split."""
        return split if self.teachers.seed is None else self.teachers.seed

    def root_of(self, name: str) -> str:
        """The method that a method's settings come from: itself, or the one that it is like."""
        return self.students.methods[name].like or name

    def methods_of(self, backbone: str) -> tuple[str, ...]:
        """Names of the methods that train a backbone."""
        named = self.students.backbones[backbone].methods
        return tuple(self.students.methods if named is None else named)

    def settings_of(self, method: str, backbone: str) -> dict[str, Any]:
        """What the config says of a method with a backbone, whatever it is like and whatever tuning chooses."""
        own = self.students.backbones[backbone].methods or {}
        return {**self.students.methods[method].settings, **own.get(method, {})}

    def tuned_dimensions(self, backbone: str) -> tuple[int, ...]:
        """The embedding sizes at which a backbone's methods are tuned."""
        wanted = self.students.backbones[backbone].dimensions
        tuned = tuple(size for size in self.tuning.dimensions if size in wanted)
        return tuned if tuned else wanted[:1]

    def plain(self) -> dict[str, Any]:
        """The plan as plain data, lists in place of tuples."""
        return yaml.safe_load(yaml.safe_dump(as_plain(asdict(self))))
