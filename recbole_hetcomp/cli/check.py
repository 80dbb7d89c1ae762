"""``hetcomp check``: the gate of a production build."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, FAILED, checking
from recbole_hetcomp.deployment import K

_PATH = click.Path(path_type=Path)


@options.command("check")
@options.student()
@click.option("--export", type=_PATH, help="The folder that hetcomp export wrote of it: its lists must be the same.")
@click.option("--keep", required=True, type=float, help="Share of the ensemble's accuracy that is demanded, e.g. 0.98.")
@click.option("--metric", help="Metric of the share, e.g. NDCG@50; the run's validation metric if not given.")
@click.option("--strict", is_flag=True, help="The lower end of the share's interval must reach --keep.")
@click.option("--max-ms", type=float, help="Milliseconds for one user, at the 95th percentile.")
@click.option("--max-bytes", type=int, help="Bytes that the model keeps.")
@click.option("--k", default=K, help="Items of a list.")
@options.teachers_store()
@click.option("--to", type=_PATH, help="One page with all of it: .html, .md or .json.")
def check(
    checkpoint: Path, export: Path | None, keep: float, metric: str | None, strict: bool, max_ms: float | None,
    max_bytes: int | None, k: int, store_dir: str | None, to: Path | None,
) -> int:  # fmt: skip
    """Check a student against what is demanded of it; exit status 0: all is met, 1: not, 2: it cannot be checked."""
    with checking():
        from recbole_hetcomp.deployment.gate import Demands, check_student, check_target
        from recbole_hetcomp.deployment.saved import SavedStudent
        from recbole_hetcomp.trajectories import CorruptTrajectoryError

        demands = Demands(keep, metric, max_ms, max_bytes, strict, k)
        demands.check()
        if to is not None:
            check_target(to)
        if export is not None and not export.is_dir():
            raise FileNotFoundError(f"{export} {'is a file, and no export' if export.exists() else 'does not exist'}")
        student = SavedStudent.load(checkpoint, store_dir)
        about = {"checkpoint": str(checkpoint), **({} if export is None else {"export": str(export)})}
        try:
            verdict = check_student(student, demands, export, about)
        except CorruptTrajectoryError as error:
            raise ValueError(str(error)) from error
    click.echo(f"{verdict.table().to_markdown(index=False, tablefmt='github')}\n\n{verdict.title}")
    if to is not None:
        with checking():  # status 1 is that of a demand that is not met
            verdict.write(to)
        click.echo(f"Written to {to}")
    return DONE if verdict.passed else FAILED
