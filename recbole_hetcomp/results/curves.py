"""A picture of how the student learnt, beside its ensemble and the student alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_hetcomp.extras import require

if TYPE_CHECKING:
    from recbole_hetcomp.results.table import Result


def draw_curves(result: Result, path: Path) -> None:
    """Draw the validation metric over epochs to a PNG file; below it, over its own epochs, what a curriculum did.

    The curriculum's panels show discrepancy to the teachers and shares of snapshots; a method without one has none.

    Args:
        result: the run's result.
        path: the file.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("curves.png", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with_curriculum = any("snapshot_shares" in line or "discrepancy" in line for line in result.history)
    figure = Figure(figsize=(10, 8) if with_curriculum else (10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 if with_curriculum else 1, 2)
    quality = figure.add_subplot(grid[0, :])
    _quality(quality, result)
    quality.set_xlabel("epoch")
    if with_curriculum:
        distance = figure.add_subplot(grid[1, 0])
        progress = figure.add_subplot(grid[1, 1], sharex=distance)
        _discrepancy(distance, result.history)
        _progress(progress, result.history)
        for axes in (distance, progress):
            axes.set_xlabel("epoch of the curriculum")
    figure.suptitle(f"{result.rows[-1].name} on {result.dataset}, seed {result.seed}")
    figure.savefig(path, dpi=120)


def _points(history: tuple[dict[str, Any], ...], key: str) -> tuple[list[int], list[Any]]:
    lines = [line for line in history if key in line]
    return [line["epoch"] for line in lines], [line[key] for line in lines]


def _quality(axes: Any, result: Result) -> None:
    epochs, scores = _points(result.history, "valid")
    axes.plot(epochs, scores, label=result.rows[-1].name, color="C0")
    styles = {"TeacherEnsemble": ("black", "--"), "NoKD": ("C3", ":")}
    for row in result.rows:
        if row.name in styles and result.metric in row.valid:
            color, style = styles[row.name]
            axes.axhline(row.valid[result.metric], color=color, linestyle=style, label=row.name)
    teachers = [row for row in result.rows if row.role == "teacher" and result.metric in row.valid]
    if teachers:
        best = max(teachers, key=lambda row: row.valid[result.metric])
        axes.axhline(best.valid[result.metric], color="C2", linestyle="-.", label=f"best teacher ({best.name})")
    if epochs:
        bigger = result.settings.get("valid_metric_bigger", True)
        place = max(range(len(scores)), key=lambda n: (scores[n] if bigger else -scores[n], n))
        last = place == len(scores) - 1
        note = f"best: epoch {epochs[place]}" + (", the last one: more epochs may help" if last else "")
        axes.plot(epochs[place], scores[place], marker="o", color="C0", linestyle="none", label=note)
    axes.set_ylabel(f"validation {result.metric}")
    axes.legend(loc="lower right", fontsize="small")


def _discrepancy(axes: Any, history: tuple[dict[str, Any], ...]) -> None:
    epochs, steps = _points(history, "discrepancy")
    for name in steps[0] if steps else ():
        axes.plot(epochs, [step[name] for step in steps], label=name, marker=".", markersize=3)
    axes.set_ylabel("discrepancy to the next snapshot")
    if steps:
        axes.legend(loc="upper right", fontsize="small", ncols=2)


def _progress(axes: Any, history: tuple[dict[str, Any], ...]) -> None:
    epochs, shares = _points(history, "snapshot_shares")
    if shares:
        labels = [f"snapshot {number}" for number in range(len(shares[0]))]
        axes.stackplot(epochs, list(zip(*shares)), labels=labels, alpha=0.7)
        axes.plot(*_points(history, "fine"), color="black", label="users in the fine stage")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize="small", ncols=3)
        axes.margins(x=0)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of (user, teacher) pairs")
