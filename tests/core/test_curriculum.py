"""Dynamic knowledge construction, step by step by hand, and against the oracle."""

from __future__ import annotations

import math

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.core.curriculum import CurriculumState, advance
from recbole_hetcomp.core.discrepancy import discrepancy
from recbole_hetcomp.core.rankings import PAD
from recbole_hetcomp.lesson_settings import Curriculum

seeds = st.integers(0, 2**31 - 1)


def random_lists(generator: torch.Generator, *shape: int, n_items: int, length: int) -> torch.Tensor:
    return torch.rand(*shape, n_items, generator=generator).argsort(dim=-1)[..., :length].int()


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    snapshots=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    alpha=st.sampled_from([0.9, 1.0, 1.05, 1.5]),
    decay=st.sampled_from([1.0, 0.995, 0.9]),
    gain=st.sampled_from(["teacher", "position"]),
    T_r=st.sampled_from([1.0, 10.0]),
)
def test_agrees_with_the_oracle_step_by_step(
    seed: int, snapshots: list[int], alpha: float, decay: float, gain: str, T_r: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    n_users, chosen = 6, Curriculum(alpha=alpha, alpha_decay=decay, K_D=4, discrepancy_gain=gain, T_r=T_r)
    trajectories = [random_lists(generator, e, n_users, n_items=8, length=6) for e in snapshots]
    state = CurriculumState.start(n_users, snapshots)
    v, d_ref = state.v.tolist(), state.d_ref.tolist()
    for step in range(6):
        student = random_lists(generator, n_users, n_items=8, length=5).long()  # only K_D of them count
        before = state
        state, report = advance(before, student, trajectories, chosen, budget=1 + seed % 20)
        lists = [trajectory.tolist() for trajectory in trajectories]
        v, d_ref = oracles.curriculum_step(v, d_ref, step, student.tolist(), lists, alpha, decay, 4, T_r, gain)
        assert state.v.tolist() == v
        assert torch.allclose(state.d_ref, torch.tensor(d_ref, dtype=torch.float64), atol=1e-12)
        assert torch.equal(report.advanced, (state.v != before.v).any(1))
        assert state.step == step + 1


def steady_user(teacher: list[list[int]]) -> torch.Tensor:
    return torch.tensor(teacher, dtype=torch.int32)[:, None]  # [E, 1, K']


def test_the_first_step_measures_and_moves_nobody() -> None:
    teacher = steady_user([[0, 1], [2, 3], [4, 5]])
    start = CurriculumState.start(1, [3])
    assert start.d_ref.isnan().all()
    student = torch.tensor([[2, 0]])
    state, report = advance(start, student, [teacher])
    assert state.v.tolist() == [[0]]
    assert not report.advanced.any()
    assert state.d_ref.item() == discrepancy(student, teacher[1], 50).item() == report.discrepancy.item()
    assert start.d_ref.isnan().all()  # pure
    assert start.step == 0


def test_ready_drifting_and_waiting() -> None:
    teacher = steady_user([[0, 1], [2, 3], [4, 5]])
    near, far = torch.tensor([[2, 9]]), torch.tensor([[9, 3]])
    measured_near, _ = advance(CurriculumState.start(1, [3]), near, [teacher])
    measured_far, _ = advance(CurriculumState.start(1, [3]), far, [teacher])
    closer, report = advance(measured_far, near, [teacher])
    assert closer.v.item() == 1
    assert (report.ready.item(), report.drifting.item()) == (1, 0)
    assert closer.d_ref.item() == discrepancy(near, teacher[2], 50).item() == 1.0  # re-measured to the next one
    away, report = advance(measured_near, far, [teacher])
    assert away.v.item() == 1
    assert (report.ready.item(), report.drifting.item()) == (0, 1)
    same, report = advance(measured_near, near, [teacher])  # gamma = 1
    assert same.v.item() == 0
    assert not report.advanced.any()
    assert same.d_ref.item() == measured_near.d_ref.item()


def test_a_student_that_equals_the_next_list_is_ready_even_if_it_always_did() -> None:
    teacher = steady_user([[0, 1], [2, 3]])
    student = torch.tensor([[2, 3]])
    state, _ = advance(CurriculumState.start(1, [2]), student, [teacher])
    assert state.d_ref.item() == 0.0
    state, report = advance(state, student, [teacher])
    assert state.v.item() == 1
    assert report.ready.item() == 1
    assert state.finished.all()
    state, report = advance(state, torch.tensor([[9, 8]]), [teacher])  # the last snapshot is the end
    assert state.v.item() == 1
    assert not report.advanced.any()
    assert report.discrepancy.item() == 1.0


def test_the_threshold_decays_from_the_measuring_step_on() -> None:
    chosen = Curriculum(alpha=1.05, alpha_decay=0.995)
    assert chosen.alpha_at(0) == 1.05
    assert chosen.alpha_at(9) > 1 > chosen.alpha_at(10)
    authors = Curriculum(alpha_exponent="epoch", p=10)  # epoch // p: 2 at the first comparison, before epoch 20
    assert [authors.alpha_at(step) for step in (0, 1)] == [chosen.alpha_at(step) for step in (1, 2)]
    teacher = steady_user([[0, 1], [2, 3]])
    state, report = advance(CurriculumState.start(1, [2]), torch.tensor([[0, 1]]), [teacher], chosen)
    assert report.alpha == 1.05
    _, report = advance(state, torch.tensor([[0, 1]]), [teacher], chosen)
    assert report.alpha == pytest.approx(1.05 * 0.995)


def test_users_who_take_no_part_never_move_and_count_in_no_mean() -> None:
    teacher = torch.tensor([[[0, 1]] * 3, [[2, 3]] * 3], dtype=torch.int32)
    active = torch.tensor([False, True, True])
    state = CurriculumState.start(3, [2], active=active)
    assert state.finished.tolist() == [True, False, False]
    assert state.share_at() == [pytest.approx([2 / 3, 1 / 3])]
    assert state.share_at(active) == [[1.0, 0.0]]
    student = torch.tensor([[PAD, PAD], [2, 3], [9, 9]])
    state, report = advance(state, student, [teacher], active=active)
    assert report.discrepancy.item() == pytest.approx(0.5)
    state, report = advance(state, student, [teacher], active=active)
    assert report.advanced.tolist() == [False, True, False]
    alone, _ = advance(CurriculumState.start(3, [2]), student, [teacher], active=active)
    alone, report = advance(alone, student, [teacher], active=~active)
    assert not report.advanced[1:].any()


def test_a_teacher_of_one_snapshot_is_at_its_last_from_the_start() -> None:
    state = CurriculumState.start(2, [1, 1])
    assert state.finished.all()
    teachers = [torch.tensor([[[0, 1]] * 2], dtype=torch.int32)] * 2
    for _ in range(3):
        state, report = advance(state, torch.tensor([[5, 6]] * 2), teachers)
        assert not report.advanced.any()
    assert state.v.tolist() == [[0, 0]] * 2


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_v_never_falls_nor_passes_the_last_nor_skips(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    snapshots = [4, 2]
    trajectories = [random_lists(generator, e, 10, n_items=12, length=8) for e in snapshots]
    state = CurriculumState.start(10, snapshots)
    for _ in range(15):
        student = random_lists(generator, 10, n_items=12, length=8).long()
        new, report = advance(state, student, trajectories, Curriculum(K_D=8))
        step = new.v - state.v
        assert ((step == 0) | (step == 1)).all()
        assert (new.v <= new.last).all()
        assert (report.ready + report.drifting >= step.sum(0)).all()
        state = new
    assert state.share_at()[1] == [0.0, 1.0]


def test_blocks_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    trajectories = [random_lists(generator, 3, 40, n_items=30, length=20) for _ in range(2)]
    students = [random_lists(generator, 40, n_items=30, length=20).long() for _ in range(4)]
    results = []
    for budget in (1, 37, 2**20):
        state = CurriculumState.start(40, [3, 3])
        for student in students:
            state, _ = advance(state, student, trajectories, budget=budget)
        results.append(state)
    assert all(torch.equal(results[0].v, other.v) for other in results)
    assert all(torch.equal(results[0].d_ref, other.d_ref) for other in results)


def test_state_dict_round_trips_and_is_checked() -> None:
    teacher = steady_user([[0, 1], [2, 3], [4, 5]])
    state, _ = advance(CurriculumState.start(1, [3]), torch.tensor([[2, 9]]), [teacher])
    again = CurriculumState.from_state_dict(state.state_dict())
    assert again.step == 1
    assert torch.equal(again.v, state.v)
    assert torch.equal(again.d_ref, state.d_ref)
    assert torch.equal(again.last, state.last)
    with pytest.raises(ValueError, match=r"has \['v'\]; allowed: \['d_ref', 'last', 'step', 'v'\]"):
        CurriculumState.from_state_dict({"v": state.v})
    with pytest.raises(ValueError, match=r"allowed: \[U, M\]"):
        CurriculumState.from_state_dict({**state.state_dict(), "last": torch.tensor([1, 2])})


def test_refuses_what_does_not_fit() -> None:
    state = CurriculumState.start(2, [2])
    teacher = torch.zeros(2, 2, 3, dtype=torch.int32)
    student = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="2 trajectories; allowed: 1"):
        advance(state, student, [teacher, teacher])
    with pytest.raises(ValueError, match="1 rows; allowed: 2"):
        advance(state, student[:1], [teacher])
    with pytest.raises(ValueError, match="trajectory 0 has shape"):
        advance(state, student, [teacher[:1]])
    with pytest.raises(ValueError, match="snapshots is"):
        CurriculumState.start(2, [2, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha=0.0 is not allowed: it must be greater than 0"),
        ({"alpha": math.nan}, "alpha=nan is not allowed: a finite number"),
        ({"alpha_decay": 1.1}, "alpha_decay=1.1 is not allowed: at most 1"),
        ({"K_D": 0}, "K_D=0 is not allowed: at least 1"),
        ({"T_r": -1.0}, "T_r=-1.0 is not allowed: it must be greater than 0"),
        ({"discrepancy_gain": "rank"}, "'rank' is not allowed: one of teacher, position"),
    ],
)
def test_refuses_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curriculum(**arguments)


@pytest.mark.parametrize("step_seed", range(5))
def test_at_a_common_pace_all_users_follow_the_mean(step_seed: int) -> None:
    generator = torch.Generator().manual_seed(step_seed)
    chosen = Curriculum(K_D=4, pace="common", T_r=10.0)
    trajectories = [random_lists(generator, e, 6, n_items=8, length=6) for e in (4, 1, 3)]
    active = torch.tensor([True, True, True, False, True, True])
    state = CurriculumState.start(6, [4, 1, 3], active=active)
    v, reference = [0, 0, 0], [math.nan] * 3
    for step in range(6):
        student = random_lists(generator, 6, n_items=8, length=4).long()
        state, _ = advance(state, student, trajectories, chosen, active)
        for m, trajectory in enumerate(trajectories):
            last = len(trajectory) - 1

            def mean_to(snapshot: int, lists: torch.Tensor = trajectory, own: torch.Tensor = student) -> float:
                distances = [
                    oracles.discrepancy(own[u].tolist(), lists[snapshot][u].tolist(), 4) for u in range(6) if active[u]
                ]
                return sum(distances) / len(distances)

            distance = mean_to(min(v[m] + 1, last))
            if step == 0:
                reference[m] = distance
            elif v[m] < last:
                gamma = math.inf if distance == 0 else reference[m] / distance
                if gamma > chosen.alpha_at(step) or gamma < 1:
                    v[m] += 1
                    reference[m] = mean_to(min(v[m] + 1, last))
        assert state.v[active].tolist() == [v] * 5
        assert state.v[3].tolist() == [3, 0, 2]
