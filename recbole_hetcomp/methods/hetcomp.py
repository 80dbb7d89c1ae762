"""HetComp's trainer: the curriculum chooses what each user is taught, the losses go from coarse to fine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core import CurriculumState, StepReport, advance
from recbole_hetcomp.core.rankings import user_blocks
from recbole_hetcomp.methods.method import distillation_method
from recbole_hetcomp.recbole_bridge.config import dimension_of
from recbole_hetcomp.student.objective import ListwiseObjective, TaughtLists
from recbole_hetcomp.student.own_lists import OwnLists
from recbole_hetcomp.student.trainer import DistillingTrainer
from recbole_hetcomp.teachers.knowledge import Knowledge


@distillation_method()
class HetCompTrainer(DistillingTrainer):
    """Dynamic knowledge construction and adaptive knowledge transfer (WWW 2023; method.md §4 and §5).

    Early stopping counts only once the curriculum has ended.
    """

    def begin(self, knowledge: Knowledge) -> None:
        data = knowledge.data
        self.active = data.active.to(self.device)
        self.users = data.users.to(self.device)
        taking_part = self.active if self.settings.curriculum == "dynamic" else torch.zeros_like(self.active)
        self._enter(CurriculumState.start(data.n_users, knowledge.snapshots, self.device, taking_part))
        self.lists = TaughtLists(
            knowledge,
            self.settings.block_elements,
            torch.device(self.device),
            self.settings.observed_knowledge,
            None if self.settings.observed_follow else self.state.v,
        )
        weight = self.settings.own_weight(data.n_items - 1, dimension_of(self.config, self.settings))
        self.own = OwnLists(self.settings, weight)
        if self.own.ever_due(self.epochs):
            self.logger.info(
                f"the student is taught its own list from {self.settings.own_list_from:.0%} of its epochs on "
                f"(own_list_weight {weight:g})"
            )
        self.objective = ListwiseObjective(self.lists, self.settings, data.n_items, self.generator, self.own)
        self.lists.rebuild(self.users, self.state.v)

    def _enter(self, state: CurriculumState) -> None:
        self.state = state
        finished = state.finished
        at_once = self.settings.adkt == "global"
        self.ended = state.arrived(self.active) if at_once else bool(finished.all())
        self.fine = {
            "user": finished,
            "global": torch.full_like(finished, self.ended),
            "fine": torch.ones_like(finished),
            "coarse": torch.zeros_like(finished),
        }[self.settings.adkt]

    def before_epoch(self, epoch: int) -> None:
        if epoch > 0 and epoch % self.settings.p == 0 and not self.ended:
            self._curriculum_step(epoch)
        if self.own.due(epoch, self.epochs):
            self.own.lists = self.student_lists(self.own.length)
            self._note(epoch, lacking=self._lacking(self.own.lists))

    def _lacking(self, lists: Tensor) -> float:
        """What own lists, int32 [U, K/2], lack of what is taught, the mean over users."""
        blocks = user_blocks(len(lists), lists.shape[1], self.settings.block_elements)
        shares = [self.own.lacking(lists[rows], self.lists.unobserved[rows]) for rows in blocks]
        return float(torch.cat(shares)[self.active].mean())

    def _curriculum_step(self, epoch: int) -> None:
        assert self.knowledge is not None
        state, report = advance(
            self.state,
            self.student_lists(self.settings.K_D),
            self.knowledge.trajectories,
            self.settings,
            self.active,
            self.settings.block_elements,
        )
        self._enter(state)
        moved = report.advanced.nonzero().flatten()
        if len(moved):
            self.lists.rebuild(moved, state.v)
        self._log_step(epoch, report)

    def _log_step(self, epoch: int, report: StepReport) -> None:
        assert self.knowledge is not None
        names = [name for name, _ in self.knowledge.teachers]
        distances = dict(zip(names, report.discrepancy.tolist()))
        shares = self._snapshot_shares()
        fine = float(self.fine[self.active].float().mean())
        self._note(epoch, discrepancy=distances, snapshot_shares=shares, fine=fine)  # type: ignore[arg-type]
        for name, distance in distances.items():
            self.tensorboard.add_scalar(f"Curriculum/discrepancy/{name}", distance, epoch)
        for snapshot, share in enumerate(shares):
            self.tensorboard.add_scalar(f"Curriculum/share_at_snapshot/{snapshot}", share, epoch)
        self.tensorboard.add_scalar("Curriculum/fine_share", fine, epoch)
        self.logger.info(
            f"curriculum step {self.state.step - 1} before epoch {epoch}: discrepancy "
            + ", ".join(f"{name} {distance:.4f}" for name, distance in distances.items())
            + "; pairs at each snapshot "
            + " / ".join(f"{share:.1%}" for share in shares)
            + f"; users in the fine stage {fine:.1%}"
        )

    def _snapshot_shares(self) -> list[float]:
        """Share of (user, teacher) pairs at each snapshot."""
        v = self.state.v[self.active]
        counts = torch.bincount(v.flatten(), minlength=int(self.state.last.max()) + 1)
        return (counts / max(1, v.numel())).tolist()

    def loss(self, users: Tensor) -> Tensor:
        return self.objective(self.model, users, self.fine[users])

    def may_stop(self) -> bool:
        return self.ended

    def stage_name(self) -> str:
        return f"fine {float(self.fine[self.active].float().mean()):.0%}"

    def method_state(self) -> dict[str, Any]:
        return {"curriculum": self.state.state_dict(), "own": self.own.state_dict()}

    def load_method_state(self, state: dict[str, Any]) -> None:
        self._enter(CurriculumState.from_state_dict(state["curriculum"]))
        self.lists.rebuild(self.users, self.state.v)
        self.own.load_state_dict(state["own"])
