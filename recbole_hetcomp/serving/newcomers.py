"""Users who were not there at training time, ranked by the items that they come with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core import Ragged
from recbole_hetcomp.recbole_bridge.scoring import clear_cache, device_of
from recbole_hetcomp.student.backbones import adapter_of
from recbole_hetcomp.student.closed_form import ClosedForm


class Newcomers:
    """Vectors of users from their items, in the space of a model's item vectors.

    Args:
        factors: gives the model's vectors of all users, float [U, d], and items, float [I, d]; asked once, when the
            first newcomer comes.
        training: each user's items of the training split.
    """

    def __init__(self, factors: Callable[[], tuple[Tensor, Tensor]], training: Ragged) -> None:
        self._factors, self._training = factors, training
        self._form: ClosedForm | None = None

    @classmethod
    def of(cls, model: Any, training: Ragged) -> Newcomers | None:
        """Those of a model, or None where its scores are no dot products.

        Args:
            model: a student, or a RecBole general recommender, in evaluation mode.
            training: each user's items of the training split.
        """
        adapter = getattr(model, "adapter", None) or adapter_of(model)
        device = device_of(adapter.model)

        @torch.no_grad()
        def factors(n_users: int = training.n_rows) -> Any:
            clear_cache(adapter.model)
            found = adapter.factors(torch.arange(n_users, device=device))
            return None if found is None else tuple(side.detach().float().cpu() for side in found)

        return None if factors(1) is None else cls(factors, training)

    @property
    def form(self) -> ClosedForm:
        """What makes a vector of items."""
        if self._form is None:
            users, items = self._factors()
            self._form = ClosedForm.of(users, items, self._training, self._training.lengths() > 0)
        return self._form

    def vectors(self, histories: Ragged) -> Tensor:
        """One vector a newcomer, from the ids of their items, float [B, d]."""
        return self.form.vectors(histories)

    def scores(self, histories: Ragged) -> Tensor:
        """Scores of all items for each newcomer, float [B, I]; their own items are no candidates, -inf."""
        found = self.vectors(histories) @ self.form.other.t()
        owner = torch.arange(histories.n_rows).repeat_interleave(histories.lengths())
        found[owner, histories.values] = -torch.inf
        return found
