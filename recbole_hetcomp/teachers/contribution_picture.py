"""A picture of what each teacher gives to the ensemble, and of how they complement each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_hetcomp.extras import require
from recbole_hetcomp.teachers.contribution import NOISE, Contributions


def draw_contributions(found: Contributions, path: Path) -> None:
    """Draw each teacher's gain with its noise, and who has how little of whose best items, to a PNG file.

    Complementarity is the share of one's first items (row) that another lacks (column): what it could add.

    Args:
        found: what each teacher gives.
        path: the file.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("contribution.png", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(found.teachers)
    figure = Figure(figsize=(6.5 + 0.9 * count, 2.2 + 0.55 * count), layout="constrained")
    FigureCanvasAgg(figure)
    gains, shares = figure.subplots(1, 2)
    names = [one.name for one in found.teachers]
    _gains(gains, found, names)
    _complementarity(shares, found, names)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _gains(axes: Any, found: Contributions, names: list[str]) -> None:
    places = range(len(names))
    colors = ["#d55e00" if one.harms else "#0072b2" for one in found.teachers]
    noise = [NOISE * one.error for one in found.teachers]
    axes.barh(places, [one.gain for one in found.teachers], xerr=noise, color=colors, capsize=3)
    axes.axvline(0.0, color="#000000", linewidth=0.8)
    axes.set_yticks(places, [f"{one.name}\n{one.alone:.4f} alone" for one in found.teachers])
    axes.invert_yaxis()
    axes.set_xlabel(f"gain in validation {found.metric} (bars: {NOISE:g} standard errors)")
    axes.set_title(f"ensemble {found.ensemble:.4f}", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


def _complementarity(axes: Any, found: Contributions, names: list[str]) -> None:
    lacking = 1.0 - found.agreement
    axes.imshow(lacking, cmap="Blues", vmin=0.0, vmax=1.0)
    for row in range(len(names)):
        for column in range(len(names)):
            if row != column:
                ink = "white" if lacking[row, column] > 0.6 else "black"
                axes.text(column, row, f"{lacking[row, column]:.2f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_title(f"share of the row's first {found.length} items\nthat the column lacks", fontsize=11)
