"""Trains the teachers and nothing else: the ensemble as a RecBole model."""

from __future__ import annotations

from typing import Any

import torch
from recbole.trainer import Trainer

from recbole_hetcomp.checkpoint import checkpoint_content, save_atomically
from recbole_hetcomp.config import HetCompSettings
from recbole_hetcomp.loaders import EvaluatedUsers
from recbole_hetcomp.trainer.evaluation import ListEvaluation, stored_top_lists
from recbole_hetcomp.trainer.material import gather_material


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
        settings = HetCompSettings.from_config(self.config)
        material = gather_material(
            self.config,
            settings,
            train_data,
            valid_data,
            with_no_kd=False,
            tensorboard_dir=self.tensorboard.log_dir,
        )
        self.model.set_lists(material.ensemble)
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
