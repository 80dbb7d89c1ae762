"""How good a student is after so many seconds: today's schedule of rates against the constant rate before it.

    python benchmarks/time_to_quality.py --dataset ml-100k --dimensions 8 --picture docs/images/time-to-quality.png

All schedules have the same teachers, taught lists and first weights, and run one after the other on one thread.
Seconds are of training alone, without validations. Validation split, NDCG@50. Prints a row a schedule: its best value,
when it came, and the seconds to 99 % of the best value of all. More settings follow as RecBole has them, e.g.
``--data_path=data``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

import recbole_hetcomp  # noqa: F401 (RecBole finds HetComp)
from recbole_hetcomp.values import read_yaml

SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "today: .06 falling to 0, 60 epochs": {"items_per_dimension": None},
    "before: .01 constant": {
        "learning_rate": 0.01, "learning_rate_schedule": "constant", "epochs": 600, "eval_step": 10,
    },
    ".02 constant": {"learning_rate": 0.02, "learning_rate_schedule": "constant", "epochs": 300, "eval_step": 10},
    ".1 falling to 0, 100 epochs": {"learning_rate": 0.1, "epochs": 100},
    ".1 falling to 0, 40 epochs": {"learning_rate": 0.1, "epochs": 40},
}  # fmt: skip
"""Settings of each schedule over HetComp's defaults."""
METRIC = "ndcg@50"
SHARE = 0.99


def curve(dataset: str, dimension: int, own: Mapping[str, Any], shared: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Seconds of training and validation NDCG@50 at each validation of a student."""
    settings = {"embedding_size": dimension, "compare_no_kd": False, **shared, **own}
    config = Config(model="HetComp", dataset=dataset, config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    train, valid, _ = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    model = get_model("HetComp")(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], "HetComp")(config, model)
    points: list[tuple[float, float]] = []
    validate = trainer._valid_epoch

    def noted(*words: Any, **named: Any) -> Any:
        score, result = validate(*words, **named)
        points.append((round(trainer.seconds, 2), float(result[METRIC])))
        return score, result

    trainer._valid_epoch = noted
    trainer.fit(train, valid, saved=False, show_progress=False)
    return points


def summary(curves: Mapping[str, list[tuple[float, float]]]) -> pd.DataFrame:
    """A row a schedule.

    >>> summary({"a": [(1.0, 0.10), (2.0, 0.20)], "b": [(3.0, 0.199)]})["seconds to 99 %"].tolist()
    [2.0, 3.0]
    """
    wanted = SHARE * max(value for points in curves.values() for _, value in points)
    rows = []
    for name, points in curves.items():
        when, best = max(points, key=lambda point: point[1])
        reached = [seconds for seconds, value in points if value >= wanted]
        rows.append(
            {"schedule": name, "best": best, "seconds to best": when, "seconds to 99 %": min(reached, default=None),
             "seconds in all": points[-1][0]}
        )  # fmt: skip
    return pd.DataFrame(rows)


def draw(found: Mapping[str, Mapping[str, list[tuple[float, float]]]], file: Path) -> None:
    """Draw a panel for each data set and size."""
    figure = Figure(figsize=(5.5 * len(found), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    colours = dict(zip(SCHEDULES, ("#d55e00", "#000000", "#7f7f7f", "#0072b2", "#56b4e9")))
    for axes, (title, curves) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items()):
        for name, points in curves.items():
            width = 2.4 if name.startswith("today") else 1.4
            axes.plot(*zip(*points), label=name, color=colours[name], linewidth=width)
        best = max(value for points in curves.values() for _, value in points)
        axes.axhline(SHARE * best, color="#000000", linewidth=0.8, linestyle=(0, (4, 4)))
        axes.set_ylim(0.85 * best, 1.01 * best)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(title, loc="left", fontsize=12)
        axes.set_xlabel("seconds of training, one thread")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#ececec")
    figure.axes[0].set_ylabel("validation NDCG@50")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Train, print, and keep what was found in a file to which later runs add."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[8])
    parser.add_argument("--schedules", nargs="+", default=list(SCHEDULES), choices=list(SCHEDULES))
    parser.add_argument("--json", type=Path, help="the curves; those of other data sets and sizes in it stay")
    parser.add_argument("--picture", type=Path, help="a panel for each data set and size of the file")
    arguments, others = parser.parse_known_args()
    del sys.argv[1:]  # RecBole would let them win over a schedule's own
    shared = {word.lstrip("-").split("=", 1)[0]: read_yaml(word.split("=", 1)[1]) for word in others}
    found = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for dimension in arguments.dimensions:
        title = f"{arguments.dataset}, {dimension} dimensions"
        curves = found.setdefault(title, {})
        for name in arguments.schedules:
            curves[name] = curve(arguments.dataset, dimension, SCHEDULES[name], shared)
            if arguments.json:
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                arguments.json.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{title}\n{summary(curves).to_markdown(index=False)}", flush=True)
    if arguments.picture:
        draw(found, arguments.picture)


if __name__ == "__main__":
    main()
