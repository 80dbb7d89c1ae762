"""``hetcomp profile``: teachers, ensemble and student side by side, in one run."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.deployment import BATCH, REPEATS, THREADS, USERS, K

_PATH = click.Path(path_type=Path)


@options.command("profile")
@options.student()
@click.option("--k", default=K, help="Items of a list.")
@click.option("--batch", default=BATCH, help="Users of a batch, for the throughput.")
@click.option("--users", default=USERS, help="Users that are served one by one, for the latency.")
@click.option("--repeats", default=REPEATS, help="Turns; all models take turns.")
@click.option("--threads", default=THREADS, help="Threads of torch on the CPU.")
@options.teachers_store()
@click.option("--to", type=_PATH, help="Folder for profile.csv, profile.json and profile.png.")
def profile(
    checkpoint: Path, k: int, batch: int, users: int, repeats: int, threads: int, store_dir: str | None,
    to: Path | None,
) -> int:  # fmt: skip
    """Time a student, its teachers and their ensemble: parameters, bytes, latency of one user, users a second.

    The ensemble is timed as it would be served: every teacher scores the user, and their lists are merged.
    """
    from recbole_hetcomp.file_errors import check_folder

    with checking():
        if to is not None:
            check_folder("to", str(to))
        from recbole_hetcomp.deployment.profile import check_timing, profile_saved
        from recbole_hetcomp.deployment.saved import SavedStudent

        check_timing(k=k, batch=batch, users=users, repeats=repeats, threads=threads)
        student = SavedStudent.load(checkpoint, store_dir)
    found = profile_saved(student, k, batch, users, repeats, threads)
    shown = found.table().to_markdown(index=False, floatfmt=",.3f", intfmt=",", tablefmt="github")
    about = found.about
    click.echo(
        f"{about['dataset']}: k = {about['k']}, batches of {about['batch']}, {about['threads']} thread(s)\n\n{shown}\n"
    )
    for line in found.in_words():
        click.echo(line)
    if to is not None:
        found.write(to)
        click.echo(f"Written to {to}")
    return DONE
