"""The files of a student's run: the best model, what an interrupted run goes on from, and who may write them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.locks import Lock
from recbole_hetcomp.recbole_bridge.checkpoint import checkpoint_content, read_checkpoint, save_atomically
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.resume import (
    RESUME_FILE,
    best_result,
    go_on_from,
    problem_of_best,
    random_state,
    restore_random_state,
)
from recbole_hetcomp.teachers.knowledge import Knowledge


class Saving:
    """Mixin of a student's trainer, before RecBole's.

    Every file is whole, has checksums, and says of which run and epoch it is. What does not fit is named; the run goes
    on from what is sound.

    Attributes:
        best_saved: epoch of the best model that is on disk; None: there is none.
        ids: external ids of users and items, for a warm start on other data.
    """

    config: Any
    model: Any
    settings: HetCompSettings
    generator: torch.Generator
    knowledge: Knowledge | None
    history: list[dict[str, Any]]
    seconds: float
    logger: logging.Logger
    checkpoint_dir: str
    device: Any
    optimizer: Any
    best_valid_score: float
    best_valid_result: Any
    train_loss_dict: dict[int, float]
    start_epoch: int
    cur_step: int
    _keep_best: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.best_saved: int | None = None
        self.ids: dict[str, list[str]] = {}
        self._locks: list[Lock] = []

    def method_state(self) -> dict[str, Any]:
        """State of the method for a checkpoint: tensors and plain data."""
        return {}

    def load_method_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`method_state` gave."""

    def _name_files(self) -> None:
        """Name this run's files by what it computes, so that parallel runs do not share them and a second try does."""
        assert self.knowledge is not None
        dataset, run = self.config["dataset"], self.knowledge.run
        self.saved_model_file = str(Path(self.checkpoint_dir) / f"{dataset}-{run}.pth")
        self.result_dir = Path(self.settings.result_dir or Path("results") / dataset / run)
        self.result_dir.mkdir(parents=True, exist_ok=True)

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if epoch < 0 and self._keep_best:
            return  # RecBole saves an untrained model when no epoch is left; the best one is on disk already
        file = kwargs.pop("saved_model_file", self.saved_model_file)
        save_atomically(self._checkpoint(epoch), file)
        if file == self.saved_model_file:
            self.best_saved = epoch
        if verbose:
            self.logger.info(f"Saving current: {file}")

    def _checkpoint(self, epoch: int) -> dict[str, Any]:
        assert self.knowledge is not None
        return {
            **checkpoint_content(self, epoch),
            "run": self.knowledge.run,
            "method": self.method_state(),
            "ids": self.ids,
            "teachers": self.knowledge.entries,
        }

    def _save_resume(self, epoch: int, train_data: Any) -> None:
        state = {
            **self._checkpoint(epoch),
            "best_saved": self.best_saved,
            "best_valid_result": best_result(self),
            "train_loss_dict": dict(self.train_loss_dict),
            "history": self.history,
            "seconds": self.seconds,
            "random": random_state(self.generator, train_data.generator),
        }
        save_atomically(state, self.result_dir / RESUME_FILE)

    def _resume(self, train_data: Any) -> bool:
        """Go on where an interrupted run with the same settings and data was; False if there is none that is sound."""
        file = self.result_dir / RESUME_FILE
        assert self.knowledge is not None
        try:
            state = read_checkpoint(file, self.device)
        except FileNotFoundError:
            return False
        except DamagedFileError as error:
            self.logger.warning(f"{error}; the run starts anew")
            return False
        if state.get("run") != self.knowledge.run:
            self.logger.warning(f"{file} belongs to run {state.get('run')}, not to {self.knowledge.run}: not resumed")
            return False
        if "best_saved" not in state:
            self.logger.warning(f"{file} was written by an earlier version; the run starts anew")
            return False
        self.best_saved = state["best_saved"]
        problem = self._best_problem(newest=state["epoch"])
        if problem and self.best_saved != state["epoch"]:
            self.logger.warning(f"{problem}; the run starts anew")
            self.best_saved = None
            return False
        go_on_from(self, state)
        self.train_loss_dict = state["train_loss_dict"]
        self.history = state["history"]
        self.seconds = state["seconds"]
        self.load_method_state(state["method"])
        restore_random_state(state["random"], self.generator, train_data.generator)
        self.logger.info(f"resumed at epoch {self.start_epoch} from {file}")
        if problem:  # the best model is the one that the run goes on from
            self.logger.warning(f"{problem}; it is written again from {file}")
            self._save_checkpoint(state["epoch"])
        return True

    def _best_problem(self, newest: int | None = None) -> str | None:
        """What is wrong with the best model on disk, or None: it is to be this run's, of the epoch ``best_saved``."""
        if self.best_saved is None and newest is not None:
            return None
        assert self.knowledge is not None
        return problem_of_best(self.saved_model_file, self.best_saved, newest, self.knowledge.run)

    def evaluate(
        self, eval_data: Any, load_best_model: bool = True, model_file: str | None = None, show_progress: bool = False
    ) -> Any:
        """As RecBole's ``Trainer.evaluate``; the best model must be the one that this run saved.

        Raises:
            DamagedFileError: it is not there any more, damaged, or of another run or epoch.
        """
        if load_best_model and model_file is None and self.knowledge is not None:
            problem = self._best_problem()
            if problem:
                raise DamagedFileError(f"{problem}; the same command trains it again from the last sound state")
        return super().evaluate(eval_data, load_best_model, model_file, show_progress)  # type: ignore[misc]

    def _take_locks(self) -> None:
        """Let one process at a time work on this run's files."""
        assert self.knowledge is not None
        saved = Path(self.saved_model_file)
        places = {saved.with_name(f".{saved.name}.lock"), self.result_dir / ".lock"}
        for place in sorted(places):
            lock = Lock(place, f"run {self.knowledge.run}")
            self._locks.append(lock)
            lock.acquire()
        for file in (saved, self.result_dir / RESUME_FILE):  # nobody else writes them now: what is left was killed
            for left in file.parent.glob(f".{file.name}.*"):
                if not left.name.startswith(f".{file.name}.lock"):
                    left.unlink(missing_ok=True)

    def _release(self) -> None:
        for lock in self._locks:
            lock.release()
        self._locks = []
