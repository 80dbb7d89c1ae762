"""What each idea of ``variant.py`` gives, on the validation split, against HetComp as it is.

    python benchmarks/notebook/ideas.py --dataset ml-100k --dimension 8 --json ideas.json --picture trajectories.png

Students differ in their seed alone: split and teachers are those of seed 2020. Prints a row an idea: the mean over
seeds of Recall@50, NDCG@50, Recall@10 and NDCG@10, the standard deviation of the first two, and the ensemble's first
two. What is in the file already is not run again. More settings follow as RecBole has them, e.g. ``--data_path=data``.
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

import numpy as np
import pandas as pd
import variant  # noqa: F401 (RecBole finds Variant)
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from scipy.stats import sem, t

from recbole_hetcomp.values import read_yaml

BASE = "HetComp"
TRAJECTORIES: Mapping[str, Mapping[str, Any]] = {
    "the curriculum, a constant rate": {
        "curriculum": "dynamic", "p": 1, "learning_rate": 0.02, "learning_rate_schedule": "constant", "epochs": 250,
        "eval_step": 10,
    },
    "steady items count more (T 20)": {"confidence": 20.0},
    "steady items count more (T 5)": {"confidence": 5.0},
    "the snapshot before beside it (weight .2)": {"earlier_weight": 0.2},
    "the snapshot before beside it (weight 1)": {"earlier_weight": 1.0},
    "lists drawn from two snapshots": {"drawn_snapshots": 2},
    "… in the first half of the epochs": {"drawn_snapshots": 2, "drawn_until": 0.5},
    "two snapshots of each teacher as members": {"members": 2},
    "four snapshots of each teacher as members": {"members": 4},
}  # fmt: skip
DECAY = {"place_weights": "decay"}
ALWAYS = {"own_list_from": 0.0, "own_list_every": 1, "own_power": 0.0}  # the own list as RCE-KD teaches it
LESSON: Mapping[str, Mapping[str, Any]] = {
    "all places count the same": {"place_weights": "even"},
    "places count 1 / log2(k + 2)": {"place_weights": "discount"},
    "places count 1 / (k + 1)": {"place_weights": "power"},
    "places count exp(-k / 20)": {**DECAY, "place_decay": 20.0},
    "places count exp(-k / 30)": {**DECAY, "place_decay": 30.0},
    "places count exp(-k / 50)": {**DECAY, "place_decay": 50.0},
    "K/20 as a third list": {"place_weights": "three_lists"},
    "soft targets beside (weight .01)": {"soft_weight": 0.01},
    "soft targets beside (weight .1)": {"soft_weight": 0.1},
    "RCE-KD's own-list term (weight .05)": {**ALWAYS, "own_list_weight": 0.05},
    "RCE-KD's own-list term (weight .3)": {**ALWAYS, "own_list_weight": 0.3},
    "longer lists where teachers agree": {"agreement": "longer"},
    "shorter lists where teachers agree": {"agreement": "shorter"},
    "lists of 100": {"K": 100},
    "popularity discount .03": {"popularity_discount": 0.03},
    "base loss beside (weight .1)": {"base_loss_weight": 0.1},
    "weight decay 1e-5": {"weight_decay": 1e-5},
    "exp(-k / 30), weight decay 1e-5": {**DECAY, "place_decay": 30.0, "weight_decay": 1e-5},
    "exp(-k / 20), weight decay 1e-5": {**DECAY, "place_decay": 20.0, "weight_decay": 1e-5},
    "exp(-k / 30), weight decay 3e-5": {**DECAY, "place_decay": 30.0, "weight_decay": 3e-5},
    "exp(-k / 30), weight decay 1e-4": {**DECAY, "place_decay": 30.0, "weight_decay": 1e-4},
    "exp(-k / 30), weight decay 1e-5, lists of 100": {**DECAY, "place_decay": 30.0, "weight_decay": 1e-5, "K": 100},
}
REST: Mapping[str, Mapping[str, Any]] = {  # beside the defaults
    "the defaults": DECAY,
    **{f"the rest's mass with q {q}": {**DECAY, "rest_power": q} for q in (1.5, 2.0, 3.0)},
    **{f"the rest's log mass {shift:+}": {**DECAY, "rest_shift": shift} for shift in (-2.0, -1.0, 1.0)},
    "the rest's mass with q 2.0, log mass +1.0": {**DECAY, "rest_power": 2.0, "rest_shift": 1.0},
    "the rest's mass with q 3.0, log mass +2.0": {**DECAY, "rest_power": 3.0, "rest_shift": 2.0},
    "observed items count 2.0": {**DECAY, "observed_weight": 2.0},
    "BPR's loss beside the defaults (weight .1)": {**DECAY, "base_loss_weight": 0.1, "train_batch_size": 2048},
}
STEADY = {**DECAY, **ALWAYS, "own_list_every": 5}
OWN: Mapping[str, Mapping[str, Any]] = {  # the student's own list; none without a weight, as in "the defaults"
    "soft targets alone": {**DECAY, "order_weight": 0.0, "soft_weight": 1.0},
    "own list, weight 1, made every epoch": {**DECAY, **ALWAYS, "own_list_weight": 1.0},
    "own list, weight .3": {**STEADY, "own_list_weight": 0.3},
    "own list, weight 1": {**STEADY, "own_list_weight": 1.0},
    "own list, weight 3": {**STEADY, "own_list_weight": 3.0},
    "own list, weight 3, in place of the order": {**STEADY, "own_list_weight": 3.0, "order_weight": 0.0},
    "own list, weight 1, T 30": {**STEADY, "own_list_weight": 1.0, "own_list_decay": 30.0},
    "own list of 200, weight 1, T 30": {**STEADY, "own_list_weight": 1.0, "own_list_decay": 30.0, "own_length": 200},
    "own list, weight 1, made every 10 epochs": {**STEADY, "own_list_weight": 1.0, "own_list_every": 10},
    "own list, weight 1, from .3 on": {**STEADY, "own_list_weight": 1.0, "own_list_from": 0.3},
    "own list, weight 1, from .5 on": {**STEADY, "own_list_weight": 1.0, "own_list_from": 0.5},
    "own list, weight 5 by what it lacks": {**DECAY, "own_list_weight": 5.0, "own_list_from": 0.0},
    "own list, weight 10 by what it lacks": {**DECAY, "own_list_weight": 10.0, "own_list_from": 0.0},
    "own list, weight 5 by what it lacks, from .3 on": {**DECAY, "own_list_weight": 5.0, "own_list_from": 0.3},
    "own list, weight 5 by what it lacks, from .5 on": {**DECAY, "own_list_weight": 5.0},
    "own list, weight 10 by what it lacks, from .3 on": {**DECAY, "own_list_weight": 10.0, "own_list_from": 0.3},
    "own list, weight 10 by what it lacks, from .5 on": {**DECAY, "own_list_weight": 10.0},
    "own list, weight 20 by what it lacks, from .5 on": {**DECAY, "own_list_weight": 20.0},
}
IDEAS: Mapping[str, Mapping[str, Any]] = {BASE: {}, **TRAJECTORIES, **LESSON, **REST, **OWN}
COMPARED = "places count exp(-k / 30)"  # drawn beside the uses of trajectories
METRICS = ("recall@50", "ndcg@50", "recall@10", "ndcg@10")


def validated(
    dataset: str, dimension: int, seed: int, own: Mapping[str, Any], shared: Mapping[str, Any]
) -> list[float]:
    """Validation metrics of a student's best epoch, then the ensemble's first two."""
    fixed = {
        "embedding_size": dimension, "own_list_weight": 0.0, "compare_no_kd": False,
        "topk": [10, 50], "metrics": ["Recall", "NDCG"],
    }  # fmt: skip
    config = Config(model="Variant", dataset=dataset, config_dict={**fixed, **shared, **own})
    init_seed(config["seed"], config["reproducibility"])
    train, valid, _ = data_preparation(config, create_dataset(config))
    init_seed(seed, config["reproducibility"])
    model = get_model("Variant")(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], "Variant")(config, model)
    trainer.generator.manual_seed(seed)
    _, found = trainer.fit(train, valid, saved=False, show_progress=False)
    ensemble = trainer._list_metrics(trainer.knowledge.validated_ensemble, valid)
    return [float(found[metric]) for metric in METRICS] + [float(ensemble[metric]) for metric in METRICS[:2]]


def table(found: Mapping[str, Mapping[str, list[float]]]) -> pd.DataFrame:
    """A row an idea.

    >>> table({"a": {"1": [0.5, 0.4, 0.2, 0.3, 0.6, 0.5]}})["recall@50"].tolist()
    [0.5]
    """
    rows = []
    for idea, by_seed in found.items():
        values = np.array(list(by_seed.values()))
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
        rows.append(
            {"idea": idea, "seeds": len(values), **dict(zip(METRICS, values.mean(axis=0).round(4))),
             "s.d.": f"{spread[0]:.4f} / {spread[1]:.4f}",
             "ensemble": " / ".join(f"{value:.4f}" for value in values[:, 4:].mean(axis=0))}
        )  # fmt: skip
    return pd.DataFrame(rows)


def draw(found: Mapping[str, Mapping[str, Mapping[str, list[float]]]], file: Path) -> None:
    """What each use of trajectories adds to NDCG@50, a panel for each data set; bars: 95 % interval over seeds."""
    figure = Figure(figsize=(4.2 * len(found) + 3.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    shown = [*TRAJECTORIES, COMPARED]
    panels = figure.subplots(1, len(found), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (title, ideas) in zip(panels, found.items()):
        base = ideas[BASE]
        for place, name in enumerate(shown):
            both = ideas.get(name, {}).keys() & base.keys()
            gains = np.array([ideas[name][seed][1] - base[seed][1] for seed in both])
            if len(gains):
                half = t.ppf(0.975, len(gains) - 1) * sem(gains) if len(gains) > 1 else None
                look = {"color": "#0072b2" if name == COMPARED else "#d55e00", "marker": "o", "linestyle": "none"}
                axes.errorbar(gains.mean(), place, xerr=half, capsize=3, **look)
        axes.axvline(0.0, color="#000000", linewidth=0.8)
        seeds = max(len(by_seed) for by_seed in ideas.values())
        axes.set_title(f"{title}, {seeds} seed{'s' if seeds > 1 else ''}", loc="left", fontsize=11)
        axes.set_xlabel("validation NDCG@50 more than without")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x", color="#ececec")
    figure.axes[0].set_yticks(range(len(shown)), shown)
    figure.axes[0].invert_yaxis()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Train what is not in the file yet, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--dimension", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020, 2021, 2022, 2023, 2024])
    parser.add_argument("--ideas", nargs="+", default=list(IDEAS), choices=list(IDEAS), metavar="IDEA")
    parser.add_argument("--json", type=Path, default=Path("ideas.json"))
    parser.add_argument("--picture", type=Path)
    arguments, others = parser.parse_known_args()
    del sys.argv[1:]  # RecBole would let them win over an idea's own
    shared = {word.lstrip("-").split("=", 1)[0]: read_yaml(word.split("=", 1)[1]) for word in others}
    found = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    title = f"{arguments.dataset}, {arguments.dimension} dimensions"
    here = found.setdefault(title, {})
    for seed in arguments.seeds:
        for idea in arguments.ideas:
            if str(seed) not in here.setdefault(idea, {}):
                here[idea][str(seed)] = validated(arguments.dataset, arguments.dimension, seed, IDEAS[idea], shared)
                arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{title}\n{table(here).to_markdown(index=False)}")
    if arguments.picture:
        draw(found, arguments.picture)


if __name__ == "__main__":
    main()
