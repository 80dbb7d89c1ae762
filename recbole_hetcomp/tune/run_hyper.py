"""RecBole's ``run_hyper.py`` with its options, files and output format, run as one of our sweeps."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_hetcomp.files import write_text_whole
from recbole_hetcomp.tune.command import parsed_settings
from recbole_hetcomp.tune.options import SweepOptions
from recbole_hetcomp.tune.report import REPORT
from recbole_hetcomp.tune.results import Record
from recbole_hetcomp.tune.sweep import run_sweep
from recbole_hetcomp.tune.sweep_plan import make_plan

_SEARCHES = {"Ray": "random", "Hyperopt": "hyperopt"}


def main(argv: Sequence[str] | None = None) -> int:
    """The script; its exit status."""
    parser = argparse.ArgumentParser(
        prog="run_hyper.py",
        description="RecBole's hyperparameter search. Trials are chosen by validation; only the best is tested.",
        epilog="Any setting may follow as --name=value, e.g. --model=BPR --dataset=ml-100k.",
        allow_abbrev=False,
    )
    parser.add_argument("--config_files", default=None, help="YAML files with fixed settings, separated by spaces")
    parser.add_argument("--params_file", required=True, help="search space: .hyper or YAML")
    parser.add_argument("--output_file", default="hyper_example.result", help="results in RecBole's format")
    parser.add_argument("--display_file", default=None, help="where the report (HTML) is copied to")
    parser.add_argument("--max_evals", type=int, default=10, help="number of trials (default: %(default)s)")
    parser.add_argument("--tool", default="Ray", choices=sorted(_SEARCHES), help="Ray: random search (default)")
    parser.add_argument("--scheduler", default="asha", help="asha, median, pbt or none (default: %(default)s)")
    parser.add_argument("--output", default=None, help="folder of tables and report (default: beside --output_file)")
    arguments, rest = parser.parse_known_args(argv)
    target = Path(arguments.output_file).absolute()
    output = arguments.output or str(target.with_suffix(".sweep"))
    try:
        options = SweepOptions(
            output,
            space=arguments.params_file,
            search=_SEARCHES[arguments.tool],
            scheduler=arguments.scheduler,
            num_samples=arguments.max_evals,
        )
        files = arguments.config_files.split() if arguments.config_files else None
        settings = parsed_settings(rest)
        plan = make_plan(settings.pop("model", None), settings.pop("dataset", None), options, files, settings)
        result = run_sweep(plan)
    except (ValueError, TypeError, OSError, KeyError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(target, exported(result.records))
    if arguments.display_file:
        shutil.copyfile(result.folder / REPORT, arguments.display_file)
    return 0 if result.complete and result.best is not None else 1


def exported(records: Sequence[Record]) -> str:
    """The trials as RecBole's ``HyperTuning.export_result`` writes them; a test result for the winner only."""
    blocks = []
    for record in records:
        named = ", ".join(f"{name}:{value}" for name, value in record.point.items())
        lines = [named, "Valid result:", _metrics(record.valid)]
        if record.test is not None:
            lines += ["Test result:", _metrics(record.test)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _metrics(values: object) -> str:
    return "    ".join(f"{name} : {value}" for name, value in dict(values).items())  # type: ignore[call-overload]
