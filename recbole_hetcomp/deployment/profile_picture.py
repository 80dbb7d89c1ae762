"""A picture of a profile: parameters, and milliseconds of one user, of every model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_hetcomp.extras import MissingPackageError, require
from recbole_hetcomp.files import write_whole

if TYPE_CHECKING:
    from recbole_hetcomp.deployment.profile import Profile

_COLOURS = {"teacher": "#7f7f7f", "ensemble": "#000000", "student": "#d55e00"}


def write_picture(found: Profile, path: Path) -> None:
    """Draw to a PNG file, whole or not at all; without matplotlib it is said that there is no picture."""
    try:
        require(path.name, "matplotlib")
    except MissingPackageError as error:
        logging.getLogger().warning(f"no {error}")
        return
    write_whole(path, lambda place: _draw(found, place))


def _draw(found: Profile, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = found.table()
    figure = Figure(figsize=(10, 1.6 + 0.4 * len(table)), layout="constrained")
    FigureCanvasAgg(figure)
    size, speed = figure.subplots(1, 2)
    several = table["device"].nunique() > 1
    names = [f"{row.name} ({row.device})" if several else row.name for row in table.itertuples(index=False)]
    colours = [_COLOURS[role] for role in table["role"]]
    size.barh(range(len(table)), table["parameters"].clip(lower=1), color=colours)
    speed.barh(range(len(table)), table["p50_ms"], color=colours)
    speed.hlines(range(len(table)), table["p50_ms"], table["p95_ms"], color="#e69f00", linewidth=2)
    for axes, values, form in ((size, table["parameters"], "{:,.0f}"), (speed, table["p50_ms"], "{:,.2f}")):
        _finish(axes, names, [form.format(value) for value in values])
    size.set_xlabel("parameters (logarithmic)")
    speed.set_xlabel("ms for one user: median, line to the 95th percentile (logarithmic)")
    about = found.about
    figure.suptitle(f"{about['dataset']}, {about['items']:,} items, k = {about['k']}, {about['threads']} thread(s)")
    figure.savefig(path, dpi=120)


def _finish(axes: Any, names: list[str], labels: list[str]) -> None:
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.bar_label(axes.containers[0], labels, padding=3, fontsize=8)
    axes.margins(x=0.25)
    axes.spines[["top", "right"]].set_visible(False)
