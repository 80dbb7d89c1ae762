"""RecBole trainers that are watched: what a mixin adds to a model's own trainer while a trial runs.

``run_recbole`` itself runs a trial, so a trial and the same run outside of Ray cannot differ; only the trainer class
that it is given reports each validation, keeps all files in one folder and leaves the test split alone.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import recbole.quick_start.quick_start as recbole_quick_start
import torch
from recbole.utils import ModelType

from recbole_hetcomp.core import CurriculumState
from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.recbole_bridge.checkpoint import (
    checkpoint_content,
    plain_numbers,
    read_checkpoint,
    save_atomically,
)
from recbole_hetcomp.recbole_bridge.training_rules import weight_decay_of
from recbole_hetcomp.student.resume import (
    RESUME_FILE,
    best_result,
    go_on_from,
    problem_of_best,
    random_state,
    restore_random_state,
)
from recbole_hetcomp.student.trainer import DistillingTrainer

Report = Callable[[dict[str, Any]], None]


class TrialTrainer:
    """Mixin of RecBole trainers, before the trainer's class.

    Attributes:
        folder: where the best model and the state to resume from are kept.
        tell: called after each validation with all that is known.
    """

    folder: Path
    tell: Report

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)  # type: ignore[call-arg]
        self.saved_model_file = str(self.folder / "best.pth")
        self.fitted = False
        self.best_epoch = 0
        self.latest: dict[str, float] = {}
        self.started = time.perf_counter()

    def fit(self, train_data: Any, valid_data: Any = None, **more: Any) -> Any:
        """As RecBole's ``Trainer.fit``, with a report after each validation."""
        if not valid_data:
            raise ValueError("a trial is judged by its validation split: eval_args leaves none")
        self.train_data = train_data
        self._continue()
        more.update(show_progress=False, callback_fn=self._validated)
        result = super().fit(train_data, valid_data, **more)  # type: ignore[misc]
        self.fitted = True
        return result

    def evaluate(self, eval_data: Any, *args: Any, **kwargs: Any) -> Any:
        """As RecBole's during training; afterwards, where ``run_recbole`` turns to the test split, nothing."""
        return {} if self.fitted else super().evaluate(eval_data, *args, **kwargs)  # type: ignore[misc]

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        score, result = super()._valid_epoch(*args, **kwargs)  # type: ignore[misc]
        self.latest = {key: float(value) for key, value in (result or {}).items()}
        return score, result

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        self.best_epoch = epoch + 1 if epoch >= 0 else self.best_epoch
        self._save_best(epoch, verbose, **kwargs)

    def _save_best(self, epoch: int, verbose: bool, **kwargs: Any) -> None:
        super()._save_checkpoint(epoch, verbose=verbose, **kwargs)  # type: ignore[misc]

    def _validated(self, epoch: int, score: float) -> None:
        best = {key: float(value) for key, value in (self.best_valid_result or {}).items()}  # type: ignore[attr-defined]
        self._keep(epoch)
        self.tell(
            {
                "epoch": epoch + 1,
                "objective": float(self.best_valid_score),  # type: ignore[attr-defined]
                "score": float(score),
                "best_epoch": self.best_epoch,
                "seconds": round(time.perf_counter() - self.started, 3),
                "valid": self.latest,
                "best": best,
                **_curriculum(self),
            }
        )

    def _continue(self) -> None:
        """Take up what an interrupted trial left in ``folder``."""

    def _keep(self, epoch: int) -> None:
        """Keep what is needed to go on after this validation."""


def _curriculum(trainer: Any) -> dict[str, Any]:
    """Where a curriculum stands, for a method that has one: its step, shares of users and of (user, teacher) pairs."""
    state = getattr(trainer, "state", None)
    if not isinstance(state, CurriculumState):
        return {}
    known = {
        "step": int(state.step),
        "fine": float(trainer.fine[trainer.active].float().mean()),
        "snapshot_shares": {str(number): share for number, share in enumerate(trainer._snapshot_shares())},
    }
    distances = [line["discrepancy"] for line in trainer.history if "discrepancy" in line]
    return {"curriculum": {**known, **({"discrepancy": distances[-1]} if distances else {})}}


class StudentTrial(TrialTrainer):
    """A distilled student: its trainer keeps and resumes by itself, under the run's key."""

    def begin(self, knowledge: Any) -> None:
        super().begin(knowledge)  # type: ignore[misc]
        self._adopt(knowledge.run)

    def _adopt(self, run: str) -> None:
        """Make this run's what a trial of other settings left (population-based training copies whole trials)."""
        target = Path(self.saved_model_file)
        for file in self.folder.glob("*.pth"):
            if file != target:
                file.replace(target)
        state_file = self.folder / RESUME_FILE
        try:
            state = read_checkpoint(state_file)
        except (FileNotFoundError, DamagedFileError):  # which the trainer says
            return
        self.best_epoch = state.get("best_epoch", 0)
        if state["run"] != run:
            self._adopt_best(target, state["run"], run)
            state["run"] = run
            _use_optimizer_settings(state["optimizer"]["param_groups"], self.config, self.model)  # type: ignore[attr-defined]
            save_atomically(state, state_file)

    def _adopt_best(self, file: Path, before: str, run: str) -> None:
        try:
            best = read_checkpoint(file)
        except (FileNotFoundError, DamagedFileError):
            return
        if best.get("run") == before:
            save_atomically({**best, "run": run}, file)

    def _checkpoint(self, epoch: int) -> dict[str, Any]:
        return {**super()._checkpoint(epoch), "best_epoch": self.best_epoch}  # type: ignore[misc]


class ModelTrial(TrialTrainer):
    """Any other RecBole model: after each validation all that training goes on from is kept."""

    def _save_best(self, epoch: int, verbose: bool, **kwargs: Any) -> None:
        if epoch >= 0:  # RecBole saves once more where no epoch is left; the best model is on disk already
            save_atomically(checkpoint_content(self, epoch), self.saved_model_file)

    def _keep(self, epoch: int) -> None:
        if self.model.type == ModelType.TRADITIONAL:  # type: ignore[attr-defined]
            return  # fitted in one step
        state = {
            **checkpoint_content(self, epoch),
            "numbers": plain_numbers(self.model),  # type: ignore[attr-defined]
            "best_epoch": self.best_epoch,
            "best_valid_result": best_result(self),
            "random": random_state(*_generators(self.train_data)),
        }
        save_atomically(state, self.folder / RESUME_FILE)

    def _continue(self) -> None:
        file = self.folder / RESUME_FILE
        try:
            state = read_checkpoint(file, self.device)  # type: ignore[attr-defined]
        except FileNotFoundError:
            return
        except DamagedFileError as error:  # or a model whose state is not tensors and plain data
            self.logger.warning(f"{error}; the trial starts anew")  # type: ignore[attr-defined]
            return
        best = state["best_epoch"]
        problem = problem_of_best(self.saved_model_file, best - 1, state["epoch"]) if best else None
        if problem:
            self.logger.warning(f"{problem}; the trial starts anew")  # type: ignore[attr-defined]
            return
        go_on_from(self, state)
        self.best_epoch = best
        for name, value in state["numbers"].items():
            setattr(self.model, name, value)  # type: ignore[attr-defined]
        _use_optimizer_settings(self.optimizer.param_groups, self.config, self.model)  # type: ignore[attr-defined]
        restore_random_state(state["random"], *_generators(self.train_data))
        if self.cur_step > self.stopping_step:  # type: ignore[attr-defined]
            self.start_epoch = self.epochs  # type: ignore[attr-defined]  # it was cut off after its last validation
        self.logger.info(f"resumed at epoch {self.start_epoch} from {file}")  # type: ignore[attr-defined]


def _generators(loader: Any) -> list[torch.Generator]:
    generator = getattr(loader, "generator", None)
    return [generator] if isinstance(generator, torch.Generator) else []


def _use_optimizer_settings(groups: list[dict[str, Any]], config: Any, model: Any) -> None:
    for group in groups:
        group["lr"] = config["learning_rate"]
        if config["weight_decay"] is not None:
            group["weight_decay"] = weight_decay_of(config, model)


class ValidationDiffersError(RuntimeError):
    """A saved model does not validate as the trial that saved it did."""


class Revalidated:
    """Mixin of RecBole trainers for a model that is trained already: loads it and validates it again.

    Attributes:
        file: its checkpoint.
        expected: the validation metrics that it must have before it is tested.
    """

    file: Path
    expected: dict[str, float]

    def fit(self, train_data: Any, valid_data: Any = None, **more: Any) -> Any:
        """Load the model and validate it.

        Raises:
            ValidationDiffersError: it is another model.
        """
        self.saved_model_file = str(self.file)
        self.eval_collector.data_collect(train_data)  # type: ignore[attr-defined]
        result = self.evaluate(valid_data, load_best_model=True)  # type: ignore[attr-defined]
        found = {key: float(value) for key, value in result.items()}
        if found != dict(self.expected):
            raise ValidationDiffersError(f"{self.file} validates as {found}, not as {dict(self.expected)}")
        return found[self.config["valid_metric"].lower()], result  # type: ignore[attr-defined]


@contextmanager
def trainers_with(choose: Callable[[type], type], **attributes: Any) -> Iterator[None]:
    """While the context lasts, ``run_recbole`` in this process gets trainers with a mixin.

    Args:
        choose: the mixin for a trainer class.
        **attributes: class attributes of the mixed class.
    """
    original = recbole_quick_start.get_trainer

    def get_trainer(*names: Any) -> type:
        trainer = original(*names)
        kept = {name: staticmethod(value) if callable(value) else value for name, value in attributes.items()}
        return type(trainer.__name__, (choose(trainer), trainer), kept)

    recbole_quick_start.get_trainer = get_trainer
    try:
        yield
    finally:
        recbole_quick_start.get_trainer = original


def observing(trainer: type) -> type:
    """The mixin that watches a trainer class.

    Raises:
        ValueError: the trainer does not tell of its validations.
    """
    if "callback_fn" not in inspect.signature(trainer.fit).parameters:  # type: ignore[attr-defined]
        raise ValueError(f"{trainer.__name__} does not report its validations: its models cannot be tuned")
    return StudentTrial if issubclass(trainer, DistillingTrainer) else ModelTrial
