"""Dynamic knowledge construction, second step, all users and teachers."""

from __future__ import annotations

from functools import partial
from typing import Any

import direct
import numpy as np
import torch
from harness import SNAPSHOTS, T_R, TEACHERS, TIE, K, Part, timed, timed_in_turn
from inputs import Inputs
from torch import Tensor

from recbole_hetcomp.core import CurriculumState, advance, discrepancy, lists_at
from recbole_hetcomp.lesson_settings import Curriculum


def parts(inputs: Inputs, repeats: int, generator: torch.Generator) -> dict[str, Part]:
    """The step with each way in which the direct side may compute D."""
    settings = Curriculum(T_r=T_R)
    v = torch.randint(0, SNAPSHOTS, (inputs.size.users, TEACHERS), generator=generator)
    last = torch.full((TEACHERS,), SNAPSHOTS - 1)
    state = CurriculumState(v, torch.full(v.shape, torch.nan, dtype=torch.float64), last, 0)
    state, _ = advance(state, inputs.earlier_lists, inputs.trajectories, settings)  # measures d_ref
    package = partial(advance, state, inputs.student_lists, inputs.trajectories, settings)
    new, _ = package()  # warm-up
    # The first snapshot's ranks are never read in this step, so its matrix is not built.
    dense = [np.full((inputs.size.users, inputs.size.items), K, dtype=np.float32) for _ in range(SNAPSHOTS - 1)]
    rows = {kind: slice(None) for kind in direct.DISCREPANCIES}
    rows["direct"] = slice(None, None, round(1 / inputs.size.share))
    timed_users = len(v[rows["direct"]])
    sides = {
        kind: partial(_direct_steps, inputs, state, dense, settings, kind, rows[kind]) for kind in direct.DISCREPANCIES
    }
    seconds, answers = timed_in_turn({**sides, "package": partial(timed, package)}, repeats)
    gamma = state.d_ref / _distances(inputs, (v + 1).clamp(max=SNAPSHOTS - 1), settings)
    alpha_t = settings.alpha_at(state.step)
    compare = partial(_compare_steps, state=state, new=new, gamma=gamma, alpha_t=alpha_t)
    note = f"{timed_users} of {inputs.size.users} users timed; direct: gains of the catalogue, IDCG by sorting them"
    return {
        name: Part(seconds[kind], seconds["package"], compare(answers[kind], rows[kind]), note)
        for name, kind, note in (
            ("curriculum_step", "direct", note),
            ("curriculum_step_known_ideal", "known_ideal", "direct: gains of the catalogue, IDCG known"),
            ("curriculum_step_gathered", "gathered", "direct: gains of the student's list, IDCG known"),
        )
    }


def _direct_steps(
    inputs: Inputs, state: CurriculumState, dense: list[np.ndarray], settings: Curriculum, kind: str, rows: slice
) -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]:
    """Seconds, scaled to all users, and answers, teacher by teacher.

    A teacher's dense ranks are put into ``dense`` off the clock: the step takes them as there.
    """
    spent, answers = 0.0, []
    v, d_ref, students = (part.numpy()[rows] for part in (state.v, state.d_ref, inputs.student_lists))
    ranks = [matrix[rows] for matrix in (dense[0], *dense)]
    for m, trajectory in enumerate(inputs.trajectories):
        lists = trajectory.numpy().astype(np.int64)[1:]
        for matrix, listed in zip(dense, lists):
            np.put_along_axis(matrix, listed, np.arange(K, dtype=np.float32)[None, :], axis=1)
        step = partial(direct.curriculum_step, v[:, m], d_ref[:, m], ranks, students)
        taken, answer = timed(partial(step, settings.alpha_at(state.step), settings.K_D, T_R, kind))
        spent += taken
        answers.append(answer)
        for matrix, listed in zip(dense, lists):
            np.put_along_axis(matrix, listed, np.float32(K), axis=1)
    return spent * inputs.size.users / len(v), answers


def _distances(inputs: Inputs, snapshot: Tensor, settings: Curriculum) -> Tensor:
    """D@K_D of the student to one snapshot of each teacher, float64 [U, M]."""
    users = torch.arange(inputs.size.users)
    columns = [
        discrepancy(inputs.student_lists, lists_at(trajectory, snapshot[:, m], users), settings.K_D, settings.T_r)
        for m, trajectory in enumerate(inputs.trajectories)
    ]
    return torch.stack(columns, dim=1)


def _compare_steps(
    answer: list[tuple[np.ndarray, np.ndarray]],
    rows: slice,
    state: CurriculumState,
    new: CurriculumState,
    gamma: Tensor,
    alpha_t: float,
) -> dict[str, Any]:
    """Same v and d_ref of some rows; a v that differs must be one whose gamma is a threshold but for float32."""
    gamma, new_v, new_d_ref, old_v = gamma[rows], new.v[rows], new.d_ref[rows], state.v[rows]
    v, d_ref = (torch.from_numpy(np.stack(parts, axis=1)) for parts in zip(*answer))
    same = v == new_v
    tied = ((gamma - 1).abs() < TIE) | ((gamma / alpha_t - 1).abs() < TIE)
    error = ((d_ref - new_d_ref).abs() / new_d_ref.clamp(min=1e-2))[same]
    return {
        "agrees": bool((same | tied).all() and error.max() < 1e-6),
        "share_of_moves": float((new_v != old_v).double().mean()),
        "share_of_equal_v": float(same.double().mean()),
        "unequal_v_at_a_threshold": int((~same & tied).sum()),
        "unequal_v_otherwise": int((~same & ~tied).sum()),
        "largest_relative_difference_of_d_ref": float(error.max()),
    }
