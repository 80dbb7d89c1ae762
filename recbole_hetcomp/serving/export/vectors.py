"""A model's scores as dot products of two tables of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recbole_hetcomp.recbole_bridge.scoring import clear_cache, device_of
from recbole_hetcomp.student.backbones import adapter_of


def vectors_of(model: Any, n_users: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """User and item vectors whose dot product is the model's score, without RecBole's padding rows.

    Args:
        model: a student, or a RecBole model that an adapter of :mod:`recbole_hetcomp.student.backbones` knows.
        n_users: U, with the padding user.

    Returns:
        float32 [U - 1, d] and [I - 1, d].

    Raises:
        ValueError: the model's scores are no dot products, or a vector holds NaN or infinity.
    """
    backbone = getattr(model, "backbone", model)
    clear_cache(backbone)
    with torch.no_grad():
        found = adapter_of(backbone).factors(torch.arange(n_users, device=device_of(backbone)))
    if found is None:
        raise ValueError(
            f"{type(backbone).__name__} scores by more than a dot product and cannot be exported as vectors; a student "
            "of backbone BPR, IALS, LightGCN or CML can, and hetcomp recommend serves any model"
        )
    users, items = (np.ascontiguousarray(table.detach().float().cpu().numpy()[1:]) for table in found)
    for name, table in (("user", users), ("item", items)):
        broken = ~np.isfinite(table).all(axis=1)
        if broken.any():
            raise ValueError(f"the vectors of {int(broken.sum())} {name}s hold NaN or infinity: the model is not sound")
    return users, items
