"""What the methods share: the final consensus as taught lists, λ times the mean loss over users, refreshed choices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core.rankings import user_blocks
from recbole_hetcomp.student.objective import ListScorer, TaughtLists
from recbole_hetcomp.student.trainer import DistillingTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


class ConsensusTrainer(DistillingTrainer):
    """Trains a student from the consensus of the teachers' final snapshots (method.md §2).

    A method says in ``user_losses`` what each user of a batch loses; it is averaged, weighted with ``kd_weight`` and
    added to ``base_loss_weight`` times the backbone's own loss.
    """

    needed_settings: tuple[str, ...] = ("kd_weight",)

    def begin(self, knowledge: Knowledge) -> None:
        data = knowledge.data
        device = torch.device(self.device)
        how = self.observed_knowledge
        budget, length = self.settings.block_elements, self.settings.K
        self.lists = TaughtLists(knowledge, budget, device, observed_knowledge=how, observed_length=length)
        last = torch.tensor(knowledge.snapshots, device=device) - 1
        self.lists.rebuild(data.users.to(device), last.expand(data.n_users, -1))
        self.scorer = ListScorer(self.settings, data.n_items, self.generator)

    @property
    def observed_knowledge(self) -> str:
        """Whether the taught lists hold training items: ``none``, or ``joint``, before the others."""
        return "none"

    def user_losses(self, users: Tensor) -> Tensor:
        """The method's loss of each user of a batch, [B]."""
        raise NotImplementedError

    def loss(self, users: Tensor) -> Tensor:
        return self.method.kd_weight * self.user_losses(users).mean()

    def taught_lists(self, users: Tensor) -> Tensor:
        """The users' taught lists, int64 [B, K]."""
        return self.lists.unobserved[users].long()

    def scores(self, users: Tensor, items: Tensor) -> Tensor:
        """The student's scores of some items of each user, anything at padded places, [B, L]."""
        return self.model.scores_of(users, items.clamp(min=0))[0]

    def scored_lists(self, users: Tensor, lists: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the listed items, [B, L], and R_u over the unobserved items that are not listed, [B]."""
        return self.scorer(self.model, users, lists, self.lists.history.padded(users))


class StudentGuidedTrainer(ConsensusTrainer):
    """A method that chooses what to teach by the student's own lists, anew every ``refresh_epochs`` epochs.

    ``student_length`` is the length of these lists and ``choose`` what is made of them: named tensors, which a
    checkpoint keeps.
    """

    needed_settings = ("kd_weight", "refresh_epochs")
    chosen: dict[str, Tensor]

    def begin(self, knowledge: Knowledge) -> None:
        super().begin(knowledge)
        self.chosen = {}

    def before_epoch(self, epoch: int) -> None:
        if not self.chosen or epoch % self.method.refresh_epochs == 0:
            with torch.no_grad():
                self.chosen = self.choose(self.student_lists(self.student_length))

    @property
    def student_length(self) -> int:
        """Length of the student's lists."""
        raise NotImplementedError

    def choose(self, student: Tensor) -> dict[str, Tensor]:
        """What to teach until the next choice, from the student's lists, int32 [U, student_length]."""
        raise NotImplementedError

    def _blocks(self, width: int) -> Any:
        """Blocks of all users whose lists of some width fit the memory budget."""
        return user_blocks(len(self.lists.unobserved), width, self.settings.block_elements)

    def method_state(self) -> dict[str, Any]:
        return {"chosen": self.chosen}

    def load_method_state(self, state: dict[str, Any]) -> None:
        self.chosen = state["chosen"]
