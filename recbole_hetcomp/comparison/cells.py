"""Runs one cell: trains one model, or reads one from the store, and writes down what it is worth and costs.

    python -m recbole_hetcomp.comparison.cells FOLDER

in a process of its own, so that its time, its memory and its end are its own. FOLDER holds ``cell.json``.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from safetensors.torch import save_file

import recbole_hetcomp  # noqa: F401 (registers the plugin)
from recbole_hetcomp.comparison.folder import (
    CELL,
    LISTS,
    PER_USER,
    RESULT,
    CellFolder,
    CellSetup,
    only_one,
    record_error,
)
from recbole_hetcomp.comparison.grid import Cell
from recbole_hetcomp.comparison.measure import SERVED, beyond, per_user_table, served_lists, speed_of
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.files import find_json, read_json, sha256_of, write_json, write_whole
from recbole_hetcomp.metrics.lists import evaluating_lists
from recbole_hetcomp.metrics.per_user import KeepingEvaluator, per_user_values
from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
from recbole_hetcomp.recbole_bridge.config import settings_for
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.serving.costs import served_by, stored_bytes
from recbole_hetcomp.serving.live import live_teacher, served_by_all, untrained_model
from recbole_hetcomp.student.trainer import DistillingTrainer
from recbole_hetcomp.teachers.ensemble import TeacherEnsembleTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge, gather_knowledge
from recbole_hetcomp.teachers.planned import PlannedTeacher, planned_teachers
from recbole_hetcomp.teachers.recbole_teacher import stored_numbers

_UNFINISHED = ("run", "checkpoint", "log_tensorboard")  # folders of a cell at work, or of one that was stopped


class RunningCell:
    """A cell at work: its Config, its data, and what has been found out.

    Args:
        cell: the cell.
        setup: where and how it works.
        folder: its folder.
    """

    def __init__(self, cell: Cell, setup: CellSetup, folder: Path) -> None:
        self.cell, self.folder = cell, folder
        with command_line_hidden():
            self.config = Config(
                model=cell.model, dataset=cell.dataset, config_dict={**cell.settings, **setup.settings(folder)}
            )
        init_seed(cell.split_seed, self.config["reproducibility"])
        self.dataset = create_dataset(self.config)
        self.train, self.valid, self.test = data_preparation(self.config, self.dataset)
        init_seed(cell.seed, self.config["reproducibility"])
        self.row: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []

    def run(self) -> None:
        """Fill the row and the history, and write the per-user values of a cell that is no trial."""
        if self.cell.role in ("teacher", "ensemble"):
            self._from_store()
        else:
            self._trained()

    # -- teachers and ensemble ----------------------------------------------------------------------------------

    def _from_store(self) -> None:
        """A teacher, trained unless the store has it, or the ensemble: both are lists in the store."""
        settings = settings_for(self.config, self.dataset.item_num - 1)
        knowledge = gather_knowledge(self.config, settings, self.train, self.valid, with_no_kd=False)
        trainer = TeacherEnsembleTrainer(self.config, get_model(self.cell.model)(self.config, self.train._dataset))
        if self.cell.role == "ensemble":
            valid = trainer.evaluate_lists(knowledge.validated_ensemble, self.valid)
            self._test_lists(trainer, knowledge.ensemble)
            self._ensemble_cost(knowledge, planned_teachers(self.config, settings))
        else:
            (_, teacher), (planned,) = knowledge.teachers[0], planned_teachers(self.config, settings)
            assert teacher.served is not None
            valid = teacher.info["valid"]
            self.history = [{"epoch": e, "valid": s} for e, s in zip(teacher.epochs, teacher.scores)]
            self.row.update(
                parameters=teacher.info["parameters"],
                train_seconds=teacher.info["seconds"],
                epochs=teacher.epochs[-1] + 1,
                best_epoch=teacher.epochs[-1],
            )
            self._test_lists(trainer, teacher.served)
            if planned.outside is None:  # what another kind of teacher costs to serve is not known here
                self._cost(untrained_model(planned.config, self.train))
        self._valid(valid)

    def _ensemble_cost(self, knowledge: Knowledge, planned: Sequence[PlannedTeacher]) -> None:
        """Bytes and speed of the ensemble as it would be served: every teacher scored, their lists merged."""
        evaluated = EvaluatedUsers.of(self.test)
        trajectories, history = dict(knowledge.teachers), evaluated.history.items
        teachers = [
            live_teacher(one, trajectories[one.label], self.train, evaluated.n_items, history)
            for one in planned
            if one.label in trajectories
        ]
        self.row["bytes"] = sum(teacher.bytes for teacher in teachers)
        self.row.update(speed_of(served_by_all(teachers, knowledge.consensus, SERVED), evaluated))

    def _test_lists(self, trainer: Any, lists: torch.Tensor) -> None:
        trainer.evaluator = KeepingEvaluator(trainer.evaluator)
        self._test(trainer.evaluate_lists(lists, self.test), trainer.evaluator.struct)

    # -- baselines and students ---------------------------------------------------------------------------------

    def _trained(self) -> None:
        """RecBole's own way: model, trainer, fit, evaluate."""
        config, started = self.config, time.perf_counter()
        model = get_model(config["model"])(config, self.train._dataset).to(config["device"])
        made = time.perf_counter() - started  # EASE and its kin are fitted here
        trainer = evaluating_lists(get_trainer(config["MODEL_TYPE"], config["model"]))(config, model)
        clock = _EpochClock(trainer)
        _, valid = trainer.fit(self.train, self.valid, saved=True, show_progress=False, callback_fn=clock.on_validation)
        self._valid(valid or {})
        self.history = trainer.history if isinstance(trainer, DistillingTrainer) else clock.history(trainer)
        validated = [line for line in self.history if line.get("valid") is not None]
        bigger = 1 if config["valid_metric_bigger"] else -1
        self.row.update(
            parameters=stored_numbers(getattr(model, "backbone", model)),
            train_seconds=trainer.seconds if isinstance(trainer, DistillingTrainer) else made + clock.seconds,
            epochs=len(trainer.train_loss_dict),
            best_epoch=max(validated, key=lambda line: bigger * line["valid"])["epoch"] if validated else None,
        )
        if self.cell.tuning:
            return
        trainer.evaluator = KeepingEvaluator(trainer.evaluator)
        self._test(trainer.evaluate(self.test, load_best_model=True), trainer.evaluator.struct)
        self._cost(getattr(model, "backbone", model))

    # -- what is written down -----------------------------------------------------------------------------------

    def _valid(self, found: dict[str, float]) -> None:
        self.row.update({f"valid_{name}": float(value) for name, value in found.items()})

    def _test(self, found: dict[str, float], struct: Any) -> None:
        self.row.update({name: float(value) for name, value in found.items()})
        users = EvaluatedUsers.of(self.test).users
        table = per_user_table(self.dataset, users, per_user_values(self.config, struct))
        write_whole(self.folder / PER_USER, lambda path: table.to_parquet(path, index=False))
        if "rec.items" not in struct:
            return
        lists = served_lists(struct)
        write_whole(self.folder / LISTS, lambda path: save_file({"lists": lists.contiguous(), "users": users}, path))
        data = Interactions.from_datasets(self.train._dataset, self.valid._dataset)
        self.row.update(beyond(lists, users, data, max(self.config["topk"])))

    def _cost(self, model: Any) -> None:
        evaluated = EvaluatedUsers.of(self.test)
        model.eval()
        self.row["bytes"] = stored_bytes(model)
        length = min(SERVED, evaluated.n_items - 1)
        self.row.update(speed_of(served_by(model, evaluated.n_items, evaluated.history.items, length), evaluated))


class _EpochClock:
    """Notes how long the epochs of a RecBole trainer take, and their validations."""

    def __init__(self, trainer: Any) -> None:
        self.seconds = 0.0
        self.valid: dict[int, float] = {}
        original = trainer._train_epoch

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        trainer._train_epoch = timed

    def on_validation(self, epoch: int, score: float) -> None:
        self.valid[epoch] = float(score)

    def history(self, trainer: Any) -> list[dict[str, Any]]:
        return [
            {"epoch": epoch, "loss": float(loss), "valid": self.valid.get(epoch)}
            for epoch, loss in trainer.train_loss_dict.items()
        ]


def run_cell(folder: Path) -> None:
    """Run the cell whose ``cell.json`` a folder holds, unless its result is there.

    Raises:
        FileNotFoundError: the folder has no ``cell.json``.
        DamagedFileError: it is damaged.
        RuntimeError: the benchmark was started by a package that names the cell otherwise.
    """
    order = read_json(folder / CELL)
    cell, setup = Cell(**order["cell"]), CellSetup(**order["setup"])
    if cell.key != folder.name:
        raise RuntimeError(
            f"this process takes the cell for {cell.key}, the benchmark for {folder.name}: recbole_hetcomp has changed "
            "since the benchmark was started; stop it, and the same command goes on"
        )
    with only_one(folder):
        if CellFolder(folder.parent.parent, cell).result() is not None:
            return
        torch.set_num_threads(setup.threads)
        os.chdir(folder)  # RecBole writes its logs where it runs
        started = time.perf_counter()
        goes_on = any((folder / name).exists() for name in _UNFINISHED)
        (folder / _UNFINISHED[0]).mkdir(exist_ok=True)
        running = RunningCell(cell, setup, folder)
        running.run()
        write_json(
            folder / RESULT,
            {
                "key": cell.key,
                "cell": cell.plain(),
                "row": running.row,
                "history": running.history,
                "files": {name: sha256_of(folder / name) for name in (PER_USER, LISTS) if (folder / name).is_file()},
                "seconds": round(time.perf_counter() - started, 3),
                **_usage(goes_on),
            },
        )
        for name in _UNFINISHED:
            shutil.rmtree(folder / name, ignore_errors=True)


def _usage(goes_on: bool) -> dict[str, float | None]:
    """Memory and processor time of this process, from its first import on.

    What a stopped process had used before is not known, so of a cell that goes on there is no processor time.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "peak_rss_mib": round(used.ru_maxrss / unit, 1),
        "cpu_seconds": None if goes_on else round(used.ru_utime + used.ru_stime, 3),
    }


def main() -> int:
    """Run the cell of the folder that the command line names; its error goes to ``error.json``."""
    folder = Path(sys.argv[1]).absolute()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    try:
        run_cell(folder)
    except Exception as error:
        traceback.print_exc()
        order = find_json(folder / CELL)
        if order is not None:
            cell = Cell(**{field.name: order["cell"][field.name] for field in fields(Cell)})
            record_error(folder, cell, f"{type(error).__name__}: {error}", traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
