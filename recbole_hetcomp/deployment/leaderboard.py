"""Every model that was trained on a data set and split, in one table: the runs' students and ensembles, and the store's
teachers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import get_model
from torch import Tensor

from recbole_hetcomp.comparison.measure import beyond
from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import without
from recbole_hetcomp.deployment import RESULTS
from recbole_hetcomp.deployment.cost import Cost, Stopwatch
from recbole_hetcomp.deployment.pareto import pareto_front
from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.recbole_bridge.checkpoint import read_checkpoint, revive_config
from recbole_hetcomp.recbole_bridge.config import companion_config, memory_for_scores, settings_for
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.registry import model_defaults, teacher_defaults
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists
from recbole_hetcomp.results.table import Row, read_result
from recbole_hetcomp.serving.live import live_teacher, served_by_all, untrained_model
from recbole_hetcomp.teachers.found import find_teachers
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer
from recbole_hetcomp.teachers.importing import TargetData
from recbole_hetcomp.teachers.knowledge import form_ensemble
from recbole_hetcomp.trajectories import CorruptTrajectoryError, Trajectory, TrajectoryStore

ALONE = "NoKD"  # the store's name of a student that was trained alone
POPULARITY = ("averagepopularity", "popularitylift")


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        table: a row a model, the best first: name, role, the metrics, parameters, bytes, p50_ms, p95_ms, popularity,
            pareto, of (a run, or an entry of the store).
        metric: the column that it is ordered by.
        left_out: what is not in it, and why, a sentence each.
    """

    table: pd.DataFrame
    metric: str
    left_out: tuple[str, ...]


def leaderboard(target: TargetData, results: Path, metric: str | None = None, timed: bool = True) -> Board:
    """All models of a data set and split.

    Only what has this data set's fingerprint is comparable; everything else is named with the reason.

    Args:
        target: the data, as a run with these settings has them.
        results: folder below which runs wrote ``results.json``.
        metric: what orders the table, e.g. ``ndcg@50``; None: the validation metric.
        timed: whether models are timed too.

    Raises:
        FileNotFoundError: there is no folder of results; that of :data:`RESULTS` may be missing.
        ValueError: there is no such metric, or no model.
    """
    if not results.is_dir() and (results.exists() or results != Path(RESULTS)):
        raise FileNotFoundError(f"{results} is no folder: name the one below which runs wrote their results")
    metric = (metric or str(target.config["valid_metric"])).lower()
    builder = _Builder(target, metric, timed)
    names = builder.metrics()
    if metric not in names:
        raise ValueError(f"metric={metric!r} is not computed here: one of {', '.join(names)}, or set metrics and topk")
    for entry in TrajectoryStore(target.settings.store_dir).entries():
        builder.add_entry(entry)
    for file in sorted(results.rglob("results.json")):
        builder.add_run(file)
    return builder.board()


class _Builder:
    """Collects rows.

    Args:
        target: the data.
        metric: the column that orders.
        timed: whether models are timed.
    """

    def __init__(self, target: TargetData, metric: str, timed: bool) -> None:
        self.target, self.metric, self.timed = target, metric, timed
        self.watch = Stopwatch(target.data)
        self.evaluated = EvaluatedUsers.of(target.loaders[2])
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self.other_data = 0

    def metrics(self) -> list[str]:
        """Names of the metrics of an evaluation."""
        config = self.target.config
        return [f"{name.lower()}@{k}" for name in config["metrics"] for k in config["topk"]]

    def board(self) -> Board:
        if self.other_data:
            self.left_out.append(f"{self.other_data} teachers of the store are of other data, or of another split.")
        if not self.rows:
            raise ValueError(
                f"no model of {self.target.config['dataset']} with this split was found"
                + (f": {' '.join(self.left_out)}" if self.left_out else "")
            )
        table = pd.DataFrame(self.rows)
        table = table.sort_values([self.metric, "bytes"], ascending=[False, True], kind="stable").reset_index(drop=True)
        costs = [table["bytes"], *([table["p95_ms"]] if self.timed else [])]
        place = list(table.columns).index("of")
        front = pareto_front(table[self.metric].to_numpy(float), *(cost.to_numpy(float) for cost in costs))
        table.insert(place, "pareto", front)
        return Board(table, self.metric, tuple(self.left_out))

    # -- the store ----------------------------------------------------------------------------------------------

    def add_entry(self, entry: Path) -> None:
        """A teacher, or a student that was trained alone."""
        if entry.parent.name != self.target.data.fingerprint:
            self.other_data += 1
            return
        try:
            stored = TrajectoryStore(entry.parent.parent).open(entry)
        except CorruptTrajectoryError as error:
            self.left_out.append(f"{entry.name} is damaged: {error}.")
            return
        if stored.served is None:
            self.left_out.append(f"{entry.name} holds no lists for test time.")
            return
        name = str(stored.settings.get("teacher", entry.name.rpartition("-")[0]))
        alone = name == ALONE
        shown = f"{stored.settings.get('model', name)} alone" if alone else name
        size = stored.settings.get("embedding_size")
        if size is not None:
            shown += f" {size}"
        cost, why = self._cost_of_entry(stored)
        if why:
            self.left_out.append(f"{entry.name} is in the table without its cost: {why}.")
        self._add(
            shown,
            "student alone" if alone else "teacher",
            self._measured(stored.served.int()),
            int(stored.info.get("parameters", 0)),
            cost,
            stored.served.int()[self.evaluated.users],
            entry.name,
        )

    def _cost_of_entry(self, stored: Trajectory) -> tuple[Cost, str]:
        """Of a model with the settings that the entry names; weights cost nothing."""
        model = stored.settings.get("model")
        if not isinstance(model, str):
            return Cost(), "it is known by its lists alone"
        known = {**model_defaults(model), **teacher_defaults(model)}
        given = {key: value for key, value in stored.settings.items() if key in known}
        try:
            config = companion_config(self.target.config, model, given, {})
            return self.watch.cost_of(untrained_model(config, self.target.loaders[0]), self.timed), ""
        except (ValueError, TypeError, AttributeError, ImportError, KeyError) as error:
            return Cost(), f"{model} cannot be built here ({error})"

    def _measured(self, lists: Tensor) -> dict[str, float]:
        """RecBole's metrics of lists on the test split."""
        trainer = ListsTrainer.judging(self.target.config, self.target.train, lists)
        found = trainer.evaluate_lists(lists, self.target.loaders[2])
        return {name: float(value) for name, value in found.items()}

    # -- the runs -----------------------------------------------------------------------------------------------

    def add_run(self, file: Path) -> None:
        """A run's student and its ensemble."""
        try:
            result = read_result(file)
        except (OSError, DamagedFileError) as error:
            self.left_out.append(f"{error}.")
            return
        run, settings = result.run, result.settings
        student, ensemble = result.rows[-1], next((row for row in result.rows if row.role == "ensemble"), None)
        if result.dataset != self.target.config["dataset"]:
            return
        if result.fingerprint != self.target.data.fingerprint:
            self.left_out.append(f"{file}: run {run} is of other data or of another split ({result.fingerprint}).")
            return
        if self.metric not in student.test:
            self.left_out.append(f"{file}: run {run} did not compute {self.metric}.")
            return
        saved = Path(str(settings.get("checkpoint_dir"))) / f"{result.dataset}-{run}.pth"
        found = self._saved(saved, run)
        label = f"{student.name} {settings.get('student_backbone', '')} {settings.get('embedding_size', '')}"
        cost, lists = (Cost(), None) if found is None else self._student(*found)
        self._add(label, "student", student.test, student.parameters, cost, lists, run)
        if ensemble is not None and not self._known(ensemble):
            cost, lists = (Cost(), None) if found is None else self._ensemble(found[0])
            self._add("TeacherEnsemble", "ensemble", ensemble.test, ensemble.parameters, cost, lists, run)

    def _known(self, ensemble: Row) -> bool:
        """Whether this ensemble, of another run, is in the table."""
        return any(
            row["role"] == "ensemble" and row["parameters"] == ensemble.parameters
            and all(math.isclose(row[name], ensemble.test.get(name, math.nan)) for name in self.metrics())
            for row in self.rows
        )  # fmt: skip

    def _saved(self, file: Path, run: str) -> tuple[Any, Any] | None:
        """Config and model of a checkpoint, on this data; None, and said why, where it is not there."""
        try:
            content = read_checkpoint(file)
            config = revive_config(content["config"])
            config["store_dir"] = self.target.settings.store_dir
            model = get_model(config["model"])(config, self.target.train).to(config["device"])
            model.load_state_dict(content["state_dict"])
            model.load_other_parameter(content["other_parameter"])
        except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
            reason = "is not there" if isinstance(error, FileNotFoundError) else "is damaged, or of another model"
            self.left_out.append(f"Run {run} is in the table without its cost: its checkpoint {file} {reason}.")
            return None
        return config, model.eval()

    def _student(self, config: Any, model: Any) -> tuple[Cost, Tensor]:
        evaluated = self.evaluated
        lists = ranked_lists(
            model.backbone, evaluated.users, evaluated.n_items, evaluated.history.items, max(config["topk"]),
            memory_for_scores(config),
        )  # fmt: skip
        return self.watch.cost_of(model.backbone, self.timed), lists

    def _ensemble(self, config: Any) -> tuple[Cost, Tensor | None]:
        """What an ensemble costs as it would be served, and its lists; not known where the store lacks a teacher."""
        target, data = self.target, self.target.data
        settings = settings_for(config, data.n_items - 1)
        found = find_teachers(config, settings, data)
        if found.missing or not found.planned:
            return Cost(), None
        formed = form_ensemble(config, settings, data, found.in_order(), target.train, target.valid)
        kept = {name for name, _ in formed.teachers}
        teachers = [
            live_teacher(one, found.trajectories[one.label], target.loaders[0], data.n_items, data.observed)
            for one in found.planned
            if one.label in kept
        ]
        serve = served_by_all(teachers, formed.consensus, self.watch.length)
        lists = formed.lists[self.evaluated.users]
        return self.watch.cost(serve, sum(teacher.bytes for teacher in teachers), self.timed), lists

    # -- rows ---------------------------------------------------------------------------------------------------

    def _add(
        self, name: str, role: str, scores: dict[str, Any], parameters: int, cost: Cost, lists: Tensor | None, of: str
    ) -> None:
        k = max(self.target.config["topk"])
        popularity = dict.fromkeys([f"{measure}@{k}" for measure in POPULARITY], math.nan)
        if lists is not None and bool((lists != PAD).any()):
            own = without(lists, self.evaluated.history.holds(self.evaluated.users, lists))
            measured = beyond(own, self.evaluated.users, self.target.data, k)
            popularity = {measure: measured[measure] for measure in popularity}
        self.rows.append(
            {
                "name": name.strip(),
                "role": role,
                **{metric: float(scores.get(metric, np.nan)) for metric in self.metrics()},
                "parameters": parameters,
                "bytes": cost.bytes,
                "p50_ms": cost.p50_ms,
                "p95_ms": cost.p95_ms,
                **popularity,
                "of": of,
            }
        )
