"""``hetcomp select``: the best student within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import DONE, checking
from recbole_hetcomp.deployment import BACKBONES, DIMENSIONS, K

if TYPE_CHECKING:
    from recbole_hetcomp.deployment.selection import Choice


@options.command("select", takes_settings=True)
@options.model()
@options.dataset()
@options.config_files()
@click.option("--max-bytes", type=int, help="Bytes that the student may keep.")
@click.option("--max-ms", type=float, help="Milliseconds that one user may take, at the 95th percentile.")
@click.option("--dimensions", default=",".join(map(str, DIMENSIONS)), help="Embedding sizes, between commas.")
@click.option("--backbones", default=",".join(BACKBONES), help="Backbones, between commas.")
@click.option("--k", default=K, help="Items of a timed list.")
@click.option("--to", type=click.Path(path_type=Path), help="Folder; results/<dataset>/select if not given.")
def select(
    model: str, dataset: str, config_files: Sequence[str], max_bytes: int | None, max_ms: float | None,
    dimensions: str, backbones: str, k: int, to: Path | None, settings: Mapping[str, Any],
) -> int:  # fmt: skip
    """Distil students of several sizes and backbones that fit a budget, and name the best one on validation.

    What a student costs is known before it is trained: what does not fit is not trained. All learn from the same
    teachers, those of the store. The same command goes on where it was.
    """
    from recbole_hetcomp.file_errors import check_folder

    folder = Path("results") / dataset / "select" if to is None else to
    with checking():
        check_folder("to", str(folder))
        sizes = _whole_numbers(dimensions)
        from recbole_hetcomp.recbole_bridge.checkpoint import command_line_hidden
        from recbole_hetcomp.recbole_bridge.quick_start import check_model

        check_model(model)
        from recbole_hetcomp.deployment.selection import Budget, Selection

        with command_line_hidden():
            selection = Selection(
                model, dataset, config_files, settings, Budget(max_bytes, max_ms, k), _words(backbones), sizes
            )
            candidates = selection.candidates()
            selection.check_fit(candidates)
    for one in candidates:
        if one.problem:
            click.echo(f"{one.name}: {one.problem}, not trained ({one.cost.bytes:,.0f} bytes)")
    folder.mkdir(parents=True, exist_ok=True)
    with command_line_hidden():
        choice = selection.choose(candidates, folder, click.echo)
    choice.write(folder)
    _say(choice, folder)
    return DONE


def _say(choice: Choice, folder: Path) -> None:
    table, best = choice.table(), choice.best
    shown = table.drop(columns=["name", "role", "chosen"]).assign(
        pareto=table["pareto"].map({True: "*", False: ""}), **{"": table["chosen"].map({True: "chosen", False: ""})}
    )
    text = shown.to_markdown(index=False, floatfmt=",.4f", intfmt=",", tablefmt="github")
    click.echo(f"\n{text.replace(' nan ', '   – ')}\n")
    cost = best.candidate.cost
    click.echo(
        f"best within the budget, by validation {choice.metric} {best.valid:.4f}: {best.candidate.name}, "
        f"{cost.bytes:,.0f} bytes, {cost.p95_ms:.3f} ms at the 95th percentile\n"
        f"checkpoint: {best.checkpoint}\nWritten to {folder}"
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _whole_numbers(text: str) -> list[int]:
    words = _words(text)
    wrong = [word for word in words if not word.isdigit()]
    if wrong:
        raise ValueError(f"dimensions names {wrong[0]!r}: whole numbers between commas are needed")
    return [int(word) for word in words]
