"""The README's picture: test Recall@50 against size, from the runs that are kept in ``benchmarks/comparisons``.

``python benchmarks/size_picture.py`` writes ``docs/images/accuracy-size.png``. Students are BPR (matrix factorization).
A point is a mean over seeds, a bar its s.d.; a few of the other methods' runs have one seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recbole_hetcomp.comparison.report.files import IDENTITY

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "comparisons"
PICTURE = ROOT / "docs" / "images" / "accuracy-size.png"

METRIC = "recall@50"
PANELS = {"CiteULike": ("citeulike-t", "citeulike-t-first-trials"), "ml-100k": ("ml-100k", "ml-100k-6-32")}
LOOKS = {  # drawn in this order; colours that the colour-blind tell apart (Wong, Nature Methods 8, 2011)
    "other distillation methods": {"color": "#9ec3de", "marker": "o"},
    "its teachers": {"color": "#7f7f7f", "marker": "^", "markersize": 7},
    "the same student alone": {"color": "#0072b2", "marker": "s", "linestyle": "-"},
    "their ensemble": {"color": "#000000", "marker": "*", "markersize": 15},
    "the student with HetComp": {
        "color": "#d55e00", "marker": "o", "linestyle": "-", "linewidth": 2.4, "markersize": 9
    },
}  # fmt: skip
LEGEND = ("the student with HetComp", "the same student alone", "other distillation methods", "its teachers",
          "their ensemble")  # fmt: skip


def kept_runs(folders: Iterable[str]) -> pd.DataFrame:
    """The runs of some folders; one that several of them have, once."""
    tables = [pd.read_csv(RESULTS / folder / "runs.csv") for folder in folders]
    return pd.concat(tables, ignore_index=True).drop_duplicates([*IDENTITY])


def series_of(runs: pd.DataFrame) -> pd.Series:
    """Which series each run belongs to; none for ablations, other backbones and RecBole's own recommenders."""
    student = (runs["role"] == "student") & (runs["backbone"] == "BPR")
    series = pd.Series(pd.NA, index=runs.index, dtype="object")
    series[student & ~runs["method"].str.startswith("HetComp")] = "other distillation methods"
    series[student & (runs["method"] == "NoKD")] = "the same student alone"
    series[student & (runs["method"] == "HetComp")] = "the student with HetComp"
    series[runs["role"] == "teacher"] = "its teachers"
    series[runs["role"] == "ensemble"] = "their ensemble"
    return series


def draw(axes: Axes, runs: pd.DataFrame) -> None:
    """Draw one data set."""
    keys = [series_of(runs).rename("series"), "method", runs["dimension"].fillna(0)]
    means = runs.groupby(keys).agg(size=("parameters", "mean"), mean=(METRIC, "mean"), spread=(METRIC, "std"))
    for name, look in LOOKS.items():
        found = means.loc[name].sort_values("size")
        look = {"linestyle": "none", "markersize": 6, "elinewidth": 1, **look}
        axes.errorbar(found["size"], found["mean"], yerr=found["spread"].fillna(0.0), label=name, **look)
    axes.axhline(means.loc["their ensemble", "mean"].iloc[0], color="#000000", linewidth=0.8, linestyle=(0, (4, 4)))
    axes.set_xscale("log")
    axes.set_xlabel("parameters", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#ececec")
    axes.set_axisbelow(True)


def main() -> None:
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PICTURE)
    output = parser.parse_args().output
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, folders) in zip(figure.subplots(1, 2), PANELS.items()):
        draw(axes, kept_runs(folders))
        axes.set_title(title, fontsize=13, loc="left")
    figure.axes[0].set_ylabel("test Recall@50", fontsize=11)
    drawn = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels())))
    handles = [drawn[name][0] for name in LEGEND]  # the points without their bars
    figure.legend(handles, LEGEND, loc="outside upper center", ncols=len(LEGEND), frameon=False, fontsize=11,
                  columnspacing=1.4, handletextpad=0.5)  # fmt: skip
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)
    print(output)


if __name__ == "__main__":
    main()
