"""The trainer of every distilled student: teachers first, then RecBole's own loop, then the table."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from recbole.trainer import Trainer
from recbole.utils import init_seed
from tqdm import tqdm

from recbole_hetcomp.core import PAD, Ragged
from recbole_hetcomp.metrics.lists import ListEvaluation
from recbole_hetcomp.recbole_bridge.checkpoint import plain_config
from recbole_hetcomp.recbole_bridge.scoring import clear_cache, ranked_lists, ranks_by_pairs
from recbole_hetcomp.recbole_bridge.training_rules import FollowsRules
from recbole_hetcomp.recbole_bridge.warm_start import external_ids
from recbole_hetcomp.results.table import Result, Row, write_result
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.batches import PairedBatch, UserBatches, WithBaseBatches
from recbole_hetcomp.student.resume import RESUME_FILE
from recbole_hetcomp.student.saving import Saving
from recbole_hetcomp.student.warm_start import begin_warm
from recbole_hetcomp.teachers.imported_ranking import ImportedRanking
from recbole_hetcomp.teachers.knowledge import Knowledge, gather_knowledge
from recbole_hetcomp.teachers.recbole_teacher import stored_numbers
from recbole_hetcomp.threads import work_of_model, work_of_scores


class DistillingTrainer(Saving, ListEvaluation, FollowsRules, Trainer):
    """Trains a :class:`~recbole_hetcomp.student.model.DistilledStudent` from its teachers.

    RecBole's ``fit`` and ``evaluate`` run unchanged inside: early stopping, checkpoints, TensorBoard, callbacks and
    metrics are RecBole's. A method says what is minimised in ``loss``, and what happens between epochs in
    ``before_epoch``.

    Raises:
        NotImplementedError: several processes were asked for.
    """

    with_teachers = True
    needed_settings: tuple[str, ...] = ()  # that a method's own settings must have
    model: Any
    stopping_step: float
    cur_step: int

    def __init__(self, config: Any, model: Any) -> None:
        if not config["single_spec"]:
            raise NotImplementedError("distillation runs in one process: leave nproc and world_size at their defaults")
        super().__init__(config, model)
        self.settings: HetCompSettings = model.settings
        self.method: Any = model.method
        self.generator = torch.Generator().manual_seed(config["seed"])
        self.patience = self.stopping_step
        self.history: list[dict[str, Any]] = []
        self.seconds: float = model.seconds_made
        self.knowledge: Knowledge | None = None
        self._valid_data: Any = None
        self._bar: tqdm | None = None

    # -- what a method defines --------------------------------------------------------------------------------

    def begin(self, knowledge: Knowledge) -> None:
        """Called once the teachers are known, before training or resuming."""

    def before_epoch(self, epoch: int) -> None:
        """Called before each epoch."""

    def loss(self, users: torch.Tensor) -> torch.Tensor:
        """What is minimised over a batch of users, a scalar."""
        raise NotImplementedError

    def may_stop(self) -> bool:
        """Whether early stopping counts already."""
        return True

    def stage_name(self) -> str:
        """What the progress bar says of the stage."""
        return ""

    # -- training ---------------------------------------------------------------------------------------------

    @property
    def step_work(self) -> int:
        """Multiply-adds of a step, for the number of threads: a batch of users scores what is listed, drawn or all."""
        config, settings, backbone = self.config, self.settings, self.model.backbone
        if not self.with_teachers:
            return work_of_model(backbone, config["train_batch_size"])
        rows = config["train_batch_size"] if settings.user_sampling == "interaction" else settings.user_batch_size
        draws = settings.draws(self.model.n_items - 1)
        scored = min(self.model.n_items, draws + settings.K + settings.K_observed) if draws else self.model.n_items
        layers = work_of_model(backbone, rows * scored if ranks_by_pairs(backbone) else rows)
        return layers + work_of_scores(rows, scored, config["embedding_size"] or 0)

    def fit(
        self,
        train_data: Any,
        valid_data: Any = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], Any] | None = None,
    ) -> tuple[float, Any]:
        """Obtain the teachers, then train the student as RecBole's trainer does.

        Args, returns: as RecBole's ``Trainer.fit``.

        Raises:
            ValueError: the settings do not fit the data; before any training.
            OSError: no space for the trajectories.
        """
        try:
            return self._fit(train_data, valid_data, verbose, saved, show_progress, callback_fn)
        except BaseException:
            self._release()
            raise

    def _fit(
        self,
        train_data: Any,
        valid_data: Any,
        verbose: bool,
        saved: bool,
        show_progress: bool,
        callback_fn: Callable[[int, float], Any] | None,
    ) -> tuple[float, Any]:
        self._valid_data = valid_data
        self.ids = external_ids(train_data._dataset)
        if self.settings.warm_start is not None:
            begin_warm(self.model, self.settings, train_data._dataset)
        log_dir = self.tensorboard.log_dir
        with_no_kd = self.settings.compare_no_kd and self.with_teachers
        self.knowledge = gather_knowledge(
            self.config, self.settings, train_data, valid_data, with_no_kd, log_dir, self.with_teachers
        )
        self.model.check_adapter()
        self._name_files()
        self._take_locks()
        self.begin(self.knowledge)
        if self.with_teachers:  # whether they were trained or found in the store must not change the student
            init_seed(self.config["seed"], self.config["reproducibility"])
        self.batches = self._make_batches(train_data)
        resumed = saved and self.settings.resume and self._resume(train_data)
        self._keep_best = resumed
        if resumed and self.cur_step > self.patience:
            self.start_epoch = self.epochs  # it was killed after its last validation

        def on_validation(epoch: int, score: float) -> None:
            if not self.may_stop():
                self.cur_step = 0
            self._note(epoch, valid=float(score))
            if saved:
                self._save_resume(epoch, train_data)
            if callback_fn is not None:
                callback_fn(epoch, score)

        with tqdm(
            total=self.epochs, initial=self.start_epoch, desc=f"student {self.config['model']}", unit="epoch",
            ncols=100, disable=None if show_progress else True, leave=False,
        ) as self._bar:  # fmt: skip
            result = super().fit(
                train_data,
                valid_data,
                verbose=verbose,
                saved=saved,
                show_progress=False,
                callback_fn=on_validation,
            )
        self._bar = None
        return result

    def _make_batches(self, train_data: Any) -> Any:
        settings = self.settings
        assert self.knowledge is not None
        size = self.config["train_batch_size"] if settings.user_sampling == "interaction" else settings.user_batch_size
        users = UserBatches(
            self.knowledge.data, self.config["USER_ID_FIELD"], settings.user_sampling, size, self.generator
        )
        return WithBaseBatches(users, train_data) if settings.base_loss_weight else users

    def _train_epoch(self, train_data: Any, epoch_idx: int, loss_func: Any = None, show_progress: bool = False) -> Any:
        started = time.perf_counter()
        self.before_epoch(epoch_idx)
        loss = super()._train_epoch(self.batches, epoch_idx, loss_func=self._batch_loss)
        clear_cache(self.model.backbone)
        self.seconds += time.perf_counter() - started
        self._note(epoch_idx, loss=float(loss))
        if self._bar is not None:
            self._bar.update(1)
            self._bar.set_postfix_str(self.stage_name())
        return loss

    def _batch_loss(self, batch: Any) -> torch.Tensor:
        self.model.before_step()
        if isinstance(batch, PairedBatch):
            base = self.settings.base_loss_weight * self._base_loss(batch.base)
            return self.loss(batch.users[self.config["USER_ID_FIELD"]]) + base
        return self.loss(batch[self.config["USER_ID_FIELD"]])

    def _base_loss(self, interaction: Any) -> torch.Tensor:
        loss = self.model.calculate_loss(interaction)
        return sum(loss) if isinstance(loss, tuple) else loss  # type: ignore[return-value]

    def _valid_epoch(self, valid_data: Any, show_progress: bool = False) -> Any:
        self.stopping_step = self.patience if self.may_stop() else math.inf
        return super()._valid_epoch(valid_data, show_progress=False)

    @torch.no_grad()
    def student_lists(self, length: int, hidden: Ragged | None = None) -> torch.Tensor:
        """The student's own top lists, int32 [U, length]; all ``PAD`` for inactive users.

        Args:
            length: of the lists.
            hidden: items of each user that are left out; None: the training items.
        """
        assert self.knowledge is not None
        data, backbone, device = self.knowledge.data, self.model.backbone, self.device
        users = data.users.to(device)
        history = (data.observed if hidden is None else hidden).to(device)
        self.model.eval()
        clear_cache(backbone)
        lists = torch.full((data.n_users, length), PAD, dtype=torch.int32, device=device)
        lists[users] = ranked_lists(backbone, users, data.n_items, history, length, self.settings.score_elements)
        return lists

    def _note(self, epoch: int, **values: float) -> None:
        """Add values to an epoch's line of the history."""
        if not self.history or self.history[-1]["epoch"] != epoch:
            self.history.append({"epoch": epoch})
        self.history[-1].update(values)

    # -- the table --------------------------------------------------------------------------------------------

    def report(self, test_data: Any, student: Mapping[str, float]) -> Result:
        """Write and print the table of teachers, ensemble, student alone and student; the run is then done.

        ``run_recbole`` ends with it; nothing else calls it. What an interrupted run would go on from is removed.

        Args:
            test_data: RecBole's test loader, for the other rows.
            student: the student's own test metrics, as ``evaluate`` gave them.

        Raises:
            RuntimeError: nothing was trained.
        """
        if self.knowledge is None:
            raise RuntimeError("there is nothing to report before fit")
        result = self._result(self.knowledge, test_data, dict(student))
        write_result(result, self.result_dir, self.logger)
        (self.result_dir / RESUME_FILE).unlink(missing_ok=True)
        self._release()
        return result

    def reports_on(self, eval_data: Any) -> bool:
        """Whether an evaluation is that of the test split, of a model that was trained."""
        return bool(eval_data) and self.knowledge is not None and eval_data is not self._valid_data

    def _result(self, knowledge: Knowledge, test_data: Any, student: dict[str, float]) -> Result:
        rows = self._teacher_rows(knowledge, test_data) if knowledge.teachers else []
        if knowledge.no_kd is not None:
            alone = knowledge.no_kd
            assert alone.served is not None
            rows.append(
                Row("NoKD", "student", self._list_metrics(alone.served, test_data), alone.info["valid"],
                    alone.info["parameters"], alone.info["seconds"])
            )  # fmt: skip
        parameters = stored_numbers(self.model.backbone)  # what is served; not what only helps in training
        valid = self.best_valid_result or {}
        rows.append(Row(self.config["model"], "student", dict(student), dict(valid), parameters, self.seconds))
        return Result(
            rows=tuple(rows),
            metric=self.valid_metric,
            run=knowledge.run,
            dataset=self.config["dataset"],
            seed=self.config["seed"],
            fingerprint=knowledge.data.fingerprint,
            settings={**plain_config(self.config), **self.settings.plain(), **knowledge.consensus.plain()},
            history=tuple(self.history),
            teacher_epochs={name: list(teacher.epochs) for name, teacher in knowledge.teachers},
        )

    def _teacher_rows(self, knowledge: Knowledge, test_data: Any) -> list[Row]:
        """The table's lines of the teachers and their ensemble."""
        rows = []
        for name, teacher in knowledge.teachers:
            assert teacher.served is not None
            rows.append(
                Row(name, "teacher", self._list_metrics(teacher.served, test_data), teacher.info["valid"],
                    teacher.info["parameters"], teacher.info["seconds"])
            )  # fmt: skip
        rows.append(
            Row(
                "TeacherEnsemble",
                "ensemble",
                self._list_metrics(knowledge.ensemble, test_data),
                self._list_metrics(knowledge.validated_ensemble, self._valid_data),
                sum(row.parameters for row in rows),
                sum(row.seconds for row in rows),
            )
        )
        return rows

    def _ranked_model(self) -> Any:
        return self.model.backbone

    def _list_metrics(self, lists: torch.Tensor, eval_data: Any) -> dict[str, float]:
        """RecBole's metrics of stored lists, by this trainer's own evaluator."""
        if self._takes_lists(eval_data):
            return self.evaluate_lists(lists, eval_data)
        ranking = ImportedRanking(self.config, eval_data._dataset).to(self.device)
        ranking.set_lists(lists)
        judge = copy.copy(self)
        judge.model = ranking
        return dict(Trainer.evaluate(judge, eval_data, load_best_model=False))
