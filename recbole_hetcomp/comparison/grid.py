"""A plan's cells: what is run, in which order, and the key that names each.

A cell is one model trained once, or one teacher or ensemble read from the store. Its key is a hash of all that decides
its result, so that a cell which is done is never run again and a changed setting makes a new cell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any

from recbole_hetcomp.comparison.plan import BenchmarkPlan, Entry
from recbole_hetcomp.comparison.trials import nearest, trial_settings
from recbole_hetcomp.recbole_bridge.property_files import read_preset, read_properties
from recbole_hetcomp.recbole_bridge.registry import imported, is_model
from recbole_hetcomp.recbole_bridge.source import code_of, outside_code
from recbole_hetcomp.settings import IMPORTED, Run, from_outside
from recbole_hetcomp.teachers.protocol import outside_teacher
from recbole_hetcomp.tune.space import merged

ENSEMBLE = "TeacherEnsemble"
_DECIDE_NOTHING = {*Run.names(), "store_dir", "teacher_rebuild"}  # of a result


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        role: teacher, ensemble, baseline or student.
        method: its name in the tables.
        model: RecBole's name of its model.
        dataset: RecBole's name of the data set.
        data: fingerprint of the data set's files, the versions that compute, and the models' defaults.
        backbone: the student's backbone, else the model's name.
        dimension: the student's embedding size, else None.
        seed: of weights and batches.
        split_seed: of the split.
        settings: all settings of its Config but places.
        tuning: whether it is a trial, whose test metrics are never computed.
        trial: the trial's number; no part of what decides it.
    """

    role: str
    method: str
    model: str
    dataset: str
    data: str
    backbone: str
    dimension: int | None
    seed: int
    split_seed: int
    settings: Mapping[str, Any]
    tuning: bool = False
    trial: int | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """What a progress bar and an error call it."""
        parts = [self.method]
        if self.dimension is not None:
            parts.append(f"{self.backbone} d={self.dimension}")
        parts.append(f"trial {self.trial}" if self.tuning else f"seed {self.seed}")
        return ", ".join(parts)

    def plain(self) -> dict[str, Any]:
        """The cell as JSON data."""
        return json.loads(json.dumps(asdict(self)))

    @cached_property
    def key(self) -> str:
        """Short name, the same whenever the same model is to be trained in the same way on the same data.

        Drawn settings differ in their last bits from one processor to another; these do not count.
        """
        identity = _rounded(self.plain())
        del identity["trial"]
        text = json.dumps(identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _defaults_of(model: str) -> dict[str, Any]:
    """The plugin's defaults of a model that decide a result."""
    return {name: value for name, value in read_properties("model", model).items() if name not in _DECIDE_NOTHING}


def _rounded(value: Any) -> Any:
    """JSON data with 12 significant digits of each float.

    >>> _rounded({"learning_rate": 0.021796544919777103, "K": [100]})
    {'learning_rate': 0.0217965449198, 'K': [100]}
    """
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Contender:
    """A row of the comparison, and what is tuned together: a method with one backbone at one size, or a baseline.

    Attributes:
        role: student or baseline.
        method: the method.
        backbone: the student's backbone, or None.
        dimension: the student's embedding size, or None.
    """

    role: str
    method: str
    backbone: str | None = None
    dimension: int | None = None


class Grid:
    """The cells of a plan.

    Args:
        plan: the benchmark.
        data: fingerprint of the data set's files and of the versions that compute.
    """

    def __init__(self, plan: BenchmarkPlan, data: str) -> None:
        self.plan = plan
        self.data = data
        self._defaults_of, self._preset = cache(_defaults_of), cache(read_preset)  # a file is read once

    def entry(self, row: Contender) -> Entry:
        """What the config says of a method or a baseline."""
        return (self.plan.baselines if row.role == "baseline" else self.plan.students.methods)[row.method]

    # -- teachers -----------------------------------------------------------------------------------------------

    def teachers(self) -> list[Cell]:
        """One cell a teacher and split."""
        return [
            self._taught("teacher", name, split, {"teachers": [name]})
            for split in self.plan.splits
            for name in self.plan.teachers.models
        ]

    def ensembles(self) -> list[Cell]:
        """One cell a split."""
        return [self._taught("ensemble", ENSEMBLE, split, {}) for split in self.plan.splits]

    def _taught(self, role: str, name: str, split: int, more: Mapping[str, Any]) -> Cell:
        settings = {**self._common(split), **more, "seed": self.plan.teacher_seed(split)}
        return self._cell(role, name, ENSEMBLE, name, None, self.plan.teacher_seed(split), split, settings)

    # -- trials -------------------------------------------------------------------------------------------------

    def tuned(self) -> list[Contender]:
        """All that is tuned: what no row takes its settings from is not."""
        if not self.plan.tuning.trials:
            return []
        needed = dict.fromkeys(self._tuned_for(row) for row in self._rows() if self.entry(row).tuned)
        return [what for what in needed if self.entry(what).has_trials]

    def trials(self, what: Contender) -> list[Cell]:
        """The trials of one of :meth:`tuned`, on the first seed."""
        tuning = self.plan.tuning
        return [
            self._final(what.role, what.method, what.backbone, what.dimension, self.plan.seeds[0],
                        {**tuning.settings, **drawn}, number)
            for number, drawn in enumerate(
                trial_settings(what.method, self.entry(what).space, tuning.trials, tuning.seed)
            )
        ]  # fmt: skip

    @property
    def finalists(self) -> int:
        """How many of a method's trials run again as the final runs will; 0 where that would be the trials again."""
        tuning = self.plan.tuning
        return min(tuning.finalists, tuning.trials) if tuning.settings and tuning.finalists > 1 else 0

    def finalist(self, what: Contender, number: int) -> Cell:
        """A trial without the settings of trials only, on the first seed; its test metrics are never computed."""
        drawn = self.drawn(what, number)
        return self._final(what.role, what.method, what.backbone, what.dimension, self.plan.seeds[0], drawn, number)

    def drawn(self, what: Contender, number: int) -> dict[str, Any]:
        """What a trial changes in the settings."""
        tuning = self.plan.tuning
        return trial_settings(what.method, self.entry(what).space, tuning.trials, tuning.seed)[number]

    # -- final runs ---------------------------------------------------------------------------------------------

    def finals(self) -> list[tuple[Contender, list[Contender]]]:
        """The rows of the comparison, each with what must be tuned before it (nothing, or one)."""
        tuned = set(self.tuned())
        return [
            (row, [before] if self.entry(row).tuned and (before := self._tuned_for(row)) in tuned else [])
            for row in self._rows()
        ]

    def _rows(self) -> list[Contender]:
        plan = self.plan
        return [Contender("baseline", name) for name in plan.baselines] + [
            Contender("student", method, backbone, dimension)
            for backbone, part in plan.students.backbones.items()
            for dimension in part.dimensions
            for method in plan.methods_of(backbone)
            if dimension in (plan.students.methods[method].dimensions or part.dimensions)
        ]

    def _tuned_for(self, row: Contender) -> Contender:
        if row.backbone is None or row.dimension is None:
            return row
        size = nearest(row.dimension, self.plan.tuned_dimensions(row.backbone))
        return Contender(row.role, self.plan.root_of(row.method), row.backbone, size)

    def runs(self, row: Contender, chosen: Mapping[str, Any]) -> list[Cell]:
        """The final runs of a row, one a seed, with the settings that its tuning chose."""
        return [
            self._final(row.role, row.method, row.backbone, row.dimension, seed, chosen)
            for seed in self.entry(row).seeds or self.plan.seeds
        ]

    # -- one cell -----------------------------------------------------------------------------------------------

    def _final(
        self, role: str, method: str, backbone: str | None, dimension: int | None, seed: int,
        chosen: Mapping[str, Any], trial: int | None = None,
    ) -> Cell:  # fmt: skip
        split = self.plan.split_of(seed)
        if role == "baseline":
            entry = self.plan.baselines[method]
            model = entry.model or method
            settings = {**merged({**self.plan.settings, **entry.settings}, chosen), "seed": seed}
            return self._cell(role, method, model, model, None, seed, split, settings, trial)
        assert backbone is not None
        students, root = self.plan.students, self.plan.root_of(method)
        method_settings = {
            **self._common(split),
            **students.backbones[backbone].settings,
            **self.plan.settings_of(root, backbone),
        }
        settings = {
            **merged(method_settings, chosen),
            **(self.plan.settings_of(method, backbone) if root != method else {}),
            "student_backbone": backbone,
            "embedding_size": dimension,
            "compare_no_kd": False,
            "seed": seed,
        }
        model = students.methods[root].model or root
        return self._cell(role, method, model, backbone, dimension, seed, split, settings, trial)

    def _common(self, split: int) -> dict[str, Any]:
        """Settings of every model that knows the teachers."""
        teachers, seed = self.plan.teachers, self.plan.teacher_seed(split)
        return {
            **self.plan.settings,
            **self.plan.students.settings,
            "teachers": list(teachers.models),
            "teacher_config": {name: {"seed": seed, **teachers.settings.get(name, {})} for name in teachers.models},
        }

    def _cell(
        self, role: str, method: str, model: str, backbone: str, dimension: int | None, seed: int, split: int,
        settings: Mapping[str, Any], trial: int | None = None,
    ) -> Cell:  # fmt: skip
        if "teachers" in settings:  # of a cell that has fewer, as an ablation may
            kept = {name: settings["teacher_config"].get(name, {}) for name in settings["teachers"]}
            settings = {**settings, "teacher_config": kept}
        teachers = settings.get("teachers", ())
        code = self._outside_code(model, backbone, teachers)
        defaults = self._defaults(settings, model, backbone, *teachers)
        return Cell(
            role=role,
            method=method,
            model=model,
            dataset=self.plan.dataset,
            data="-".join(filter(None, (self.data, defaults, code))),
            backbone=backbone,
            dimension=dimension,
            seed=seed,
            split_seed=split,
            settings=settings,
            tuning=trial is not None,
            trial=trial,
        )

    def _defaults(self, settings: Mapping[str, Any], *models: str) -> str:
        """A hash of some models' defaults, and of the preset: what decides a cell and its plan leaves out."""
        named = {model: self._defaults_of(model) for model in models if not from_outside(model)}
        if settings.get("preset"):
            named["preset"] = self._preset(settings["preset"])
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:8]

    def _outside_code(self, model: str, backbone: str, teachers: Sequence[str]) -> str:
        """A hash of the code from outside that decides a cell; empty where there is none."""
        code = outside_code(model, backbone, *teachers)
        for name in filter(from_outside, teachers):
            if name.startswith(IMPORTED) and self.plan.store_dir is None:
                raise ValueError(f"teachers.models names {name!r}: give store_dir, the store that it was imported into")
            code[name] = (
                code_of(imported(name))
                if is_model(name)
                else outside_teacher(name, {}, self.plan.store_dir or "", tried=False).code
            )
        return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()[:8] if code else ""
