"""A saved student with its data, and its teachers as the store has them: nothing is trained here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from torch import Tensor

from recbole_hetcomp.core import PAD
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.metrics.per_user import KeepingEvaluator, per_user_values
from recbole_hetcomp.recbole_bridge.config import memory_for_scores, settings_for
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists
from recbole_hetcomp.serving.saved import SavedModel, saved_model
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.teachers.found import find_teachers
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer
from recbole_hetcomp.teachers.knowledge import FormedEnsemble, form_ensemble


@dataclass(frozen=True)
class SavedStudent:
    """A student that a run saved.

    Attributes:
        saved: the model with its data, for evaluation: training items are no candidates.
        settings: its settings.
        data: the interactions.
    """

    saved: SavedModel
    settings: HetCompSettings
    data: Interactions

    @staticmethod
    def load(checkpoint: str | Path, store_dir: str | None = None) -> SavedStudent:
        """Load it with its data.

        Args:
            checkpoint: what a run saved; its data set must be where it was.
            store_dir: the store of its teachers, where it is not where it was.

        Raises:
            FileNotFoundError: there is no such checkpoint, or its data set is gone.
            ValueError: it is no student.
        """
        saved = saved_model(checkpoint, "training")
        if not isinstance(saved.model, DistilledStudent):
            raise ValueError(f"{checkpoint} holds {saved.config['model']}: a distilled student is needed, e.g. HetComp")
        if store_dir is not None:
            saved.config["store_dir"] = store_dir
        train, valid, _ = saved.loaders
        data = Interactions.from_datasets(train._dataset, valid._dataset)
        return SavedStudent(saved, settings_for(saved.config, data.n_items - 1), data)

    @property
    def config(self) -> Config:
        """Its Config."""
        return self.saved.config

    @property
    def model(self) -> Any:
        """The student, in evaluation mode."""
        return self.saved.model

    @property
    def train(self) -> Any:
        """RecBole's training loader."""
        return self.saved.loaders[0]

    @property
    def valid(self) -> Any:
        """RecBole's validation loader."""
        return self.saved.loaders[1]

    @property
    def test(self) -> Any:
        """RecBole's test loader."""
        return self.saved.loaders[2]

    @property
    def backbone(self) -> Any:
        """The model that is served."""
        return self.model.backbone

    def on(self, device: torch.device) -> Any:
        """The model that is served, on a device, in evaluation mode."""
        if torch.device(self.config["device"]).type == device.type:
            return self.backbone
        made = type(self.model)(config_on(self.config, device), self.train._dataset).to(device)
        made.load_state_dict(self.model.state_dict())
        made.load_other_parameter(self.model.other_parameter())
        return made.eval().backbone

    def lists(self, length: int, loader: Any = None) -> Tensor:
        """Its top lists of the users whom a loader evaluates, ``PAD`` for the others, int32 [U, length].

        Args:
            length: items of a list.
            loader: RecBole's loader; the test split's if None.
        """
        evaluated = EvaluatedUsers.of(self.test if loader is None else loader)
        lists = torch.full((self.data.n_users, length), PAD, dtype=torch.int32)
        history, budget = evaluated.history.items, memory_for_scores(self.config)
        lists[evaluated.users] = ranked_lists(
            self.backbone, evaluated.users, self.data.n_items, history, length, budget
        )
        return lists

    def ensemble(self) -> FormedEnsemble:
        """Its teachers' ensemble, from the store.

        Raises:
            ValueError: it had no teachers.
            FileNotFoundError: the store does not have them.
        """
        teachers = find_teachers(self.config, self.settings, self.data).required(self.config["model"])
        return form_ensemble(self.config, self.settings, self.data, teachers, self.train._dataset, self.valid)

    def per_user(self, lists: Sequence[Tensor], metric: str, k: int) -> list[Any]:
        """A metric of every user of the test split, of several rankings alike, float64 [n] each.

        Args:
            lists: item ids, best first, int [U, L] each.
            metric: RecBole's name, e.g. NDCG.
            k: the cut-off.
        """
        config = copy.copy(self.config)
        config.final_config_dict = {**self.config.final_config_dict, "metrics": [metric], "topk": [k]}
        values = []
        for one in lists:
            trainer = ListsTrainer.judging(config, self.train._dataset, one)
            trainer.evaluator = KeepingEvaluator(trainer.evaluator)
            trainer.evaluate_lists(one, self.test)
            (found,) = per_user_values(config, trainer.evaluator.struct, [metric]).values()
            values.append(found)
        return values


def config_on(config: Config, device: torch.device) -> Config:
    """A Config for another device."""
    other = copy.copy(config)
    other.final_config_dict = {**config.final_config_dict, "device": device}
    return other
