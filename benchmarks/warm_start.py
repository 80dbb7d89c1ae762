"""A warm start against training from scratch, slice by slice of a data set that is ordered by time.

    python benchmarks/warm_start.py --dataset ml-100k --seeds 2020 --output OUT

As Continual Collaborative Distillation (Lee et al., KDD 2024) sets it up: the first half of the interactions is there
at the beginning, then come five slices of a tenth each, with the users and items that are in them. After each slice
teachers and student are trained on all that has arrived, once from scratch and once from the weights of the slice
before, which were warm themselves. An interaction is of the training, validation or test part for good (60/20/20, by
the seed), so that nothing that is tested was trained on at an earlier slice; all that has arrived is tested.

Each run is a command of its own, ``hetcomp run``. Seconds are of the processor, user and system, of the whole command;
and as the run's table has them, of teachers and student. Runs that are done are not run again. Writes ``runs.csv`` (a
row a run and model) and ``summary.md``. Further words are settings of all runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
BASE, SLICES = 0.5, 5
PARTS = {"train": 0.6, "valid": 0.2, "test": 0.2}
METRICS = ("recall@50", "ndcg@50")


def interactions(dataset: str, data_path: Path | None) -> pd.DataFrame:
    """All interactions of a data set in RecBole's atomic form, by time; those of one time in the order of the file."""
    if data_path is None:
        import recbole

        data_path = Path(recbole.__file__).parent / "dataset_example"
    files = sorted((data_path / dataset).glob(f"{dataset}*.inter"))
    if not files:
        raise FileNotFoundError(f"{data_path / dataset} has no {dataset}*.inter")
    found = pd.concat([pd.read_csv(file, sep="\t", dtype=str) for file in files], ignore_index=True)
    user, item, time = (next(c for c in found if c.startswith(name)) for name in ("user_id", "item_id", "timestamp"))
    found = found[[user, item, time]].set_axis(["user_id:token", "item_id:token", "timestamp:float"], axis=1)
    order = found["timestamp:float"].astype(float).argsort(kind="stable")
    return found.iloc[order].reset_index(drop=True)


def write_slices(found: pd.DataFrame, dataset: str, seed: int, folder: Path) -> list[Path]:
    """Write what has arrived after each slice, as RecBole's three files; the ``data_path`` of each slice."""
    draw = np.random.default_rng(seed).random(len(found))
    part = np.searchsorted(np.cumsum(list(PARTS.values()))[:-1], draw, side="right")
    ends = [round(len(found) * (BASE + (1 - BASE) * number / SLICES)) for number in range(SLICES + 1)]
    places = []
    for number, end in enumerate(ends):
        place = folder / f"slice-{number}"
        (place / dataset).mkdir(parents=True, exist_ok=True)
        for which, name in enumerate(PARTS):
            arrived = found[:end][part[:end] == which]
            arrived.to_csv(place / dataset / f"{dataset}.{name}.inter", sep="\t", index=False)
        places.append(place)
    return places


def run(folder: Path, dataset: str, data_path: Path, seed: int, settings: list[str]) -> tuple[dict, Path]:
    """Run a command in its own process, unless its result is there; results.json with the seconds, the checkpoint."""
    result, cost = folder / "results.json", folder / "cost.json"
    if not (result.exists() and cost.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "recbole_hetcomp.cli", "run", f"--dataset={dataset}", f"--data_path={data_path}",
            "--benchmark_filename=[train, valid, test]", f"--seed={seed}", f"--result_dir={folder.absolute()}",
            f"--checkpoint_dir={folder.absolute()}", "--show_progress=False", "--compare_no_kd=False",
            "--keep_teachers=True", *settings,
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(folder / "log.txt", "w", encoding="utf-8") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cost.write_text(json.dumps({"processor_seconds": round(seconds, 1)}))
    content = json.loads(result.read_text(encoding="utf-8"))
    return {**content, **json.loads(cost.read_text(encoding="utf-8"))}, next(folder.glob(f"{dataset}-*.pth"))


def run_seed(dataset: str, found: pd.DataFrame, seed: int, output: Path, settings: list[str]) -> list[dict]:
    """All runs of a seed; a row a run and model."""
    output = output.absolute()
    dataset = f"{dataset}-by-time"  # RecBole looks for ml-100k nowhere but in itself
    places = write_slices(found, dataset, seed, output / "data")
    store = f"--store_dir={output / 'store'}"
    first, yesterday = run(output / "slice-0-scratch", dataset, places[0], seed, [store, *settings])
    lines = rows(first, seed, 0, "scratch")
    for number, place in enumerate(places[1:], start=1):
        folders = {kind: output / f"slice-{number}-{kind}" for kind in ("scratch", "warm")}
        scratch, _ = run(folders["scratch"], dataset, place, seed, [store, *settings])
        words = [f"--warm_start={yesterday}", store, *settings]
        warm, yesterday = run(folders["warm"], dataset, place, seed, words)
        lines += rows(scratch, seed, number, "scratch") + rows(warm, seed, number, "warm")
    return lines


def rows(content: dict, seed: int, number: int, kind: str) -> list[dict]:
    """A run's models, with the seconds of the whole run."""
    training = sum(row["seconds"] for row in content["rows"] if row["role"] != "ensemble")
    whole = {"training": training, "processor": content["processor_seconds"]}
    found = []
    for row in content["rows"]:
        tested = {metric: row[metric] for metric in METRICS}
        validated = {f"valid {metric}": row["valid"][metric] for metric in METRICS}
        found.append(
            {"seed": seed, "slice": number, "start": kind, "model": row["name"], "role": row["role"]}
            | tested | validated | {"seconds": row["seconds"]} | whole
        )  # fmt: skip
    return found


def summarise(runs: pd.DataFrame, split: str = "") -> pd.DataFrame:
    """A row a slice and model that counts: warm and scratch, mean over seeds, and warm by scratch."""
    shown = runs[runs["role"].isin(["ensemble", "student"])]
    columns = [*(f"{split}{metric}" for metric in METRICS), "training", "processor"]
    mean = shown[shown["slice"] > 0].groupby(["slice", "role", "start"])[columns].mean().unstack("start")
    table = pd.DataFrame(index=mean.index)
    for column in columns:
        scratch, warm = mean[column, "scratch"], mean[column, "warm"]
        digits = "{:.4f}" if "@" in column else "{:.1f}"
        table[f"{column} scratch"], table[f"{column} warm"] = scratch.map(digits.format), warm.map(digits.format)
        table[f"{column} warm / scratch"] = (warm / scratch).map("{:.1%}".format)
    return table.reset_index()


def main() -> None:
    """Run the seeds and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", type=Path, help="Folder of the data set's folder; RecBole's own if not given.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020])
    parser.add_argument("--output", type=Path, required=True)
    arguments, settings = parser.parse_known_args()
    found = interactions(arguments.dataset, arguments.data_path)
    lines = []
    for seed in arguments.seeds:
        lines += run_seed(arguments.dataset, found, seed, arguments.output / f"seed-{seed}", settings)
        runs = pd.DataFrame(lines)
        runs.to_csv(arguments.output / "runs.csv", index=False)
    seeds = ", ".join(map(str, arguments.seeds))
    text = f"Test part, mean over seeds {seeds}.\n\n{summarise(runs).to_markdown(index=False)}\n"
    text += f"\nValidation part.\n\n{summarise(runs, 'valid ').to_markdown(index=False)}\n"
    (arguments.output / "summary.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
