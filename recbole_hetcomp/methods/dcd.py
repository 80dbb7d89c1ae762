"""DCD's trainer: under-estimated above over-estimated, in users' rankings of items and items' rankings of users."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_hetcomp.core import PAD, plackett_luce_nll, ranks_in
from recbole_hetcomp.methods._losses import Corrections, correction_loss, corrections, item_corrections
from recbole_hetcomp.student.consensus_trainer import StudentGuidedTrainer


class DCDTrainer(StudentGuidedTrainer):
    """Dual correction beside RRD's loss (:class:`recbole_hetcomp.methods._students.dcd.DCD`)."""

    @property
    def student_length(self) -> int:
        """Length of the student's lists."""
        return min(self.method.student_depth, self.scorer.n_items - 1)

    def _choose(self, student: Tensor) -> dict[str, Tensor]:
        parts = [
            corrections(self.lists.unobserved[rows], student[rows], self.method, self.generator)
            for rows in self._blocks(self.student_length)
        ]
        chosen = {
            "under": torch.cat([part.under for part in parts]).int(),
            "over": torch.cat([part.over for part in parts]).int(),
        }
        if self.method.item_weight:
            found = self._choose_users(student[:, : self.settings.K])
            chosen["users_under"], chosen["users_over"] = found.under.int(), found.over.int()
            chosen["items"] = ((found.under != PAD).any(dim=1) & (found.over != PAD).any(dim=1)).nonzero().flatten()
        return chosen

    def _choose_users(self, student: Tensor) -> Corrections:
        """The item side: candidates are the pairs of the teacher's lists, and those of the student's that it lacks."""
        teacher, users = self.lists.unobserved, self.lists.history
        pairs = []
        for rows in self._blocks(self.settings.K):
            own, listed = student[rows].long(), teacher[rows].long()
            own = own.masked_fill(ranks_in(listed, own, PAD) != PAD, PAD)
            items = torch.cat((listed, own), dim=1)  # [B, K + K]
            row, place = (items != PAD).nonzero(as_tuple=True)
            rank = place.masked_fill(place >= listed.shape[1], PAD)
            everyone = torch.arange(users.n_rows, device=items.device)[rows]
            scores = self._scores(everyone, items)
            pairs.append((everyone[row], items[row, place], rank, scores[row, place]))
        user, item, rank, score = (torch.cat(column) for column in zip(*pairs))
        return item_corrections(user, item, rank, score, self.scorer.n_items, self.method, self.generator)

    def _distil(self, users: Tensor) -> Tensor:
        method, chosen = self.method, self.chosen
        under, over = chosen["under"][users].long(), chosen["over"][users].long()
        scores = self._scores(users, torch.cat((under, over), dim=1))
        loss = _corrected(scores, under, over)
        if method.ranking_weight:
            lists = self._taught(users)
            ranking = plackett_luce_nll(*self._scored_lists(users, lists), lists != PAD)
            loss = loss + method.ranking_weight * ranking
        if method.item_weight and len(chosen["items"]):
            loss = loss + method.item_weight * self._item_loss(len(users)).mean()
        return loss

    def _item_loss(self, number: int) -> Tensor:
        """The loss of items drawn at random, as many as there are users in the batch, [number]."""
        candidates = self.chosen["items"]
        drawn = torch.randint(len(candidates), (number,), generator=self.generator)
        items = candidates[drawn.to(candidates.device)]
        under, over = self.chosen["users_under"][items].long(), self.chosen["users_over"][items].long()
        both = torch.cat((under, over), dim=1)  # [number, k + l]
        row, place = (both != PAD).nonzero(as_tuple=True)
        scores = self.model.scores_of_pairs(both[row, place], items[row])
        filled = scores.new_zeros(both.shape).index_put((row, place), scores)
        return _corrected(filled, under, over)


def _corrected(scores: Tensor, under: Tensor, over: Tensor) -> Tensor:
    """The loss from the scores of what is under-estimated and then of what is over-estimated, [B, k + l]."""
    n_under = under.shape[1]
    return correction_loss(scores[:, :n_under], scores[:, n_under:], under != PAD, over != PAD)
