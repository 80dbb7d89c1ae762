"""RecBole's ``run_hyper.py`` with its options, files and output format, run as one of our sweeps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, FAILED, checking
from recbole_hetcomp.tune.options import SweepOptions

_SEARCHES = {"Ray": "random", "Hyperopt": "hyperopt"}


@options.command("run_hyper.py", takes_settings=True, epilog="--model and --dataset are settings, too.")
@options.config_files(help="YAML files with fixed settings, separated by spaces.")
@click.option("--params_file", required=True, help="Search space: .hyper or YAML.")
@click.option("--output_file", default="hyper_example.result", help="Results in RecBole's format.")
@click.option("--display_file", help="Where the report (HTML) is copied to.")
@click.option("--max_evals", type=int, default=10, help="Number of trials.")
@click.option("--tool", type=click.Choice(sorted(_SEARCHES)), default="Ray", help="Ray: random search.")
@options.declared(SweepOptions, ("scheduler",))
@click.option("--output", help="Folder of tables and report (default: beside --output_file).")
def run_hyper(
    config_files: Sequence[str],
    settings: Mapping[str, Any],
    params_file: str,
    output_file: str,
    display_file: str | None,
    max_evals: int,
    tool: str,
    scheduler: str,
    output: str | None,
) -> int:
    """RecBole's hyperparameter search. Trials are chosen by validation; only the best is tested."""
    from recbole_hetcomp.files import write_text_whole
    from recbole_hetcomp.tune.report import REPORT
    from recbole_hetcomp.tune.results import as_recbole_writes
    from recbole_hetcomp.tune.sweep import run_sweep
    from recbole_hetcomp.tune.sweep_plan import check_free, make_plan

    target, fixed = Path(output_file).absolute(), dict(settings)
    with checking():
        sweep: dict[str, Any] = {
            "output": output or str(target.with_suffix(".sweep")),
            "space": params_file,
            "search": _SEARCHES[tool],
            "scheduler": scheduler,
            "num_samples": max_evals,
        }
        model, dataset = fixed.pop("model", None), fixed.pop("dataset", None)
        plan = make_plan(model, dataset, SweepOptions(**sweep), config_files, fixed)
        check_free(plan)
    result = run_sweep(plan)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(target, as_recbole_writes(result.records))
    if display_file:
        shutil.copyfile(result.folder / REPORT, display_file)
    return DONE if result.complete and result.best is not None else FAILED
