"""A sweep: teachers first, then trials under Ray Tune, then the test of the winner."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole_hetcomp import ray_api
from recbole_hetcomp.files import find_json, write_json
from recbole_hetcomp.signals import handlers_kept
from recbole_hetcomp.trajectories import remote as mirror
from recbole_hetcomp.tune.cluster import node_resources, ray_cluster
from recbole_hetcomp.tune.estimate import sweep_in_words
from recbole_hetcomp.tune.options import Resources, SweepOptions, check_room, teacher_resources, trial_resources
from recbole_hetcomp.tune.report import write_report
from recbole_hetcomp.tune.results import ENDED, Record, best_of, table, with_test, write_best, write_table
from recbole_hetcomp.tune.schedulers import known_points, scheduler, searcher
from recbole_hetcomp.tune.space import random_points
from recbole_hetcomp.tune.sweep_plan import OBJECTIVE, TRIALS, SweepPlan, check_free, save_plan
from recbole_hetcomp.tune.teachers import TeacherJob, has_teachers, needed_teachers, train_teachers
from recbole_hetcomp.tune.trial import MODEL_FOLDER, Job, evaluate_model, train_trial
from recbole_hetcomp.tune.trial_trainer import ValidationDiffersError

TESTED = "test.json"
PROBES = 8  # points at which it is looked which teachers a search over them leaves alone

Say = Callable[[str], Any]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has found.

    Attributes:
        records: the trials.
        best: the trial with the best validation score; None where none was validated.
        complete: whether all trials have ended.
        folder: where the results are.
    """

    records: tuple[Record, ...]
    best: Record | None
    complete: bool
    folder: Path


def run_sweep(plan: SweepPlan, resume: bool = False, say: Say = print) -> SweepResult:
    """Run a sweep, or go on with one.

    Args:
        plan: the sweep.
        resume: whether the folder's sweep goes on.
        say: takes a line of the log.

    Returns:
        All trials. Where the sweep is complete the winner has been tested.

    Raises:
        FileExistsError: the output folder holds a sweep already.
        ValueError: a trial fits no node.
    """
    folder = plan.options.folder
    if not resume:
        check_free(plan)
    save_plan(plan)
    with ray_cluster(plan.options.address, plan.options.dashboard):
        plan = _with_resources(plan)
        teachers = _teacher_jobs(plan)
        say(sweep_in_words(plan, [teacher.label for teacher in teachers], _at_once(plan)))
        if has_teachers(plan.job.model):
            train_teachers(teachers, say)
        records, grid = _run_trials(plan, say)
        complete = all(record.status in ENDED for record in records)
        best = best_of(records, plan.bigger)
        if best is not None:
            write_best(best, plan.job, plan.metric, folder, exact=plan.options.scheduler != "pbt")
            if complete:
                records = with_test(records, best.trial, _test(plan, best, grid, say))
    mirror.fetch(plan.job.store_uri, Path(plan.job.settings.get("store_dir") or "."))  # best.yaml names the copy
    frame = table(records, plan.metric, plan.bigger)
    write_table(frame, folder)
    write_report(frame, plan, folder)
    _say_result(plan, records, best, complete, say)
    return SweepResult(tuple(records), best, complete, folder)


def _with_resources(plan: SweepPlan) -> SweepPlan:
    import ray

    resources = trial_resources(plan.options, ray.cluster_resources())
    check_room("a trial", resources, node_resources())
    return replace(plan, job=replace(plan.job, cpus=resources.cpus, gpus=resources.gpus))


def _at_once(plan: SweepPlan) -> int:
    """Trials that there is room for, and that are wanted at a time."""
    import ray

    job, machine = plan.job, ray.cluster_resources()
    room = [machine.get("CPU", 1.0) / job.cpus] + ([machine.get("GPU", 0.0) / job.gpus] if job.gpus else [])
    return max(1, min(int(min(room)), plan.options.max_concurrent or int(min(room))))


def _teacher_jobs(plan: SweepPlan) -> list[TeacherJob]:
    job = plan.job
    if not has_teachers(job.model):
        return []
    resources = teacher_resources(plan.options, Resources(job.cpus, job.gpus))
    check_room("a teacher", resources, node_resources())
    return [replace(teacher, store_uri=job.store_uri) for teacher in _sweeps_teachers(plan, resources)]


def _sweeps_teachers(plan: SweepPlan, resources: Resources) -> list[TeacherJob]:
    """The teachers of all trials, or where results decide on the trials, those that all of them share."""
    job, size = plan.job, (resources.cpus, resources.gpus)
    points = known_points(job.space, plan.options, plan.seed)
    chosen = points if points is not None else random_points(job.space, PROBES, plan.seed)
    found: list[list[TeacherJob]] = []
    errors: list[Exception] = []
    for point in chosen:
        try:
            found.append(needed_teachers(job.model, job.dataset, [job.at(point)], *size))
        except (ValueError, TypeError) as error:  # this trial will fail and say why; the others go on
            errors.append(error)
    if not found:
        raise errors[0]
    counts: dict[str, tuple[TeacherJob, int]] = {}
    for jobs in found:
        for teacher in jobs:
            first, count = counts.get(teacher.key, (teacher, 0))
            counts[teacher.key] = (first, count + 1)
    wanted = len(found) if points is None else 1
    return [teacher for teacher, count in counts.values() if count >= wanted]


def _run_trials(plan: SweepPlan, say: Say) -> tuple[list[Record], Any]:
    from ray import tune

    from recbole_hetcomp.tune.callbacks import TableKeeper

    api = ray_api.names()
    keeper = TableKeeper(plan.job, plan.metric, plan.bigger, plan.options.folder)
    trainable = tune.with_resources(
        tune.with_parameters(train_trial, job=plan.job), {"cpu": plan.job.cpus, "gpu": plan.job.gpus}
    )
    storage, name = _place(plan.options)
    path = f"{storage.rstrip('/')}/{name}"
    if _begun(path):
        say(f"trials: going on with those in {path}")
        tuner = tune.Tuner.restore(path, trainable=trainable, resume_unfinished=True)
        restored = _restored_keeper(tuner)
        if restored is not None:
            keeper = restored
            keeper.folder = plan.options.folder  # the sweep may have been moved
    else:
        tuner = _new_tuner(plan, trainable, keeper, storage, name, api)
    started = time.monotonic()
    with handlers_kept():
        grid = tuner.fit()
    records = keeper.records
    budget = plan.options.time_budget
    if budget is not None and time.monotonic() - started >= budget:
        records = [replace(r, status="stopped") if r.status == "interrupted" else r for r in records]
    return records, grid


def _begun(path: str) -> bool:
    """Whether a sweep's state is there; Ray asks for the tuner's file only, which is written before any trial's."""
    from pyarrow.fs import FileSelector, FileSystem, FileType
    from ray.tune import Tuner

    if not Tuner.can_restore(path):
        return False
    files, root = FileSystem.from_uri(path)
    found = files.get_file_info(FileSelector(root, allow_not_found=True))
    return any(info.type == FileType.File and info.base_name.startswith("experiment_state") for info in found)


def _place(options: SweepOptions) -> tuple[str, str]:
    """Ray's storage path and the sweep's folder in it."""
    if options.storage is None:
        return str(options.folder), TRIALS
    return options.storage_path, options.folder.name


def _restored_keeper(tuner: Any) -> Any:
    """The table keeper that Ray has restored with the tuner."""
    from recbole_hetcomp.tune.callbacks import TableKeeper

    callbacks = tuner._local_tuner._run_config.callbacks
    return next((callback for callback in callbacks if isinstance(callback, TableKeeper)), None)


def _new_tuner(plan: SweepPlan, trainable: Any, keeper: Any, storage: str, name: str, api: Any) -> Any:
    from ray import tune

    from recbole_hetcomp.tune.callbacks import SchedulerMemory

    options, job = plan.options, plan.job
    search = searcher(job.space, options, plan.seed, plan.mode, OBJECTIVE)
    points = known_points(job.space, options, plan.seed)
    schedule = scheduler(job.space, options, plan.epochs, plan.eval_step)
    callbacks = [keeper, *([SchedulerMemory(schedule)] if options.scheduler == "asha" else [])]
    param_space = {parameter.name: parameter.domain() for parameter in job.space} if points is not None else None
    return tune.Tuner(
        trainable,
        param_space=param_space,
        tune_config=tune.TuneConfig(
            metric=OBJECTIVE,
            mode=plan.mode,
            search_alg=search,
            scheduler=schedule,
            num_samples=options.num_samples if points is None else len(points),
            time_budget_s=options.time_budget,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=api.RunConfig(
            name=name,
            storage_path=storage,
            failure_config=api.FailureConfig(max_failures=options.max_failures),
            checkpoint_config=api.CheckpointConfig(num_to_keep=2),
            callbacks=callbacks,
            progress_reporter=_progress(plan),
            verbose=1,
        ),
    )


def _trial_name(trial: Any) -> str:
    return trial.trial_id


def _progress(plan: SweepPlan) -> Any:
    from ray.tune import CLIReporter

    return CLIReporter(
        metric_columns={OBJECTIVE: f"best {plan.metric}", "epoch": "epoch", "time_total_s": "seconds"},
        parameter_columns={parameter.name: parameter.name for parameter in plan.job.space},
        max_report_frequency=10,
        max_column_length=16,
        sort_by_metric=True,
    )


def _test(plan: SweepPlan, best: Record, grid: Any, say: Say) -> dict[str, float]:
    """Test metrics of the winner, evaluated once and then kept."""
    file = plan.options.folder / TESTED
    kept = find_json(file)
    if kept is not None and kept["trial"] == best.trial:
        return kept["test"]
    try:
        test = _evaluate(plan.job, best, grid)
    except ValidationDiffersError as error:
        say(f"warning: the winner is not tested: {error}; run_recbole --config_files=best.yaml trains it again")
        return {}
    write_json(file, {"trial": best.trial, "valid": dict(best.valid), "test": test})
    return test


def _evaluate(job: Job, best: Record, grid: Any) -> dict[str, float]:
    """Test metrics from the trial's Ray checkpoint; from its folder where Ray has stopped it before keeping one."""
    import ray

    models = []
    for result in grid:
        if (result.metrics or {}).get("trial_id") == best.trial and result.checkpoint is not None:
            with result.checkpoint.as_directory() as folder:
                models = [file.read_bytes() for file in Path(folder).glob("*.pth")]
    models += [file.read_bytes() for file in (Path(best.folder) / MODEL_FOLDER).glob("*.pth")]
    remote: Any = ray.remote(evaluate_model)
    task = remote.options(num_cpus=job.cpus, num_gpus=job.gpus, max_retries=3)
    try:
        return ray.get(task.remote(job, dict(best.config), models, dict(best.valid)))
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None


def _say_result(plan: SweepPlan, records: Sequence[Record], best: Record | None, complete: bool, say: Say) -> None:
    counts = {status: sum(record.status == status for record in records) for status in (*ENDED, "interrupted")}
    say("trials: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))
    for record in records:
        if record.error:
            say(f"trial {record.trial} failed: {record.error}")
    failed = [record for record in records if record.status == "failed"]
    if failed and len(failed) == len(records):
        say(f"all {len(records)} trials have failed: {failed[0].error}")
    elif best is None:
        say("no trial was validated")
    else:
        say(f"best: trial {best.trial}, validation {plan.metric} {best.objective:.6f}, {dict(best.point)}")
        tested = next((record.test for record in records if record.test), None)
        if tested:
            say("its test metrics: " + ", ".join(f"{name} {value:.6f}" for name, value in tested.items()))
    if not complete:
        output = shlex.quote(str(plan.options.output))
        say(f"the sweep is not complete: hetcomp tune --resume --output {output} goes on with it")
    say(f"written to {plan.options.folder}")
