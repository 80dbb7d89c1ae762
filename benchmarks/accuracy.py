"""HetComp against its teachers, their ensemble and the same student alone, over several seeds.

    python benchmarks/accuracy.py --dataset ml-100k --seeds 2020 2021 2022 2023 2024 --output OUT

A seed decides split, initial weights and batches. Seeds that are done are not run again. Writes ``runs.csv`` (a row a
model and seed), ``summary.csv`` and ``summary.md`` (mean and sample standard deviation over seeds).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent


def run_seed(dataset: str, seed: int, folder: Path, settings: list[str]) -> dict:
    """Run the main job in its own process, unless its result is there; returns results.json."""
    result, cost = folder / "results.json", folder / "cost.json"
    if not (result.exists() and cost.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, str(ROOT / "run" / "run_recbole.py"), "--model=HetComp", f"--dataset={dataset}",
            f"--seed={seed}", f"--result_dir={folder.absolute()}", "--show_progress=False", *settings,
        ]  # fmt: skip
        with open(folder / "log.txt", "w", encoding="utf-8") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        cost.write_text(json.dumps({"peak_rss_mib_so_far": round(peak)}))
    return json.loads(result.read_text(encoding="utf-8"))


def main() -> None:
    """Run the seeds and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2020, 2021, 2022, 2023, 2024])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "accuracy" / "ml-100k")
    arguments, settings = parser.parse_known_args()
    lines = []
    for seed in arguments.seeds:
        found = run_seed(arguments.dataset, seed, arguments.output / f"seed-{seed}", settings)
        for row in found["rows"]:
            lines.append({"seed": seed, **{key: value for key, value in row.items() if key != "valid"}})
    runs = pd.DataFrame(lines)
    runs.to_csv(arguments.output / "runs.csv", index=False)
    summary = summarise(runs)
    summary.to_csv(arguments.output / "summary.csv", index=False)
    text = report(runs, summary)
    (arguments.output / "summary.md").write_text(text, encoding="utf-8")
    print(text)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation of every metric over seeds, a row a model."""
    metrics = [column for column in runs.columns if "@" in column] + ["share_of_ensemble", "seconds"]
    grouped = runs.groupby("name", sort=False)
    summary = grouped[["role", "parameters"]].first()
    for metric in metrics:
        summary[metric] = grouped[metric].mean()
        summary[f"{metric} s.d."] = grouped[metric].std()
    return summary.reset_index()


def report(runs: pd.DataFrame, summary: pd.DataFrame) -> str:
    """The summary as Markdown, with HetComp's gain over the student alone and its share of the ensemble, by seed."""
    metrics = [column for column in runs.columns if "@" in column]
    shown = summary[["name", "role", "parameters"]].copy()
    for metric in metrics:
        shown[metric] = [
            f"{mean:.4f} ± {spread:.4f}" for mean, spread in zip(summary[metric], summary[f"{metric} s.d."])
        ]
    values = {metric: runs.pivot(index="seed", columns="name", values=metric) for metric in metrics}
    compared = []
    for metric, by_seed in values.items():
        share = by_seed["HetComp"] / by_seed["TeacherEnsemble"]
        gain = by_seed["HetComp"] / by_seed["NoKD"] - 1
        teachers = by_seed[runs.loc[runs["role"] == "teacher", "name"].unique()]
        above = by_seed["TeacherEnsemble"] / teachers.max(axis=1) - 1
        compared.append(
            {
                "metric": metric,
                "HetComp / ensemble": f"{share.mean():.2%} ± {share.std():.2%}",
                "HetComp over NoKD": f"{gain.mean():+.2%} ± {gain.std():.2%}",
                "ensemble over its best teacher": f"{above.mean():+.2%} ± {above.std():.2%}",
            }
        )
    seeds = ", ".join(map(str, sorted(runs["seed"].unique())))
    return (
        f"Test split, mean ± sample s.d. over seeds {seeds}.\n\n{shown.to_markdown(index=False)}\n\n"
        f"{pd.DataFrame(compared).to_markdown(index=False)}\n"
    )


if __name__ == "__main__":
    main()
