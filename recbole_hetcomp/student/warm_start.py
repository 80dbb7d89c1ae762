"""A student that goes on from yesterday's weights: checked before anything trains, new rows made in closed form."""

from __future__ import annotations

import logging
from typing import Any

import torch

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.data.matching import Matching
from recbole_hetcomp.recbole_bridge.warm_start import Yesterday, go_on_from
from recbole_hetcomp.settings import HetCompSettings
from recbole_hetcomp.student.closed_form import ClosedForm, some_rows


def begin_warm(model: Any, settings: HetCompSettings, train: Any) -> None:
    """Give a student, as it was initialised, the weights of the checkpoint that ``warm_start`` names.

    Rows are matched by external id. A new row of a table is the mean of its neighbours' rows; where the tables are the
    factors of the score, :class:`~recbole_hetcomp.student.closed_form.ClosedForm` makes it.

    Args:
        model: a :class:`~recbole_hetcomp.student.model.DistilledStudent`.
        settings: the run's.
        train: RecBole's training Dataset.

    Raises:
        FileNotFoundError, DamagedFileError, ValueError: as :meth:`Yesterday.read`, or the weights do not fit the model.
    """
    assert settings.warm_start is not None
    yesterday = Yesterday.read(settings.warm_start, settings)
    try:
        matching = Matching.of(train, yesterday.ids)
        go_on_from(model.backbone, yesterday.state, matching)
    except ValueError as error:
        raise ValueError(f"warm_start={settings.warm_start!r} does not fit: {error}") from error
    _fill_new(model, matching)
    logging.getLogger().info(f"student: goes on from {yesterday.file}, which knows {matching.in_words()}")


@torch.no_grad()
def _fill_new(model: Any, matching: Matching) -> None:
    """New rows of embeddings that are the score's factors: items first, from users who were there, then users."""
    tables = model.adapter.embeddings()
    if tables is None:
        return
    user, item = (table.weight for table in tables)
    pairs = matching.pairs.tocoo()
    users, items = torch.from_numpy(pairs.row).long(), torch.from_numpy(pairs.col).long()
    new_users, new_items = matching.is_new("user"), matching.is_new("item")
    known = ~new_users[users]
    _fill(item, user, Ragged.from_pairs(items[known], users[known], len(item)), new_items)
    _fill(user, item, Ragged.from_pairs(users, items, len(user)), new_users)


def _fill(own: torch.Tensor, other: torch.Tensor, pairs: Ragged, new: torch.Tensor) -> None:
    told = (new & (pairs.lengths() > 0)).nonzero().flatten()
    if not len(told):
        return
    known = ~new
    known[0] = False
    form = ClosedForm.of(own.cpu(), other.cpu(), pairs, known)
    own[told.to(own.device)] = form.vectors(some_rows(pairs, told)).to(own)
