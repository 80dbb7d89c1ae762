"""What exported vectors are worth: RecBole's own metrics of the lists that they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recbole_hetcomp.core import PAD
from recbole_hetcomp.metrics.lists import needs_lists_only
from recbole_hetcomp.recbole_bridge.loaders import EvaluatedUsers
from recbole_hetcomp.recbole_bridge.scoring import users_at_once
from recbole_hetcomp.serving.export.rankers import of_vectors
from recbole_hetcomp.serving.saved import SavedModel
from recbole_hetcomp.teachers.imported_ranking import ListsTrainer


def measure(saved: SavedModel, loader: Any, users: NDArray[np.float32], items: NDArray[np.float32]) -> dict[str, float]:
    """The run's metrics of the lists that vectors give, as RecBole evaluates them; {} where lists do not decide them.

    Args:
        saved: the model with its data.
        loader: RecBole's of the validation or of the test split.
        users: float32 [U, d].
        items: float32 [I, d].
    """
    if not loader or not needs_lists_only(saved.config) or not saved.config["single_spec"]:
        return {}
    evaluated, length, rank = EvaluatedUsers.of(loader), max(saved.config["topk"]), of_vectors(users, items)
    lists = torch.full((saved.n_users, length), PAD)
    for part in evaluated.users.split(users_at_once(saved.n_items, saved.budget)):
        history = evaluated.history.items.padded(part).long()
        found = torch.from_numpy(rank((part - 1).numpy(), torch.where(history < 0, PAD, history - 1).numpy(), length))
        lists[part] = torch.where(found < 0, PAD, found + 1)
    trainer = ListsTrainer.judging(saved.config, saved.loaders[0]._dataset, lists)
    return {name: float(value) for name, value in trainer.evaluate_lists(lists, loader).items()}
