"""What ``hetcomp tune`` and ``hetcomp teachers --parallel`` do with their arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recbole_hetcomp.recbole_bridge.property_files import read_yaml
from recbole_hetcomp.trajectories.remote import is_uri
from recbole_hetcomp.tune.cluster import node_resources, ray_cluster
from recbole_hetcomp.tune.options import (
    SCHEDULERS,
    SEARCHES,
    SweepOptions,
    check_room,
    teacher_resources,
    trial_resources,
)
from recbole_hetcomp.tune.sweep import run_sweep
from recbole_hetcomp.tune.sweep_plan import load_plan, make_plan, portable_settings
from recbole_hetcomp.tune.teachers import needed_teachers, train_teachers

EXAMPLE = "Example: hetcomp tune --model HetComp --dataset ml-100k --num_samples 16 --epochs 100 --output results/sweep"
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sweep's own options."""
    add = parser.add_argument
    add("--output", default=None, help="folder of the results (default: results/<dataset>/tune-<model>)")
    add("--space", default=None, help="search space, YAML or RecBole's .hyper (default: properties/tune/<model>.yaml)")
    add("--search", default="random", choices=SEARCHES, help="how points are chosen (default: %(default)s)")
    add("--scheduler", default="asha", choices=SCHEDULERS, help="how bad trials are stopped (default: %(default)s)")
    add("--num_samples", type=int, default=16, help="number of trials (default: %(default)s)")
    add("--epochs", type=int, default=None, help="epochs of a trial at most (default: the model's)")
    add("--seed", type=int, default=None, help="seed of the search and of every trial (default: RecBole's)")
    add("--max_concurrent", type=int, default=None, help="trials at a time (default: as many as there is room for)")
    add(
        "--cpus_per_trial",
        type=float,
        default=None,
        help="processors and threads of a trial (default: 1, more beside GPUs)",
    )
    add(
        "--gpus_per_trial",
        type=float,
        default=None,
        help="GPUs of a trial, e.g. 0.5 or 0 (default: 0.25 where there is one)",
    )
    _add_teacher_resources(parser)
    add("--time_budget", type=float, default=None, help="seconds after which the trials end")
    add("--grace_epochs", type=int, default=None, help="epochs before a trial may be stopped (default: 1/27 of them)")
    add(
        "--reduction_factor",
        type=float,
        default=3.0,
        help="asha goes on with one in so many trials (default: %(default)s)",
    )
    add(
        "--max_failures",
        type=int,
        default=3,
        help="how often a lost or crashed trial is taken up (default: %(default)s)",
    )
    add("--storage", default=None, help="path or URI where Ray keeps the trials (default: OUTPUT/trials)")
    add("--resume", action="store_true", help="go on with the sweep in OUTPUT; its own options and settings count")
    add("--dashboard", action="store_true", help="start Ray's dashboard with a local Ray")


def add_teacher_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``hetcomp teachers``."""
    parser.add_argument("--parallel", action="store_true", help="train the teachers in parallel, as Ray tasks")
    _add_teacher_resources(parser)


def _add_teacher_resources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cpus_per_teacher", type=float, default=None, help="processors of a teacher")
    parser.add_argument("--gpus_per_teacher", type=float, default=None, help="GPUs of a teacher; may be a fraction")
    parser.add_argument("--address", default=None, help="auto or HOST:PORT of a Ray cluster (default: this machine)")


def parsed_settings(words: Sequence[str]) -> dict[str, Any]:
    """``--name=value`` words as settings; values are read as YAML, never executed.

    Raises:
        ValueError: a word is not of this form.

    >>> parsed_settings(["--K=20", "--teachers=[BPR, EASE]", "--learning_rate=1e-3"])
    {'K': 20, 'teachers': ['BPR', 'EASE'], 'learning_rate': 0.001}
    """
    settings = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name.startswith("--") and equals):
            raise ValueError(f"{word!r} is not understood; settings are given as --name=value")
        settings[name[2:]] = read_yaml(value)
    return settings


def run(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    """The ``hetcomp tune`` command; its exit status."""
    settings = parsed_settings(words)
    for name in ("epochs", "seed"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    output = arguments.output or str(Path("results") / arguments.dataset / f"tune-{arguments.model}")
    if arguments.resume:
        plan = load_plan(Path(output))
        changed = {"output": output, "address": arguments.address, "dashboard": arguments.dashboard}
        plan = replace(plan, options=replace(plan.options, **changed))
    else:
        given = {name: getattr(arguments, name) for name in SweepOptions.names() if name != "output"}
        files = arguments.config_files.split() if arguments.config_files else None
        plan = make_plan(arguments.model, arguments.dataset, SweepOptions(output, **given), files, settings)
    try:
        result = run_sweep(plan, resume=arguments.resume, say=_say)
    except KeyboardInterrupt:
        _say(f"interrupted: hetcomp tune --resume --output {output} goes on")
        return INTERRUPTED
    if not result.complete:
        return INTERRUPTED
    return 0 if result.best is not None else 1


def train_teachers_of(arguments: argparse.Namespace, settings: Mapping[str, Any], files: Sequence[str]) -> None:
    """Train the teachers of a run in parallel into its store.

    Args:
        arguments: model, data set, and the options of ``add_teacher_arguments``.
        settings: the run's settings.
        files: YAML files with settings.

    Raises:
        ValueError: a setting is not allowed, or a teacher fits no node.
    """
    if is_uri(settings.get("store_dir")):
        raise ValueError(f"store_dir={settings['store_dir']!r} is not allowed here: only hetcomp tune mirrors a URI")
    given = portable_settings(arguments.model, arguments.dataset, files, settings)
    options = SweepOptions(
        output=".",
        cpus_per_trial=arguments.cpus_per_teacher,
        gpus_per_trial=arguments.gpus_per_teacher,
    )
    with ray_cluster(arguments.address):
        import ray

        size = teacher_resources(options, trial_resources(options, ray.cluster_resources()))
        check_room("a teacher", size, node_resources())
        jobs = needed_teachers(arguments.model, arguments.dataset, [given], size.cpus, size.gpus)
        train_teachers(jobs, _say)


def _say(line: str) -> None:
    print(line, flush=True, file=sys.stdout)
