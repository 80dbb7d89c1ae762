"""The commands ``run_recbole`` and ``hetcomp``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_hetcomp.version import __version__

_SETTINGS_HELP = (
    "Any setting of RecBole or of the plugin may follow as --name=value, e.g. --seed=1 --embedding_size=16."
)


def _common() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--dataset", "-d", default="ml-100k", help="data set (default: ml-100k, which ships in RecBole)"
    )
    parser.add_argument("--config_files", default=None, help="YAML files with settings, separated by spaces")
    return parser


def _parser() -> argparse.ArgumentParser:
    from recbole_hetcomp.data.prepare.command import EXAMPLE, add_arguments
    from recbole_hetcomp.tune import command as tuning

    parser = argparse.ArgumentParser(
        prog="hetcomp",
        description="Distil an ensemble of different recommenders into one small, fast model (HetComp, WWW 2023).",
        epilog="Documentation of every setting: properties/model/HetComp.yaml. Results: results/<dataset>/<run>/.",
    )
    parser.add_argument("--version", action="version", version=f"recbole-hetcomp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        parents=[_common()],
        help="train teachers, distil a student, print and write the table",
        description="Train teachers (or take them from the store), distil a student, print and write the table.",
        epilog=_SETTINGS_HELP,
    )
    run.add_argument("--model", "-m", default="HetComp", help="any plugin or RecBole model (default: HetComp)")
    run.set_defaults(call=_run)
    teachers = commands.add_parser(
        "teachers",
        parents=[_common()],
        help="train the teachers only and evaluate their ensemble",
        description="Train the teachers that are not in the store yet and evaluate their ensemble on the test split.",
        epilog=_SETTINGS_HELP,
    )
    tuning.add_teacher_arguments(teachers)
    teachers.set_defaults(call=_teachers, model="TeacherEnsemble")
    tune = commands.add_parser(
        "tune",
        parents=[_common()],
        allow_abbrev=False,
        help="search hyperparameters with Ray Tune, on one machine or a cluster",
        description="Search hyperparameters with Ray Tune: teachers are trained once, trials are chosen by the "
        "validation metric, and only the best is tested.",
        epilog=f"{tuning.EXAMPLE}. {_SETTINGS_HELP}",
    )
    tune.add_argument("--model", "-m", default="HetComp", help="any plugin or RecBole model (default: HetComp)")
    tuning.add_arguments(tune)
    tune.set_defaults(call=_tune)
    models = commands.add_parser("models", help="list the models that may teach or be taught")
    models.set_defaults(call=_models)
    store = commands.add_parser(
        "store",
        help="list the trajectory store and check every entry's checksum",
        description="List the trajectory store and check every entry's checksum. Exit status 1 if one is damaged.",
    )
    store.add_argument("--store_dir", default="saved/trajectories", help="folder of the store (default: %(default)s)")
    store.set_defaults(call=_store)
    preparation = commands.add_parser(
        "prepare",
        help="raw files to RecBole's, with the paper's split and a data card",
        description="Write a raw file of interactions as RecBole's atomic files, with the paper's split or none, the "
        "settings to load them, and a data card. Says what is dropped and why.",
        epilog=EXAMPLE,
    )
    add_arguments(preparation)
    preparation.set_defaults(call=_prepare)
    benchmark = commands.add_parser(
        "benchmark",
        help="compare distillation methods, RecBole's models and the teachers' ensemble on one data set",
        description="Train teachers, baselines and students as a config says, and write tables and a report. Started "
        "again with the same config and folder it goes on: a run that is done is never run again.",
    )
    benchmark.add_argument("--config", required=True, help="config file, or the name of one in properties/benchmark")
    benchmark.add_argument("--output", required=True, help="folder of the results")
    benchmark.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change the config, e.g. --set data_path=dataset --set settings.topk=[10,50]",
    )
    benchmark.add_argument("--dry_run", action="store_true", help="only say what is to be run and what is done")
    benchmark.add_argument("--report_only", action="store_true", help="only write the tables and the report anew")
    benchmark.set_defaults(call=_benchmark)
    return parser


def _normalise(rest: Sequence[str]) -> list[str]:
    """``--name value`` as ``--name=value``, the only form that RecBole's Config reads.

    >>> _normalise(["--seed", "1", "--K=20"])
    ['--seed=1', '--K=20']
    """
    joined: list[str] = []
    for word in rest:
        if joined and not word.startswith("--") and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _input_problem(arguments: argparse.Namespace, settings: Sequence[str], files: Sequence[str]) -> str | None:
    """Why a command cannot begin, or None if it can."""
    odd = [word for word in settings if not (word.startswith("--") and word.count("=") == 1)]
    if odd:
        return f"{odd[0]!r} is not understood; settings are given as --name=value"
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        return f"config file {missing[0]!r} does not exist"
    return _model_problem(arguments.model)


def _tune(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from recbole_hetcomp.trajectories import CorruptTrajectoryError
    from recbole_hetcomp.tune import command as tuning

    settings = _normalise(rest)
    files = arguments.config_files.split() if arguments.config_files else []
    problem = _input_problem(arguments, settings, files)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    try:
        return tuning.run(arguments, settings)
    except (ValueError, TypeError, OSError, ImportError, CorruptTrajectoryError) as error:
        if "--state=DEBUG" in settings:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def _teachers(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    """Train the teachers; where they are trained in parallel, the ensemble then finds them in the store."""
    from recbole_hetcomp.tune import command as tuning

    settings = _normalise(rest)
    files = arguments.config_files.split() if arguments.config_files else []
    if arguments.parallel and not _input_problem(arguments, settings, files):
        try:
            tuning.train_teachers_of(arguments, tuning.parsed_settings(settings), files)
        except (ValueError, TypeError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return _run(arguments, rest)


def _run(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from recbole_hetcomp.recbole_bridge.quick_start import run
    from recbole_hetcomp.trajectories import CorruptTrajectoryError

    settings = _normalise(rest)
    files = arguments.config_files.strip().split() if arguments.config_files else []
    problem = _input_problem(arguments, settings, files)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    sys.argv = [sys.argv[0], *settings]
    try:
        run(arguments.model, arguments.dataset, files or None)
    except (ValueError, TypeError, OSError, NotImplementedError, CorruptTrajectoryError) as error:
        if "--state=DEBUG" in settings:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _model_problem(name: str) -> str | None:
    """Why RecBole cannot find a model, or None if it can."""
    from recbole.utils import get_model

    from recbole_hetcomp.declared import suggestion
    from recbole_hetcomp.recbole_bridge.registry import general_models

    try:
        get_model(name)
    except (ValueError, AttributeError, ImportError) as error:
        return f"unknown model {name!r}{suggestion(name, general_models())} ({error})"
    return None


def _models(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from recbole_hetcomp.recbole_bridge.registry import TEACHER, general_models, models_of_role, registered

    for name in general_models():
        notes = ["plugin"] if name in registered() else []
        if name in models_of_role(TEACHER):
            notes.append("may teach")
        print(f"{name:20} {', '.join(notes)}")
    return 0


def _store(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from recbole_hetcomp.trajectories import CorruptTrajectoryError, TrajectoryStore

    store, damaged = TrajectoryStore(arguments.store_dir), 0
    for entry in store.entries():
        try:
            trajectory = store.open(entry)
        except CorruptTrajectoryError as error:
            damaged += 1
            print(f"DAMAGED  {entry}: {error}")
            continue
        snapshots, users, length = trajectory.unobserved.shape
        print(f"ok       {entry}: {snapshots} snapshots x {users} users x {length} items, epochs {trajectory.epochs}")
    return 1 if damaged else 0


def _prepare(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from recbole_hetcomp.data.prepare.command import run

    if rest:
        print(f"error: {rest[0]!r} is not understood; hetcomp prepare --help lists all arguments", file=sys.stderr)
        return 2
    return run(arguments)


def _benchmark(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from recbole_hetcomp.comparison import run_benchmark

    if rest:
        print(f"error: {rest[0]!r} is not understood; a change of the config is --set KEY=VALUE", file=sys.stderr)
        return 2
    try:
        return run_benchmark(
            arguments.config, arguments.output, arguments.changes, arguments.dry_run, arguments.report_only
        )
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def main(argv: Sequence[str] | None = None) -> int:
    """The ``hetcomp`` command."""
    arguments, rest = _parser().parse_known_args(argv)
    return arguments.call(arguments, rest)


def run_recbole_main(argv: Sequence[str] | None = None) -> int:
    """The ``run_recbole`` command: RecBole's own, with the plugin's models."""
    parser = argparse.ArgumentParser(
        prog="run_recbole",
        parents=[_common()],
        description="RecBole's run_recbole with the models of recbole-hetcomp.",
        epilog=_SETTINGS_HELP,
    )
    parser.add_argument("--model", "-m", default=None, help="model name (default: the config files', or BPR)")
    parser.set_defaults(dataset=None)
    arguments, rest = parser.parse_known_args(argv)
    named = _named_in(arguments.config_files)
    arguments.model = arguments.model or named.get("model", "BPR")
    arguments.dataset = arguments.dataset or named.get("dataset", "ml-100k")
    return _run(arguments, rest)


def _named_in(config_files: str | None) -> dict[str, str]:
    """Model and data set that config files name; what cannot be read is reported where the run begins."""
    import yaml

    named: dict[str, str] = {}
    for file in (config_files or "").split():
        if Path(file).is_file():
            content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                named.update({key: content[key] for key in ("model", "dataset") if key in content})
    return named


if __name__ == "__main__":
    sys.exit(main())
