"""Teachers as Ray tasks: each is trained once, wherever there is room, and lies in the store before a sweep begins."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, init_seed

from recbole_hetcomp.data.interactions import Interactions
from recbole_hetcomp.recbole_bridge.checkpoint import plain_config
from recbole_hetcomp.recbole_bridge.config import run_settings
from recbole_hetcomp.recbole_bridge.quick_start import build_config
from recbole_hetcomp.teachers.planned import PlannedTeacher, planned_teachers
from recbole_hetcomp.teachers.pool import TeacherPool
from recbole_hetcomp.trajectories import TrajectoryStore
from recbole_hetcomp.trajectories import remote as mirror
from recbole_hetcomp.tune.cluster import node_resources, ray_cluster
from recbole_hetcomp.tune.options import SweepOptions, check_room, trial_resources
from recbole_hetcomp.tune.trial import device_settings, logging_to, scratch_folder, use_threads

RETRIES = 5  # of a teacher whose worker or node is lost


@dataclass(frozen=True)
class TeacherJob:
    """One teacher to be trained; plain data.

    Attributes:
        model: the student whose run the teacher belongs to.
        dataset: the data set's name.
        settings: that run's settings.
        label: the teacher's name.
        key: identifies the teacher, its settings and its data.
        cpus: its processors.
        gpus: its GPUs; may be a fraction.
        store_uri: as of ``trial.Job``.
    """

    model: str
    dataset: str
    settings: Mapping[str, Any]
    label: str
    key: str
    cpus: float = 1.0
    gpus: float = 0.0
    store_uri: str | None = None


@dataclass(frozen=True)
class TeacherReport:
    """What became of one teacher.

    Attributes:
        label: its name.
        entry: its entry in the store.
        trained: whether it was trained now; False: it was in the store.
        seconds: wall-clock seconds of the task.
        score: its best validation score.
        node: Ray's id of the node.
        process: machine and process id.
    """

    label: str
    entry: str
    trained: bool
    seconds: float
    score: float
    node: str
    process: str

    def __str__(self) -> str:
        """One line for the log."""
        if not self.trained:
            return f"teacher {self.label}: taken from the store, not trained ({self.entry})"
        return (
            f"teacher {self.label}: trained in {self.seconds:.1f} s, best validation score {self.score:.6f}, "
            f"on node {self.node[:8]}, process {self.process} ({self.entry})"
        )


def has_teachers(model: str) -> bool:
    """Whether a model is taught, so that its run needs teachers."""
    return getattr(get_model(model), "knows_teachers", False)


def needed_teachers(
    model: str, dataset: str, runs: Iterable[Mapping[str, Any]], cpus: float, gpus: float
) -> list[TeacherJob]:
    """The distinct teachers of several runs. Builds every Config, so that bad settings show before any training.

    Args:
        model: the students' model.
        dataset: the data set's name.
        runs: the settings of each run.
        cpus: processors of each teacher.
        gpus: GPUs of each teacher.
    """
    jobs: dict[str, TeacherJob] = {}
    for settings in runs:
        for planned in _planned(model, dataset, settings):
            key = json.dumps([planned.label, planned.identity, plain_config(planned.config)], sort_keys=True)
            jobs.setdefault(key, TeacherJob(model, dataset, settings, planned.label, key, cpus, gpus))
    return list(jobs.values())


def _planned(model: str, dataset: str, settings: Mapping[str, Any]) -> list[PlannedTeacher]:
    config = build_config(model, dataset, settings=settings)
    return planned_teachers(config, run_settings(config))


def train_teacher(job: TeacherJob) -> TeacherReport:
    """Train one teacher into the store, unless it is there; runs in a worker."""
    import ray

    started = time.perf_counter()
    use_threads(job.cpus)
    settings = {**job.settings, "show_progress": False, **device_settings(job.gpus)}
    with scratch_folder() as scratch, logging_to(scratch / "teacher.log"):
        config = build_config(job.model, job.dataset, settings=settings)
        ours = run_settings(config)
        planned = next(planned for planned in planned_teachers(config, ours) if planned.label == job.label)
        init_seed(config["seed"], config["reproducibility"])
        train_data, valid_data, _ = data_preparation(config, create_dataset(config))
        data = Interactions.from_datasets(train_data._dataset, valid_data._dataset)
        store = TrajectoryStore(Path(ours.store_dir))
        mirror.fetch(job.store_uri, store.root)
        pool = TeacherPool(data, train_data._dataset, valid_data, store, rebuild=ours.teacher_rebuild)
        trajectory = pool.obtain(planned)
        mirror.publish(job.store_uri, store.root)
    return TeacherReport(
        label=job.label,
        entry=str(store.path(data.fingerprint, planned.label, planned.identity)),
        trained=planned.label in pool.trained,
        seconds=time.perf_counter() - started,
        score=trajectory.scores[-1],
        node=ray.get_runtime_context().get_node_id(),
        process=f"{socket.gethostname()}:{os.getpid()}",
    )


def train_teachers(jobs: Iterable[TeacherJob], say: Callable[[str], Any]) -> list[TeacherReport]:
    """Train teachers in parallel, each as a Ray task with its own resources, and say so as each is done.

    Args:
        jobs: the teachers.
        say: takes a line of the log.

    Raises:
        ray.exceptions.RayTaskError: a teacher cannot be trained; the others that run are cancelled.
    """
    import ray

    task: Any = ray.remote(train_teacher)
    waiting = {
        task.options(
            name=f"teacher {job.label}",
            num_cpus=job.cpus,
            num_gpus=job.gpus,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
        ).remote(job): job
        for job in jobs
    }
    reports = []
    if waiting:
        say(
            f"teachers: {len(waiting)} ({', '.join(job.label for job in waiting.values())}), in parallel where they fit"
        )
    try:
        while waiting:
            done, _ = ray.wait(list(waiting))
            for reference in done:
                del waiting[reference]
                reports.append(ray.get(reference))
                say(str(reports[-1]))
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
    if reports:
        say(f"teachers: {sum(report.trained for report in reports)} trained, {len(reports)} in the store")
    return reports


def train_in_parallel(
    model: str, dataset: str, settings: Mapping[str, Any], options: SweepOptions, say: Callable[[str], Any]
) -> list[TeacherReport]:
    """Train the teachers of one run into its store, on a cluster or on this machine.

    Args:
        model: the student's model.
        dataset: the data set's name.
        settings: the run's, as :func:`~recbole_hetcomp.tune.sweep_plan.portable_settings` gives them.
        options: the teachers' resources, and the cluster's address.
        say: takes a line of the log.

    Raises:
        ValueError: a teacher fits no node.
    """
    with ray_cluster(options.address):
        import ray

        given = {"cpus_per_trial": options.cpus_per_teacher, "gpus_per_trial": options.gpus_per_teacher}
        size = trial_resources(SweepOptions(**given), ray.cluster_resources())
        check_room("a teacher", size, node_resources())
        return train_teachers(needed_teachers(model, dataset, [settings], size.cpus, size.gpus), say)
