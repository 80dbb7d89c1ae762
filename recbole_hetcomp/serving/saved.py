"""A checkpoint with its data, as all that serves it needs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.utils import ModelType
from torch import Tensor

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.recbole_bridge.quick_start import load_data_and_model
from recbole_hetcomp.serving import SEEN
from recbole_hetcomp.teachers.imported_ranking import candidate_scores
from recbole_hetcomp.teachers.recorder import Scores


@dataclass(frozen=True)
class SavedModel:
    """What a run saved, loaded with the data that it was trained on.

    Attributes:
        config: the run's Config.
        model: the model, as for evaluation.
        dataset: the whole data set.
        loaders: RecBole's of training, validation and test.
        seen: each user's items that are no candidates.
        training: each user's items of the training split.
    """

    config: Any
    model: Any
    dataset: Any
    loaders: tuple[Any, Any, Any]
    seen: Ragged
    training: Ragged

    @property
    def counts(self) -> Tensor:
        """Training interactions of each item, int64 [I]."""
        return torch.bincount(self.training.values, minlength=self.n_items)

    @property
    def user_ids(self) -> Any:
        """External ids of the users, the padding id first."""
        return self.dataset.field2id_token[self.dataset.uid_field]

    @property
    def item_ids(self) -> Any:
        """External ids of the items, the padding id first."""
        return self.dataset.field2id_token[self.dataset.iid_field]

    @property
    def n_users(self) -> int:
        """U, with the padding user."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """I, with the padding item."""
        return len(self.item_ids)

    @property
    def budget(self) -> int:
        """Scores that fit into the memory that the settings give them."""
        return memory_for_scores(self.config)

    def scores(self) -> Scores:
        """The model's scores of all items for some users; -inf where an item is no candidate."""
        return candidate_scores(self.model, self.n_items)


def saved_model(checkpoint: str | Path, seen: str = SEEN[0]) -> SavedModel:
    """Load a checkpoint and its data.

    Args:
        checkpoint: what a run saved; its data set must be where it was.
        seen: ``all``: items that a user has anywhere in the data set are no candidates; ``training``: those of the
            training split, as in an evaluation.

    Raises:
        FileNotFoundError: there is no such checkpoint, or its data set is gone.
        ValueError: the model is no general recommender.
    """
    if seen not in SEEN:
        raise ValueError(f"seen={seen!r} is not allowed: one of {', '.join(SEEN)}")
    check_file(Path(checkpoint))
    config, model, dataset, *loaders = load_data_and_model(str(checkpoint))
    if model.type not in (ModelType.GENERAL, ModelType.TRADITIONAL):
        raise ValueError(
            f"{config['model']} is a {model.type.name.lower()} model: it ranks by more than the user, and a general "
            "recommender is needed"
        )
    model.eval()
    train = loaders[0]._dataset
    training = items_seen(dataset, train, "training")
    had = training if seen == "training" else items_seen(dataset, train, seen)
    return SavedModel(config, model, dataset, (loaders[0], loaders[1], loaders[2]), had, training)


def check_file(checkpoint: Path) -> None:
    """Refuse a checkpoint that is not there.

    Raises:
        FileNotFoundError: there is nothing of this name.
        IsADirectoryError: it is a folder.
    """
    if checkpoint.is_dir():
        raise IsADirectoryError(f"{checkpoint} is a folder: a checkpoint that a run saved (.pth) is needed")
    if not checkpoint.is_file():
        raise FileNotFoundError(f"{checkpoint} does not exist")


def items_seen(dataset: Any, train: Any, seen: str) -> Ragged:
    """Each user's items that are no candidates.

    Args:
        dataset: the whole data set.
        train: its training split.
        seen: ``all`` or ``training``.
    """
    part = train if seen == "training" else dataset
    return Ragged.from_pairs(_ids(part, train.uid_field), _ids(part, train.iid_field), train.user_num)


def _ids(dataset: Any, field: str) -> Tensor:
    return torch.as_tensor(np.asarray(dataset.inter_feat[field])).long()
