"""``hetcomp tune``: a sweep with Ray Tune."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, FAILED, checking
from recbole_hetcomp.signals import interrupted_status
from recbole_hetcomp.tune.options import SweepOptions


@options.command(
    "tune",
    takes_settings=True,
    epilog="Example: hetcomp tune --model HetComp --num_samples 16 --epochs 100 --output results/sweep.",
)
@options.model()
@options.dataset()
@options.config_files()
@click.option("--epochs", type=int, help="Epochs of a trial at most, not of its teachers; not given: the model's.")
@click.option("--seed", type=int, help="Seed of the search and of every trial; not given: RecBole's.")
@options.declared(SweepOptions)
@click.option("--resume", is_flag=True, help="Go on with the sweep in OUTPUT; its own options and settings count.")
def tune(
    model: str,
    dataset: str,
    config_files: Sequence[str],
    settings: Mapping[str, Any],
    epochs: int | None,
    seed: int | None,
    resume: bool,
    **chosen: Any,
) -> int:
    """Search hyperparameters with Ray Tune: teachers are trained once, trials are chosen by the validation metric, and
    only the best is tested.
    """
    from recbole_hetcomp.recbole_bridge.quick_start import check_model
    from recbole_hetcomp.tune.sweep import run_sweep
    from recbole_hetcomp.tune.sweep_plan import check_free, default_output, load_plan, make_plan

    with checking():
        check_model(model)
        output = chosen["output"] or default_output(model, dataset)
        if resume:
            plan = load_plan(Path(output), output=output, address=chosen["address"], dashboard=chosen["dashboard"])
        else:
            given = {name: value for name, value in (("epochs", epochs), ("seed", seed)) if value is not None}
            sweep = SweepOptions(**{**chosen, "output": output})
            plan = make_plan(model, dataset, sweep, config_files, {**settings, **given})
            check_free(plan)
    try:
        result = run_sweep(plan, resume=resume, say=click.echo)
    except KeyboardInterrupt:
        click.echo(f"interrupted: hetcomp tune --resume --output {shlex.quote(output)} goes on")
        return interrupted_status()
    if not result.complete:
        return interrupted_status()
    return FAILED if result.best is None else DONE
