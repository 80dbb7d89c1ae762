"""The ensemble at work gives the lists that the store's ensemble has, and costs are what they are said to be."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from recbole_hetcomp.deployment.saved import SavedStudent, config_on
from recbole_hetcomp.lesson_settings import Consensus
from recbole_hetcomp.recbole_bridge.config import memory_for_scores
from recbole_hetcomp.recbole_bridge.scoring import ranked_lists
from recbole_hetcomp.serving.costs import Speed, single_ms, speeds, users_per_second
from recbole_hetcomp.serving.live import LiveTeacher, live_teacher, served_by_all
from recbole_hetcomp.teachers.found import find_teachers
from recbole_hetcomp.teachers.fusion import ensemble_lists
from recbole_hetcomp.teachers.recorder import SnapshotRecorder
from recbole_hetcomp.trajectories import SnapshotSpool


@pytest.fixture(scope="module")
def student(finished_run) -> SavedStudent:
    return SavedStudent.load(finished_run.checkpoint)


@pytest.fixture(scope="module")
def teachers(student):
    found = find_teachers(student.config, student.settings, student.data)
    return [
        live_teacher(one, found.trajectories[one.label], student.train, student.data.n_items, student.data.observed)
        for one in found.planned
    ]


@pytest.mark.parametrize("fusion", ["consensus", "rrf", "borda"])
def test_the_ensemble_at_work_ranks_as_the_ensemble_of_recorded_lists(student, teachers, fusion, tmp_path):
    """The same models, recorded as a trajectory is and fused as a run fuses them."""
    data, consensus = student.data, Consensus(fusion=fusion, teacher_weights=(1.0, 0.5))
    trajectories = []
    for teacher in teachers:
        with SnapshotSpool(tmp_path / teacher.name) as spool:
            recorder = SnapshotRecorder(data, spool, student.settings.K_prime, 100, snapshots=1)
            recorder.record(teacher.model, 0, 0.5)
            trajectories.append(recorder.trajectory())
    expected = ensemble_lists(data, trajectories, consensus, 20, 1 << 20)[data.ranked_users, :20]
    with torch.no_grad():
        found = served_by_all(teachers, consensus, 20)(data.ranked_users)
    assert torch.equal(found, expected.long())


def test_a_stored_one_step_teacher_is_the_one_that_is_timed(student, teachers):
    """EASE is fitted anew on the run's training split: its lists are those that the store has of it."""
    ease = next(teacher for teacher in teachers if teacher.name == "EASE")
    stored = find_teachers(student.config, student.settings, student.data).trajectories["EASE"]
    with torch.no_grad():
        found = ease.serve(student.data.ranked_users)
    same = (found == stored.unobserved[-1][student.data.ranked_users]).float().mean()
    assert same > 0.999
    assert ease.bytes >= 4 * ease.parameters == 4 * stored.info["parameters"]


def test_a_teacher_of_weight_0_is_not_asked(teachers):
    def never(users):
        raise AssertionError("asked")

    asked = [teachers[0], LiveTeacher("never", never, 0, 0)]
    users = torch.tensor([5, 9])
    found = served_by_all(asked, Consensus(teacher_weights=(1.0, 0.0)), 7)(users)
    assert torch.equal(found, teachers[0].serve(users)[:, :7].long())


def test_a_teacher_from_outside_is_a_look_up(student):
    (planned, *_), found = find_teachers(student.config, student.settings, student.data).planned, None
    outside = replace(planned, label="import:llm", outside=object())
    with pytest.raises(ValueError, match="import:llm' is known by its lists alone"):
        live_teacher(outside, found, student.train, student.data.n_items, student.data.observed)
    trajectory = find_teachers(student.config, student.settings, student.data).trajectories[planned.label]
    looked_up = live_teacher(outside, trajectory, student.train, student.data.n_items, student.data.observed)
    users = torch.tensor([3, 4])
    assert torch.equal(looked_up.serve(users), trajectory.unobserved[-1][users])
    assert torch.equal(looked_up.top(0, student.data.observed, 5, 1)(users), trajectory.unobserved[-1][users][:, :5])
    assert looked_up.bytes == trajectory.unobserved[-1].numel() * trajectory.unobserved.element_size()


def test_a_student_and_teachers_of_another_device(student):
    """As if all had been trained on a GPU: the student is built anew here, and the entries are found all the same."""
    elsewhere = replace(student, saved=replace(student.saved, config=config_on(student.config, torch.device("cuda"))))
    served = elsewhere.on(torch.device("cpu"))
    assert served is not student.backbone
    assert student.on(torch.device(student.config["device"])) is student.backbone
    users, data = student.data.users[:9], student.data
    budget = memory_for_scores(student.config)
    lists = [ranked_lists(one, users, data.n_items, data.observed, 10, budget) for one in (served, student.backbone)]
    assert torch.equal(*lists)
    assert not find_teachers(elsewhere.config, elsewhere.settings, data).missing


def test_times_are_those_of_single_calls_after_the_warm_up():
    asked = []

    def serve(users):
        asked.append(users.tolist())
        time.sleep(0.002)
        return users[:, None]

    clock, processor = single_ms(serve, torch.tensor([4, 7]))
    assert len(clock) == len(processor) == 2
    assert (clock >= 2).all()
    assert (processor < clock).all()  # it sleeps
    assert asked[-2:] == [[4], [7]]
    assert len(asked) == 12
    asked.clear()
    assert users_per_second(serve, torch.arange(5), batch=2) < 5 / (3 * 0.002)
    assert asked == [[0, 1], [0, 1], [2, 3], [4]]


def test_models_take_turns():
    order = []
    serving = [lambda users, name=name: order.append(name) or users[:, None] for name in "ab"]
    found = speeds(serving, torch.tensor([1]), torch.tensor([1]), batch=1, repeats=2)
    assert [len(one.single) for one in found] == [2, 2]
    assert "".join(dict.fromkeys("".join(order))) == "ab"
    assert order.index("b") < len(order) - 1 - order[::-1].index("a")
    assert Speed(np.array([1.0, 9.0]), 1.0, np.array([1.0])).milliseconds(50) == 5.0


def test_threads_are_put_back():
    before = torch.get_num_threads()
    single_ms(lambda users: users[:, None], torch.tensor([1]), threads=1)
    assert torch.get_num_threads() == before
    with pytest.raises(RuntimeError, match="no"):
        single_ms(lambda users: (_ for _ in ()).throw(RuntimeError("no")), torch.tensor([1]), threads=1)
    assert torch.get_num_threads() == before
