"""The students' own top lists, made anew every few epochs, and what each user's counts (method.md §5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core import disagreement, own_list_loss
from recbole_hetcomp.core.rankings import user_blocks
from recbole_hetcomp.settings import HetCompSettings


class OwnLists:
    """Each user's own list, as long as the taught part of π⁻, and its weight: the more, the more of π⁻ it lacks.

    Args:
        settings: ``own_list_from``, ``own_list_every``, ``own_list_decay`` and ``K``.
        most: λ, of a user whose list holds nothing of π⁻; 0: none is taught.
        device: where π⁻ lies.

    Attributes:
        lists: int32 [U, K/2]; None before they are made.
        lacking: c, the share of the first K/2 of π⁻ that each list lacks, float32 [U]; empty before they are made.
        power: of the share that a list lacks, in its weight.
    """

    power: float = 2

    def __init__(self, settings: HetCompSettings, most: float, device: torch.device) -> None:
        self.settings, self.most = settings, most
        self.length = max(1, settings.K // 2)
        self.places = 0.5 * (settings.K // 2 + settings.K_observed)  # what all places of π⁻ count together
        self.lists: Tensor | None = None
        self.lacking = torch.empty(0, device=device)

    def ever_due(self, epochs: int) -> bool:
        """Whether any is made in so many epochs."""
        return self._taught(epochs - 1, epochs)

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether they are to be made before an epoch, from 0, of so many at most."""
        return self._taught(epoch, epochs) and (self.lists is None or epoch % self.settings.own_list_every == 0)

    def _taught(self, epoch: int, epochs: int) -> bool:
        return self.most > 0 and epoch + 1e-9 >= self.settings.own_list_from * epochs

    def make(self, lists: Tensor, unobserved: Tensor) -> None:
        """Take new lists.

        Args:
            lists: of the students, int32 [U, K/2].
            unobserved: π⁻, int32 [U, K].
        """
        self.lists = lists
        self.compare(unobserved)

    def compare(self, unobserved: Tensor) -> None:
        """See what the lists, if there are any, lack of π⁻, int32 [U, K], which has changed."""
        if self.lists is None:
            return
        lists, taught = self.lists, unobserved[:, : self.length]
        blocks = user_blocks(len(lists), self.length, self.settings.block_elements)
        self.lacking = torch.cat([disagreement(lists[rows], taught[rows]) for rows in blocks])

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
        lost = own_list_loss(scores, own, unobserved, self.settings.own_list_decay)
        weight = self.most * self.places * self.lacking[users] ** self.power
        return (weight * fine * lost).sum()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"lists": self.lists}

    def load_state_dict(self, state: dict[str, Any], unobserved: Tensor) -> None:
        """Go on from it, with the settings of today and π⁻, int32 [U, K]."""
        self.lists = state["lists"]
        self.compare(unobserved)
