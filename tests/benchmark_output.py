"""A made-up benchmark's folder as ``hetcomp benchmark`` writes it: what the report's tests read.

Users differ in how hard they are and methods in how good; a method's accuracy grows with the dimension towards its
ceiling, each seed adds its own noise. Nothing is trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

METRICS = ("recall@10", "ndcg@10", "recall@50", "ndcg@50")
SCALE = dict(zip(METRICS, (0.42, 0.30, 1.0, 0.49)))
TEACHERS = {"BPR": 0.216, "CML": 0.189, "NeuMF": 0.204, "LightGCN": 0.280, "MultiVAE": 0.217, "ItemVAE": 0.275}
BASELINES = {"Pop": 0.031, "ItemKNN": 0.228, "EASE": 0.246, "SimpleX": 0.251}
ENSEMBLE = 0.298
METHODS = {  # ceiling at many dimensions
    "NoKD": 0.196,
    "RD": 0.204,
    "CD": 0.216,
    "RRD": 0.268,
    "MTD": 0.281,
    "CLDRD": 0.284,
    "DCD": 0.259,
    "UnKD": 0.222,
    "RCEKD": 0.276,
    "HetComp": 0.303,
}
ABLATIONS = {
    "HetComp (no DKC)": 0.298,
    "HetComp (no ADKT: fine only)": 0.3015,
    "HetComp (no ADKT: coarse only)": 0.266,
    "HetComp (no observed items)": 0.2885,
    "HetComp (one pace for all)": 0.3028,
    "HetComp (no consistency)": 0.3031,
}


def write_benchmark(
    folder: Path,
    datasets: Sequence[str] = ("citeulike-t",),
    backbones: Sequence[str] = ("BPR",),
    dimensions: Sequence[int] = (6, 16, 32),
    seeds: Sequence[int] = (2021, 2022, 2023),
    n_users: int = 400,
    ablations: bool = True,
) -> None:
    """Write ``runs``, ``per_user``, ``curves``, ``plan.yaml``, ``tuning.csv`` and a data card."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    runs: list[dict[str, Any]] = []
    users: list[pd.DataFrame] = []
    curves: list[dict[str, Any]] = []
    for dataset in datasets:
        ease = random.beta(1.2, 2.2, n_users)
        ease /= ease.mean()
        for identity, level in _models(dataset, backbones, dimensions, seeds, ablations):
            values = _values(random, ease, level)
            runs.append({**identity, **_row(random, identity, values)})
            table = pd.DataFrame({**identity, "user": [f"u{n}" for n in range(n_users)], **values})
            users.append(table[[*identity, "user", *METRICS]])
            if identity["role"] == "student":
                curves += _curve(random, identity, runs[-1])
    table = pd.DataFrame(runs)
    table.to_csv(folder / "runs.csv", index=False)
    table.to_parquet(folder / "runs.parquet", index=False)
    pd.concat(users, ignore_index=True).to_parquet(folder / "per_user.parquet", index=False)
    pd.DataFrame(curves).to_parquet(folder / "curves.parquet", index=False)
    _write_plan(folder, datasets, seeds)


def _models(
    dataset: str, backbones: Sequence[str], dimensions: Sequence[int], seeds: Sequence[int], ablations: bool
) -> Iterator[tuple[dict[str, Any], float]]:
    """Identity and true level of recall@50 of every run."""
    once = {"dataset": dataset, "dimension": math.nan, "seed": seeds[0]}
    for name, level in TEACHERS.items():
        yield {"method": name, "role": "teacher", "backbone": name, **once}, level
    yield {"method": "TeacherEnsemble", "role": "ensemble", "backbone": "TeacherEnsemble", **once}, ENSEMBLE
    for name, level in BASELINES.items():
        for seed in seeds:
            yield {"method": name, "role": "baseline", "backbone": name, **once, "seed": seed}, level
    students = {**METHODS, **(ABLATIONS if ablations else {})}
    for backbone in backbones:
        for dimension in dimensions:
            for name, ceiling in students.items():
                loss = 1.9 if name == "NoKD" else 0.65
                for seed in seeds:
                    identity = {"method": name, "role": "student", "backbone": backbone, **once}
                    level = ceiling * (1 - loss / (dimension - 1)) if dimension > 2 else ceiling / 2
                    yield {**identity, "dimension": float(dimension), "seed": seed}, level


def _values(random: np.random.Generator, ease: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Metrics of each user: recall as hits among up to eight relevant items."""
    level = level * (1 + random.normal(0, 0.006))
    relevant = 1 + (ease * 1000).astype(int) % 8
    values = {}
    for metric in METRICS:
        chance = np.clip(level * SCALE[metric] * ease, 0, 0.98)
        hits = random.binomial(relevant, chance) / relevant
        values[metric] = hits * (1 if metric.startswith("recall") else random.uniform(0.85, 1, len(ease)))
    return values


def _row(random: np.random.Generator, identity: dict[str, Any], values: dict[str, np.ndarray]) -> dict[str, Any]:
    test = {metric: float(value.mean()) for metric, value in values.items()}
    student, method = identity["role"] == "student", identity["method"]
    size = 30_000 * (identity["dimension"] if student else 6 * 64 if method == "TeacherEnsemble" else 64)
    size = 0 if method == "Pop" else int(size)
    popular = 14 + 40 * max(0.0, 0.3 - test["recall@50"]) + random.normal(0, 0.5)
    overlap = 1.0 if method == "TeacherEnsemble" else min(0.95, 2.4 * test["recall@50"])
    known = {"valid_metric": "Recall@50", "learner": "adam", "seed": identity["seed"], "topk": [10, 50]}
    own = {"learning_rate": 0.005, "lambda": 0.1 * (1 + len(method) % 4)} if student else {}
    return {
        **{f"valid_{metric}": value * 0.98 for metric, value in test.items()},
        **test,
        "parameters": size,
        "bytes": 4 * size,
        "train_seconds": 20 + size / 20_000 + 5 * abs(random.normal()),
        "latency_ms": 0.4 + size / 2e6,
        "latency_p95_ms": 0.6 + size / 2e6,
        "users_per_second": 1e9 / (1e4 + size),
        "epochs": 120,
        "averagepopularity@50": popular,
        "popularitylift@50": popular / 12.5 - 1,
        "itemcoverage@50": 0.55 - 0.01 * popular,
        "giniindex@50": 0.6 + 0.01 * popular,
        "overlap@50": overlap,
        "discrepancy@50": 1 - overlap,
        "settings": json.dumps({**known, **own}),
    }


def _curve(random: np.random.Generator, identity: dict[str, Any], run: dict[str, Any]) -> list[dict[str, Any]]:
    """Validation every ten epochs; HetComp starts more slowly, as easy knowledge comes first."""
    named = {key: value for key, value in identity.items() if key != "role"}
    ours, best = identity["method"].startswith("HetComp"), run["valid_recall@50"]
    pace = {"HetComp": 34.0, "NoKD": 18.0}.get(identity["method"], 22.0 + len(identity["method"]))
    lines = []
    for epoch in range(9, 120, 10):
        done = 1 - math.exp(-epoch / pace)
        share = min(1.0, max(0.0, (epoch - 15) / 60)) if ours and "no DKC" not in identity["method"] else math.nan
        lines.append(
            {
                **named,
                "epoch": epoch,
                "valid": best * done + random.normal(0, 0.0008),
                "loss": 5 * (1 - done) + 1,
                "discrepancy": 0.9 - 0.6 * done if ours else math.nan,
                "share_last": share,
            }
        )
    return lines


def _write_plan(folder: Path, datasets: Sequence[str], seeds: Sequence[int]) -> None:
    plan = {
        "plan": {
            "dataset": datasets[0],
            "seeds": list(seeds),
            "tuning": {"trials": 12, "search": "random"},
            "data_path": "/home/somebody/data",
        },
        "versions": {"python": "3.11.9", "recbole": "1.2.1", "torch": "2.1.0"},
        "command": ["hetcomp", "benchmark", "--config", "citeulike", "--output", "results"],
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    trials = [{"method": name, "trial": trial, "valid": 0.2} for name in METHODS for trial in range(12)]
    pd.DataFrame(trials).to_csv(folder / "tuning.csv", index=False)
    (folder / "data").mkdir(exist_ok=True)
    card = {
        "users": 5219,
        "items": 25181,
        "density": 0.000918,
        "splits": {"train": 78958, "valid": 20823, "test": 20823},
    }
    (folder / "data" / f"{datasets[0]}.card.json").write_text(json.dumps(card), encoding="utf-8")
