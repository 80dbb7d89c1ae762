"""The ensemble's lists beside its student's, from the trajectory store; nothing is trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from recbole_hetcomp.core import PAD
from recbole_hetcomp.core.rankings import without
from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.data.membership import Membership
from recbole_hetcomp.recbole_bridge.config import settings_for
from recbole_hetcomp.serving.saved import SavedModel
from recbole_hetcomp.student.model import DistilledStudent
from recbole_hetcomp.teachers.found import find_teachers
from recbole_hetcomp.teachers.knowledge import form_ensemble


def ensemble_of(saved: SavedModel, length: int) -> NDArray[np.int32]:
    """Rows of the items that a student's ensemble recommends, without those seen, -1 behind the last, int32 [U, L].

    Args:
        saved: a student.
        length: L.

    Raises:
        ValueError: it had no teachers.
        FileNotFoundError: the store does not have one of them any more.
    """
    if not isinstance(saved.model, DistilledStudent):
        raise ValueError(f"{saved.config['model']} is no student: there is no ensemble that it learned from")
    train, valid, _ = saved.loaders
    settings = settings_for(saved.config, saved.n_items - 1)
    data = Interactions.from_datasets(train._dataset, valid._dataset)
    teachers = find_teachers(saved.config, settings, data).required(saved.config["model"])
    lists = form_ensemble(saved.config, settings, data, teachers, train._dataset, valid).lists
    lists = without(lists, Membership.of(saved.seen).holds(torch.arange(saved.n_users), lists))[1:, :length]
    return torch.where(lists == PAD, PAD, lists - 1).to(torch.int32).numpy()
