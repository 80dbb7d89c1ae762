"""The ensemble of all teachers (method.md §2), the accuracy that a student is to keep, as a RecBole model."""

from __future__ import annotations

from typing import Any

import torch
from recbole.trainer import Trainer

from recbole_hetcomp.metrics.lists import ListEvaluation, stored_top_lists
from recbole_hetcomp.recbole_bridge.checkpoint import checkpoint_content, save_atomically
from recbole_hetcomp.recbole_bridge.config import checked_settings, run_defaults, run_settings
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.teachers.imported_ranking import ImportedRanking
from recbole_hetcomp.teachers.knowledge import gather_knowledge


class TeacherEnsemble(ImportedRanking):
    """The consensus of the teachers' final snapshots as a RecBole model.

    Its trainer trains the teachers, or takes them from the store, and gives it the consensus over every item that any
    teacher lists. Source: *Consensus Learning from Heterogeneous Objectives for One-Class Collaborative Filtering*
    (Kang et al., WWW 2022), as *Distillation from Heterogeneous Models* (WWW 2023) uses it.
    """

    knows_teachers = True

    @classmethod
    def default_settings(cls, config: Any) -> dict[str, Any]:
        """Defaults of a Config of this model, over RecBole's own: the run's, less what is a student's."""
        return run_defaults(config, {})

    @classmethod
    def configure(cls, config: Any) -> None:
        """Check the settings when a Config is built."""
        checked_settings(config)


class TeacherEnsembleTrainer(ListEvaluation, Trainer):
    """Obtains the teachers and gives their consensus to a :class:`TeacherEnsemble`; one epoch, nothing is learnt."""

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        self.epochs = self.eval_step = 1

    def _build_optimizer(self, **kwargs: Any) -> torch.optim.Optimizer:
        """An optimizer over nothing: the ensemble has no parameters, and torch refuses an empty list."""
        return torch.optim.SGD([torch.zeros(1)], lr=0.0)

    def fit(self, train_data: Any, valid_data: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As RecBole's ``Trainer.fit``, after the teachers are there."""
        settings = run_settings(self.config)
        knowledge = gather_knowledge(
            self.config,
            settings,
            train_data,
            valid_data,
            with_no_kd=False,
            tensorboard_dir=self.tensorboard.log_dir,
        )
        self.model.set_lists(knowledge.ensemble)
        return super().fit(train_data, valid_data, *args, **kwargs)

    def _train_epoch(self, *args: Any, **kwargs: Any) -> float:
        return 0.0

    def _top_lists(self, evaluated: EvaluatedUsers, length: int) -> torch.Tensor:
        return stored_top_lists(self.model.lists.cpu(), evaluated, length)

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        file = kwargs.pop("saved_model_file", self.saved_model_file)
        save_atomically(checkpoint_content(self, epoch), file)
        if verbose:
            self.logger.info(f"Saving current: {file}")
