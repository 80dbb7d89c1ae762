"""The best student within a budget: sizes and backbones that fit are distilled, and validation chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.utils import get_model

from recbole_hetcomp.deployment import BACKBONES, DIMENSIONS, K
from recbole_hetcomp.deployment.cost import Cost, Stopwatch, check_limits
from recbole_hetcomp.deployment.pareto import pareto_front, write_pareto
from recbole_hetcomp.files import DamagedFileError, write_csv
from recbole_hetcomp.recbole_bridge.config import student_settings
from recbole_hetcomp.recbole_bridge.quick_start import build_config, run
from recbole_hetcomp.results.table import read_result
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.teachers.importing import TargetData
from recbole_hetcomp.teachers.knowledge import run_name
from recbole_hetcomp.teachers.planned import planned_student_alone, planned_teachers

SWEPT = ("embedding_size", "student_backbone", "result_dir")
TABLE, PICTURE = "select.csv", "select.png"

Say = Callable[[str], Any]


@dataclass(frozen=True)
class Budget:
    """What a student may cost.

    Attributes:
        max_bytes: that it keeps; None: any.
        max_ms: for one user, 95th percentile; None: any.
        k: items of a timed list.
    """

    max_bytes: int | None = None
    max_ms: float | None = None
    k: int = K

    def check(self) -> None:
        """Refuse a budget that makes no sense.

        Raises:
            ValueError: names the value.
        """
        if self.max_bytes is None and self.max_ms is None:
            raise ValueError("there is no budget: give --max-bytes, --max-ms or both")
        check_limits(self.max_bytes, self.max_ms, self.k)

    def problem(self, cost: Cost) -> str:
        """Why a cost is too much; nothing where it is not."""
        if self.max_bytes is not None and cost.bytes > self.max_bytes:
            return "too large"
        if self.max_ms is not None and cost.p95_ms > self.max_ms:
            return "too slow"
        return ""


@dataclass(frozen=True)
class Candidate:
    """A student that might be trained.

    Attributes:
        backbone: its backbone.
        dimension: its embedding size.
        cost: bytes and times, known before it is trained.
        problem: why it is not trained; nothing where it is.
    """

    backbone: str
    dimension: int
    cost: Cost
    problem: str

    @property
    def name(self) -> str:
        """``BPR 8``."""
        return f"{self.backbone} {self.dimension}"


@dataclass(frozen=True)
class Distilled:
    """A student that was trained.

    Attributes:
        candidate: what it is.
        valid: its validation score.
        checkpoint: where it is.
    """

    candidate: Candidate
    valid: float
    checkpoint: Path


@dataclass(frozen=True)
class Choice:
    """What a selection found.

    Attributes:
        metric: the validation metric that chose.
        bigger: whether a bigger one is better.
        budget: the budget.
        candidates: all students that were looked at.
        distilled: those that were trained.
    """

    metric: str
    bigger: bool
    budget: Budget
    candidates: tuple[Candidate, ...]
    distilled: tuple[Distilled, ...]

    @cached_property
    def best(self) -> Distilled:
        """The best on validation; of equals the smallest, then the fastest."""
        sign = 1.0 if self.bigger else -1.0
        return min(
            self.distilled, key=lambda one: (-sign * one.valid, one.candidate.cost.bytes, one.candidate.cost.p95_ms)
        )

    def table(self) -> pd.DataFrame:
        """A row a candidate, the smallest first: name, what it costs, validation, why it was not trained, Pareto."""
        trained = {one.candidate.name: one for one in self.distilled}
        rows = [
            {
                "name": one.name,
                "role": "student",
                "backbone": one.backbone,
                "dimension": one.dimension,
                f"valid_{self.metric}": trained[one.name].valid if one.name in trained else np.nan,
                "bytes": one.cost.bytes,
                "p50_ms": one.cost.p50_ms,
                "p95_ms": one.cost.p95_ms,
                "not trained": one.problem,
                "chosen": bool(self.distilled) and one == self.best.candidate,
            }
            for one in self.candidates
        ]
        table = pd.DataFrame(rows).sort_values(["bytes", "p95_ms"], kind="stable").reset_index(drop=True)
        accuracy = table[f"valid_{self.metric}"].to_numpy(float) * (1.0 if self.bigger else -1.0)
        table.insert(8, "pareto", pareto_front(accuracy, table["bytes"].to_numpy(float)))
        return table

    def write(self, folder: Path) -> None:
        """Write the table and its picture, each whole or not at all."""
        table = self.table()
        write_csv(folder / TABLE, table)
        chosen = int(np.flatnonzero(table["chosen"])[0])
        limits = {"bytes": self.budget.max_bytes, "p95_ms": self.budget.max_ms}
        write_pareto(table, f"valid_{self.metric}", folder / PICTURE, limits, chosen)


class Selection:
    """Sizes and backbones of a student, weighed against a budget.

    Args:
        model: the method that distils.
        dataset: the data set.
        config_files: YAML files with settings.
        settings: settings of every run; those that are swept are not allowed.
        budget: what a student may cost.
        backbones: of students.
        dimensions: their embedding sizes.

    Raises:
        ValueError: a value, or a setting of a run, is not allowed; before anything is trained.
    """

    def __init__(
        self,
        model: str,
        dataset: str,
        config_files: Sequence[str],
        settings: Mapping[str, Any],
        budget: Budget,
        backbones: Sequence[str] = BACKBONES,
        dimensions: Sequence[int] = DIMENSIONS,
    ) -> None:
        budget.check()
        swept = [name for name in SWEPT if name in settings]
        if swept:
            raise ValueError(f"{swept[0]}={settings[swept[0]]!r} is not allowed here: --dimensions, --backbones, --to")
        if not backbones or not dimensions or min(dimensions) < 1:
            raise ValueError(
                f"dimensions={list(dimensions)} of backbones={list(backbones)} is not allowed: one of each at least, "
                "dimensions of at least 1"
            )
        kind = get_model(model)
        if not (isinstance(kind, type) and issubclass(kind, DistilledStudent)):
            raise ValueError(f"model={model!r} is not allowed: a method that distils, such as HetComp")
        self.model, self.dataset, self.config_files = model, dataset, tuple(config_files)
        self.settings = {"compare_no_kd": False, **settings}
        self.budget = budget
        self.pairs = [(b, d) for b in dict.fromkeys(backbones) for d in sorted(set(dimensions))]
        for backbone, dimension in self.pairs:
            self._config(backbone, dimension)
        self.target = TargetData.load(dataset, config_files, settings)
        self.watch = Stopwatch(self.target.data, budget.k)

    def candidates(self) -> tuple[Candidate, ...]:
        """All students with what they cost, which is known before one is trained: no cost depends on weights."""
        return tuple(self._candidate(*pair) for pair in self.pairs)

    def distil(self, candidate: Candidate, folder: Path) -> Distilled:
        """Train a student, or take it where the same command has trained it.

        Args:
            candidate: the student.
            folder: its results.
        """
        config = self._config(candidate.backbone, candidate.dimension)
        settings = student_settings(config, self.target.data.n_items - 1)
        models = planned_teachers(config, settings)
        models += [planned_student_alone(config, settings)] if settings.compare_no_kd else []
        name = run_name(config, self.target.data, models)
        checkpoint = Path(config["checkpoint_dir"]) / f"{self.dataset}-{name}.pth"
        metric = config["valid_metric"].lower()
        valid = _finished(folder, name, metric)
        if valid is None or not checkpoint.is_file():
            given = {**self._given(candidate.backbone, candidate.dimension), "result_dir": str(folder)}
            run(self.model, self.dataset, list(self.config_files) or None, given)
            valid = _finished(folder, name, metric)
        if valid is None or not checkpoint.is_file():
            raise RuntimeError(f"{folder}: the run {name} left no result, or no checkpoint {checkpoint}")
        return Distilled(candidate, valid, checkpoint)

    def choose(self, candidates: Sequence[Candidate], folder: Path, say: Say = print) -> Choice:
        """Distil all candidates that fit the budget, and choose by validation.

        Args:
            candidates: of :meth:`candidates`.
            folder: where the runs' results go, a folder each.
            say: takes a line of the log.

        Raises:
            ValueError: none fits the budget.
        """
        self.check_fit(candidates)
        config, distilled = self.target.config, []
        for one in candidates:
            if not one.problem:
                distilled.append(self.distil(one, folder / one.name.replace(" ", "-")))
                say(f"{one.name}: validation {config['valid_metric']} {distilled[-1].valid:.4f}")
        bigger = bool(config["valid_metric_bigger"])
        return Choice(config["valid_metric"].lower(), bigger, self.budget, tuple(candidates), tuple(distilled))

    def check_fit(self, candidates: Sequence[Candidate]) -> None:
        """Refuse a budget that no candidate fits.

        Raises:
            ValueError: names the smallest.
        """
        if all(one.problem for one in candidates):
            least = min(candidates, key=lambda one: (one.cost.bytes, one.cost.p95_ms))
            raise ValueError(
                f"no student fits the budget: the smallest, {least.name}, has {least.cost.bytes:,.0f} bytes and takes "
                f"{least.cost.p95_ms:.3f} ms"
            )

    def _given(self, backbone: str, dimension: int) -> dict[str, Any]:
        return {**self.settings, "student_backbone": backbone, "embedding_size": dimension}

    def _config(self, backbone: str, dimension: int) -> Any:
        return build_config(self.model, self.dataset, self.config_files, self._given(backbone, dimension))

    def _candidate(self, backbone: str, dimension: int) -> Candidate:
        config = self._config(backbone, dimension)
        config["device"] = torch.device("cpu")
        student = get_model(self.model)(config, self.target.train).eval()
        size = self.watch.cost_of(student.backbone, timed=False)
        problem = self.budget.problem(size)
        cost = size if problem else self.watch.cost_of(student.backbone)
        return Candidate(backbone, dimension, cost, problem or self.budget.problem(cost))


def _finished(folder: Path, run: str, metric: str) -> float | None:
    """The validation score of a run's student, by the result in a folder; None where that is missing or another's."""
    try:
        result = read_result(folder / "results.json")
        return float(result.rows[-1].valid[metric]) if result.run == run else None
    except (OSError, DamagedFileError, LookupError, TypeError):
        return None
