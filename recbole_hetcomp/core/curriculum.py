"""Dynamic knowledge construction (DKC): which snapshot of each teacher a user is taught now (method section
4).

A state goes in, a new state comes out. The student's present top lists decide: a user moves on to a teacher's
next snapshot when the student has come closer to it by itself (ready), or is drifting away from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.core.discrepancy import discrepancy_to
from recbole_hetcomp.core.rankings import BLOCK_ELEMENTS, SortedLists, lists_at, user_blocks
from recbole_hetcomp.lesson_settings import Curriculum


@dataclass(frozen=True)
class CurriculumState:
    """Where every user stands.

    Attributes:
        v: the snapshot of teacher m that user u is taught, int64, shape [U, M].
        d_ref: discrepancy to the next snapshot when it became the next, float64, shape [U, M]; NaN before
            step 0.
        last: E_m - 1, int64, shape [M].
        step: number of steps made.

    >>> state = CurriculumState.start(n_users=3, snapshots=[4, 1], active=torch.tensor([False, True, True]))
    >>> state.v.tolist(), state.finished.tolist()
    ([[3, 0], [0, 0], [0, 0]], [True, False, False])
    """

    v: Tensor
    d_ref: Tensor
    last: Tensor
    step: int

    @staticmethod
    def start(
        n_users: int,
        snapshots: Sequence[int],
        device: torch.device | str = "cpu",
        active: Tensor | None = None,
    ) -> CurriculumState:
        """Everyone at the first snapshot, and users who take no part at the last one.

        Args:
            n_users: U.
            snapshots: E_m of each teacher.
            device: where the state lives.
            active: True for users who take part, bool, shape [U]; all if None. The others count as finished.

        Raises:
            ValueError: if there is no teacher, or a teacher has no snapshot.
        """
        if not snapshots or min(snapshots) < 1:
            raise ValueError(f"snapshots is {list(snapshots)}; allowed: 1 or more for each of 1 or more teachers")
        last = torch.tensor(list(snapshots), dtype=torch.int64, device=device) - 1
        v = torch.zeros(n_users, len(snapshots), dtype=torch.int64, device=device)
        if active is not None:
            v = torch.where(active.to(device)[:, None], v, last)
        return CurriculumState(v, torch.full(v.shape, torch.nan, dtype=torch.float64, device=device), last, 0)

    @property
    def finished(self) -> Tensor:
        """True for users who are at the last snapshot of every teacher, bool, shape [U]."""
        return (self.v == self.last).all(dim=1)

    def arrived(self, active: Tensor | None = None) -> bool:
        """Whether the mean of v over the (active) users, rounded, is every teacher's last snapshot.

        The moment at which the authors' code takes all users to the fine loss; some are still behind.

        >>> CurriculumState(torch.tensor([[3], [3], [2]]), torch.zeros(3, 1), torch.tensor([3]), 1).arrived()
        True
        """
        v = self.v if active is None else self.v[active]
        return len(v) == 0 or bool((v.double().mean(dim=0).round() == self.last).all())

    def share_at(self, active: Tensor | None = None) -> list[list[float]]:
        """For each teacher, the share of the (active) users who are at each of its snapshots.

        >>> CurriculumState.start(2, [2, 1]).share_at()
        [[1.0, 0.0], [1.0]]
        """
        v = self.v if active is None else self.v[active]
        counts = (v[:, m].bincount(minlength=last + 1) for m, last in enumerate(self.last.tolist()))
        return [(count / max(1, len(v))).tolist() for count in counts]

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and an integer, for a checkpoint."""
        return {"v": self.v, "d_ref": self.d_ref, "last": self.last, "step": self.step}

    @staticmethod
    def from_state_dict(values: Mapping[str, Any]) -> CurriculumState:
        """The state that `state_dict` described.

        Raises:
            ValueError: if a value is missing, unknown, or of another shape than the rest.
        """
        names = {"v", "d_ref", "last", "step"}
        if set(values) != names:
            raise ValueError(f"curriculum state has {sorted(values)}; allowed: {sorted(names)}")
        v, d_ref, last = values["v"], values["d_ref"], values["last"]
        if v.dim() != 2 or d_ref.shape != v.shape or tuple(last.shape) != (v.shape[1],):
            raise ValueError(
                f"curriculum state has v {tuple(v.shape)}, d_ref {tuple(d_ref.shape)}, "
                f"last {tuple(last.shape)}; allowed: [U, M], [U, M], [M]"
            )
        return CurriculumState(v.long(), d_ref.double(), last.long(), int(values["step"]))


@dataclass(frozen=True)
class StepReport:
    """What one step did.

    Attributes:
        advanced: users whose v changed, whose taught lists are to be rebuilt, bool, shape [U].
        discrepancy: mean over the active users of D to each teacher's next list (its last, for users who are
            there), before anyone moved, float64, shape [M].
        ready: number of users below the last snapshot with gamma > alpha_t, int64, shape [M].
        drifting: number of users below the last snapshot with gamma < 1, int64, shape [M]; a user counts as
            ready and as drifting where alpha_t < gamma < 1.
        alpha: alpha_t.
    """

    advanced: Tensor
    discrepancy: Tensor
    ready: Tensor
    drifting: Tensor
    alpha: float


def advance(
    state: CurriculumState,
    student_lists: Tensor,
    trajectories: Sequence[Tensor],
    settings: Curriculum | None = None,
    active: Tensor | None = None,
    budget: int = BLOCK_ELEMENTS,
) -> tuple[CurriculumState, StepReport]:
    r"""One step of dynamic knowledge construction.

    For every user u and teacher m below its last snapshot, with d = D@K_D(student, pi(m, v+1, u)) and
    gamma = d_ref / d:

    .. math:: \gamma > \alpha_t \;\text{or}\; \gamma < 1 \;\Rightarrow\; v \mathrel{+}= 1,\quad
              d_{ref} = D@K_D(student, \pi(m, \min(v + 1, E_m - 1), u))

    The first step only measures d_ref. A student that equals the next list (d = 0) is ready: gamma is
    infinite.
    Source: method section 4.

    Args:
        state: where every user stands.
        student_lists: the student's unobserved items of every user, best first, shape [U, at least K_D].
        trajectories: pi of each teacher, int32, shape [E_m, U, K'_m]; any device.
        settings: alpha, K_D and so on; the defaults if None.
        active: True for users who take part, bool, shape [U]; the others neither move nor enter a mean.
        budget: elements in one intermediate matrix; bounds memory, changes no result.

    Returns:
        The new state and what was done.

    Raises:
        ValueError: if the trajectories do not fit the state.

    >>> easy, hard = [[0, 1]], [[2, 3]]
    >>> teacher = torch.tensor([easy, hard])                     # [E, U, K'] = [2, 1, 2]
    >>> state, _ = advance(CurriculumState.start(1, [2]), torch.tensor([[0, 1]]), [teacher])   # measures
    >>> state, report = advance(state, torch.tensor([[2, 1]]), [teacher])     # closer to the hard list: ready
    >>> state.v.tolist(), report.advanced.tolist()
    ([[1]], [True])
    """
    settings = settings or Curriculum()
    _check_fit(state, student_lists, trajectories)
    if active is None:
        active = torch.ones(len(state.v), dtype=torch.bool, device=state.v.device)
    alpha = settings.alpha_at(state.step)
    student = SortedLists.of(student_lists[:, : settings.K_D])
    moves, references, distances, ready, drifting = [], [], [], [], []
    for m, trajectory in enumerate(trajectories):
        v, last, reference = state.v[:, m], int(state.last[m]), state.d_ref[:, m]
        everyone = torch.arange(len(v), device=v.device)
        distance = _distance(student, trajectory, (v + 1).clamp(max=last), everyone, settings, budget)
        if settings.pace == "common":
            distance = distance[active].mean().expand_as(distance).clone()
        if state.step == 0:
            is_ready = is_drifting = move = torch.zeros_like(active)
            reference = distance
        else:
            gamma = (reference / distance).masked_fill(distance == 0, torch.inf)  # [U]
            below = active & (v < last)
            is_ready, is_drifting = below & (gamma > alpha), below & (gamma < 1)
            move = is_ready | is_drifting
            moved = move.nonzero()[:, 0]
            harder = (v[moved] + 2).clamp(max=last)
            new = _distance(student, trajectory, harder, moved, settings, budget)
            if settings.pace == "common":
                new = new.mean().expand_as(new)
            reference = reference.index_copy(0, moved, new)
        moves.append(move)
        references.append(reference)
        distances.append(distance[active].mean())
        ready.append(is_ready.sum())
        drifting.append(is_drifting.sum())
    moved_by = torch.stack(moves, dim=1)  # [U, M]
    new_state = CurriculumState(state.v + moved_by, torch.stack(references, dim=1), state.last, state.step + 1)
    report = StepReport(
        advanced=moved_by.any(dim=1),
        discrepancy=torch.stack(distances),
        ready=torch.stack(ready),
        drifting=torch.stack(drifting),
        alpha=alpha,
    )
    return new_state, report


def _distance(
    student: SortedLists,
    trajectory: Tensor,
    snapshot: Tensor,
    users: Tensor,
    settings: Curriculum,
    budget: int,
) -> Tensor:
    """D@K_D of the student to one snapshot a user, float64, shape [B]."""
    result = torch.empty(len(users), dtype=torch.float64, device=users.device)
    for block in user_blocks(len(users), min(settings.K_D, trajectory.shape[2]), budget):
        result[block] = discrepancy_to(
            student.at(users[block]),
            lists_at(trajectory, snapshot[block], users[block], settings.K_D),
            settings.K_D,
            settings.T_r,
            settings.discrepancy_gain,
        )
    return result


def _check_fit(state: CurriculumState, student_lists: Tensor, trajectories: Sequence[Tensor]) -> None:
    n_users, n_teachers = state.v.shape
    if len(trajectories) != n_teachers:
        raise ValueError(f"{len(trajectories)} trajectories; allowed: {n_teachers}, one for each teacher of the state")
    if student_lists.shape[0] != n_users:
        raise ValueError(f"student_lists has {student_lists.shape[0]} rows; allowed: {n_users}, one for each user")
    for m, (trajectory, last) in enumerate(zip(trajectories, state.last.tolist())):
        if tuple(trajectory.shape[:2]) != (last + 1, n_users):
            raise ValueError(
                f"trajectory {m} has shape {tuple(trajectory.shape)}; allowed: ({last + 1}, {n_users}, K')"
            )
