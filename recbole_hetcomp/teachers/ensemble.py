"""The ensemble of all teachers (method.md §2), the accuracy that a student is to keep, as a RecBole model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_hetcomp.recbole_bridge.checkpoint import checkpoint_content, is_reviving, save_atomically
from recbole_hetcomp.recbole_bridge.config import checked_settings, run_defaults, settings_for
from recbole_hetcomp.teachers.imported_ranking import ImportedRanking, ListsTrainer
from recbole_hetcomp.teachers.knowledge import gather_knowledge
from recbole_hetcomp.teachers.planned import check_evaluation
from recbole_hetcomp.teachers.protocol import outside_teachers


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
        settings = checked_settings(config)
        if not is_reviving():
            check_evaluation(config, settings)
            outside_teachers(settings)


class TeacherEnsembleTrainer(ListsTrainer):
    """Obtains the teachers and gives their consensus to a :class:`TeacherEnsemble`; one epoch, nothing is learnt."""

    validated: Tensor | None = None

    def fit(self, train_data: Any, valid_data: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As RecBole's ``Trainer.fit``, after the teachers are there."""
        settings = settings_for(self.config, train_data._dataset.item_num - 1)
        knowledge = gather_knowledge(
            self.config,
            settings,
            train_data,
            valid_data,
            with_no_kd=False,
            tensorboard_dir=self.tensorboard.log_dir,
        )
        self.model.set_lists(knowledge.ensemble)
        self.validated = knowledge.validated
        return super().fit(train_data, valid_data, *args, **kwargs)

    def _valid_epoch(self, valid_data: Any, show_progress: bool = False) -> Any:
        """As RecBole's; of weights that were fitted to validation, by lists of users that they were not fitted to."""
        if self.validated is None:
            return super()._valid_epoch(valid_data, show_progress)
        final = self.model.lists
        self.model.set_lists(self.validated)
        try:
            return super()._valid_epoch(valid_data, show_progress)
        finally:
            self.model.set_lists(final)

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        file = kwargs.pop("saved_model_file", self.saved_model_file)
        save_atomically(checkpoint_content(self, epoch), file)
        if verbose:
            self.logger.info(f"Saving current: {file}")
