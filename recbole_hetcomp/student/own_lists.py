"""The students' own top lists, made anew every few epochs, and what each user's counts (method.md §5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core import disagreement, own_list_loss
from recbole_hetcomp.core.rankings import PAD, ranks_in
from recbole_hetcomp.settings import HetCompSettings


class OwnLists:
    """Each user's own list, as long as the taught part of π⁻, and its weight: the more, the more of π⁻ it lacks.

    Args:
        settings: ``own_list_from``, ``own_list_every``, ``own_list_decay`` and ``K``.
        most: λ, of a user whose list holds nothing of π⁻; 0: none is taught.

    Attributes:
        lists: int32 [U, K/2]; None before they are made.
        power: of the share that a list lacks, in its weight.
    """

    power: float = 2

    def __init__(self, settings: HetCompSettings, most: float) -> None:
        self.settings, self.most = settings, most
        self.length = max(1, settings.K // 2)
        self.places = 0.5 * (settings.K // 2 + settings.K_observed)  # what all places of π⁻ count together
        self.lists: Tensor | None = None

    def ever_due(self, epochs: int) -> bool:
        """Whether any is made in so many epochs."""
        return self._taught(epochs - 1, epochs)

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether they are to be made before an epoch, from 0, of so many at most."""
        return self._taught(epoch, epochs) and (self.lists is None or epoch % self.settings.own_list_every == 0)

    def _taught(self, epoch: int, epochs: int) -> bool:
        return self.most > 0 and epoch + 1e-9 >= self.settings.own_list_from * epochs

    def lacking(self, own: Tensor, unobserved: Tensor) -> Tensor:
        """Share c of the first K/2 of π⁻ that own lists lack.

        Args:
            own: some users' lists, integer [B, K/2].
            unobserved: their π⁻, integer [B, K].

        Returns:
            float32 [B].
        """
        return self._lacking(ranks_in(unobserved, own, absent=PAD), unobserved)

    def _lacking(self, rank: Tensor, unobserved: Tensor) -> Tensor:
        return disagreement(rank, unobserved[:, : self.length])

    def loss(
        self, model: Any, users: Tensor, unobserved: Tensor, fine: Tensor, factors: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Weighted loss of the users in the fine stage, summed over them; 0 before there are lists.

        Args:
            model: a :class:`~recbole_hetcomp.student.model.DistilledStudent`.
            users: int64 [B].
            unobserved: their π⁻, int64 [B, K].
            fine: True for users in the fine stage, bool [B].
            factors: what the student's ``factors`` gave for them, where it was asked already.
        """
        if self.lists is None or not self.most:
            return torch.zeros((), device=users.device)
        own = self.lists[users].long()
        scores, _ = model.scores_of(users, own.clamp(min=0), factors=factors)
        rank = ranks_in(unobserved, own, absent=PAD)
        lost = own_list_loss(scores, own, rank, self.settings.own_list_decay)
        weight = self.most * self.places * self._lacking(rank, unobserved) ** self.power
        return (weight * fine * lost).sum()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"lists": self.lists}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it, with the settings of today."""
        self.lists = state["lists"]
