"""What a sweep costs and what it survives, on ml-100k and this machine.

    python benchmarks/tune.py schedule --output OUT     # 16 HetComp trials with ASHA and without a scheduler
    python benchmarks/tune.py overhead --output OUT     # a trial against the same run outside of Ray
    python benchmarks/tune.py faults --output OUT --times 5     # driver, trial and node killed at random moments

Each writes OUT/<name>.json and prints it. Everything runs in processes of its own, so it needs a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-c", "import sys; from recbole_hetcomp.cli import main; sys.exit(main())"]
CHEAP = {"teachers": ["EASE", "ItemKNN"], "quality_weighting": 0.0, "eval_step": 2}
TRIALS, EPOCHS = 3, 16  # of a sweep that is disturbed
VALIDATIONS = TRIALS * EPOCHS // CHEAP["eval_step"]  # type: ignore[operator]
LIMIT = 3600.0  # seconds after which something hangs


def environment() -> dict[str, str]:
    """One thread a process, this checkout's package, and workers of Ray no nicer than other processes."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}


def start(words: list[str], log: Path) -> subprocess.Popen:
    """A command of the package in a process group of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        return subprocess.Popen(
            [*COMMAND, *words], env=environment(), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def tune_words(output: Path, settings: dict[str, Any], *more: str) -> list[str]:
    """Arguments of a sweep with settings in a file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    file = output.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ["tune", "--dataset", "ml-100k", "--config_files", str(file), "--output", str(output), *more]


def finished(process: subprocess.Popen) -> float:
    """Wait for a process; its seconds.

    Raises:
        RuntimeError: it has failed.
    """
    started = time.perf_counter()
    if process.wait(LIMIT) != 0:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    return time.perf_counter() - started


def results(output: Path) -> pd.DataFrame:
    """A sweep's table."""
    return pd.read_csv(output / "results.csv")


def trained_lines(log: Path) -> list[str]:
    """What a sweep's log says of teachers that were trained."""
    return [line for line in log.read_text(encoding="utf-8").splitlines() if ": trained in" in line]


# --- ASHA against no scheduler ---


def schedule(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same 16 trials with ASHA and without, over one store; teachers are trained by the first."""
    settings = {"store_dir": str((folder / "store").absolute()), "teachers": arguments.teachers}
    found: dict[str, Any] = {"trials": arguments.trials, "epochs": arguments.epochs, "teachers": arguments.teachers}
    logs = {}
    for name in ("teachers", "none", "asha"):
        output, logs[name] = folder / f"schedule-{name}", folder / f"schedule-{name}.log"
        if name == "teachers":  # trained before the clock starts
            words = tune_words(output, settings, "--num_samples", "1", "--epochs", "10", "--seed", "2020")
        else:
            words = tune_words(
                output, settings, "--scheduler", name, "--num_samples", str(arguments.trials),
                "--epochs", str(arguments.epochs), "--seed", "2020",
            )  # fmt: skip
        seconds = finished(start(words, logs[name]))
        if name != "teachers":
            table = results(output)
            best = table.loc[table.winner].iloc[0]
            found[name] = {
                "seconds": round(seconds, 1),
                "trial_seconds": round(float(table.seconds.sum()), 1),
                "epochs": int(table.epochs.sum()),
                "best": float(best["best Recall@50"]),
                "trial": int(str(best.trial).split("_")[1]),
                "statuses": table.status.value_counts().to_dict(),
            }
    found["teachers_trained"] = {name: len(trained_lines(log)) for name, log in logs.items()}
    found["time_ratio"] = round(found["asha"]["seconds"] / found["none"]["seconds"], 3)
    found["trial_time_ratio"] = round(found["asha"]["trial_seconds"] / found["none"]["trial_seconds"], 3)
    found["best_ratio"] = round(found["asha"]["best"] / found["none"]["best"], 4)
    return found


# --- overhead ---


def overhead(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A trial's seconds and memory against the same run outside of Ray: run_recbole on the sweep's best.yaml."""
    settings = {**CHEAP, "store_dir": str((folder / "store").absolute()), "epochs": 30, "compare_no_kd": False}
    rows = []
    for number in range(arguments.times):
        output = folder / f"overhead-{number}"
        words = tune_words(output, settings, "--num_samples", "1", "--scheduler", "none", "--seed", str(number))
        sweep = start(words, folder / f"overhead-{number}.log")
        inside = watch_trial(sweep, output)
        finished(sweep)
        command = ["run", "--model", "HetComp", "--config_files", str(output / "best.yaml")]
        command += [
            "--show_progress=False",
            f"--result_dir={output / 'outside'}",
            f"--checkpoint_dir={output / 'outside'}",
        ]
        outside = watch(start(command, folder / f"overhead-{number}-outside.log"))
        rows.append(
            {
                "trial_seconds": inside["seconds"],
                "outside_seconds": outside["seconds"],
                "trial_mib": inside["mib"],
                "outside_mib": outside["mib"],
                "same_validation": same_validation(output),
            }
        )
    frame = pd.DataFrame(rows)
    return {
        "runs": rows,
        "seconds_over": round(float((frame.trial_seconds - frame.outside_seconds).median()), 2),
        "mib_over": round(float((frame.trial_mib - frame.outside_mib).median()), 1),
        "same_validation": bool(frame.same_validation.all()),
    }


def same_validation(output: Path) -> bool:
    """Whether the run outside of Ray has validated as the winner did, to the last digit."""
    outside = json.loads((output / "outside" / "results.json").read_text(encoding="utf-8"))["rows"][-1]["valid"]
    winner = results(output).loc[lambda table: table.winner].iloc[0]
    return all(value == winner[f"valid {name}"] for name, value in outside.items())


def watch(process: subprocess.Popen) -> dict[str, float]:
    """Seconds and peak memory of a process."""
    started, peak, seen = time.perf_counter(), 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, _mib(seen))
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    return {"seconds": round(time.perf_counter() - started, 2), "mib": round(peak, 1)}


def watch_trial(sweep: subprocess.Popen, output: Path) -> dict[str, float]:
    """Seconds and peak memory of a sweep's only trial: from its worker's start to its end."""
    peak, begun, pid = 0.0, None, None
    while sweep.poll() is None:
        for worker in ray_workers(sweep, "ImplicitFunc"):
            if pid is None:
                pid, begun = worker.pid, worker.create_time()
            if worker.pid == pid:
                peak = max(peak, _mib(worker))
        if pid is not None and list(output.glob("trials/*/finished.json")):
            break
        time.sleep(0.05)
    if begun is None:
        raise RuntimeError("no trial was seen")
    (marker,) = output.glob("trials/*/finished.json")
    return {"seconds": round(marker.stat().st_mtime - begun, 2), "mib": round(peak, 1)}


def _mib(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0


def ray_workers(sweep: subprocess.Popen, what: str) -> list[psutil.Process]:
    """Workers of a sweep on a local Ray whose titles say that they run something."""
    found = []
    try:
        for child in psutil.Process(sweep.pid).children(recursive=True):
            if what in " ".join(child.cmdline()) and child.cmdline()[0].startswith("ray::"):
                found.append(child)
    except (psutil.Error, IndexError):
        pass  # one of them has just ended
    return found


# --- faults ---


def faults(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Sweeps whose driver, a trial or a node is killed at a random moment, against an undisturbed one."""
    settings = {**CHEAP, "store_dir": str((folder / "store").absolute()), "epochs": EPOCHS}
    options = ["--num_samples", str(TRIALS), "--scheduler", "none", "--seed", "1", "--max_failures", "5"]
    calm = folder / "calm"
    seconds = finished(start(tune_words(calm, settings, *options), folder / "calm.log"))
    expected, randomness = scores(calm), random.Random(arguments.seed)
    kinds = {"driver": kill_driver, "trial": kill_trial, "node": kill_node}
    found: dict[str, Any] = {"undisturbed_seconds": round(seconds, 1), **{kind: [] for kind in kinds}}
    for number in range(arguments.times):
        for kind, disturb in kinds.items():
            output = folder / f"{kind}-{number}"
            store = folder / f"store-{kind}-{number}"  # of its own: a teacher may be hit as well
            after = randomness.randrange(VALIDATIONS)
            words = tune_words(output, {**settings, "store_dir": str(store.absolute())}, *options)
            hit = disturb(words, output, after)
            row = {"after": after, "hit": hit, **judge(output, store, expected)}
            found[kind].append(row)
            print(kind, number, row, flush=True)
    found["passed"] = {kind: sum(all(row[check] for check in CHECKS) for row in found[kind]) for kind in kinds}
    return found


CHECKS = ("complete", "same_results", "once_to_the_end", "store_sound")


def scores(output: Path) -> list[tuple[float, float, int]]:
    """What a sweep has found, without names of trials."""
    table = results(output)
    return sorted(zip(table.learning_rate, table["best Recall@50"], table.epochs))


def judge(output: Path, store: Path, expected: list) -> dict[str, bool]:
    """Whether a disturbed sweep is what it should be."""
    table = results(output)
    return {
        "complete": bool((table.status == "finished").all()) and (output / "test.json").exists(),
        "same_results": scores(output) == expected,
        "once_to_the_end": all(_ends(file) == 1 for file in output.glob("trials/*/trial.log")),
        "store_sound": subprocess.run(
            [*COMMAND, "store", f"--store_dir={store}"], env=environment(), capture_output=True, check=False
        ).returncode == 0,
    }  # fmt: skip


def _ends(log: Path) -> int:
    """How often a trial was trained to its end."""
    return log.read_text(encoding="utf-8").count("best valid")


def wait_for(sweep: subprocess.Popen, output: Path, after: int) -> bool:
    """Wait for a moment of a sweep; whether it came before the sweep had ended.

    Args:
        sweep: the sweep.
        output: its folder.
        after: validations of all its trials that are there by then; 0 is while the teachers train.
    """
    log = output.with_suffix(".log")
    while sweep.poll() is None:
        seen = sum(len(file.read_text().splitlines()) for file in output.glob("trials/*/result.json"))
        if (seen >= after) if after else "in parallel where they fit" in log.read_text(encoding="utf-8"):
            time.sleep(random.uniform(0.0, 1.0))
            return sweep.poll() is None
        time.sleep(0.02)
    return False


def kill_driver(words: list[str], output: Path, after: int) -> str:
    """SIGKILL to the driver, then --resume."""
    log = output.with_suffix(".log")
    sweep = start(words, log)
    if not wait_for(sweep, output, after):
        return "nothing: it had ended"
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    finished(start(["tune", "--resume", "--output", str(output)], log))
    return f"driver {sweep.pid}"


def kill_trial(words: list[str], output: Path, after: int) -> str:
    """SIGKILL to a worker that runs a trial, or to one that trains a teacher."""
    sweep = start(words, output.with_suffix(".log"))
    while wait_for(sweep, output, after):
        workers = ray_workers(sweep, "ImplicitFunc" if after else "teacher")
        if workers:
            victim = random.choice(workers)
            victim.kill()
            finished(sweep)
            return f"worker {victim.pid}"
    return "nothing: it had ended"


def kill_node(words: list[str], output: Path, after: int) -> str:
    """A cluster of a head and two nodes, one of which is killed."""
    os.environ.update(environment())
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    try:
        sweep = start([*words, "--address", cluster.address], output.with_suffix(".log"))
        if not wait_for(sweep, output, after):
            return "nothing: it had ended"
        cluster.remove_node(nodes[0], allow_graceful=False)
        if sweep.wait(LIMIT) == 0:
            return "node"
        # Ray attaches a driver to any node of its machine, so the driver's own may have been hit.
        again = ["tune", "--resume", "--output", str(output), "--address", cluster.address]
        finished(start(again, output.with_suffix(".log")))
        return "node, and with it the driver"
    finally:
        cluster.shutdown()


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("schedule", "overhead", "faults"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--times", type=int, default=5, help="repetitions of overhead, and of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' moments")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument(
        "--teachers", nargs="+", default=["EASE", "ItemKNN"], help="of the sweeps with and without ASHA"
    )
    arguments = parser.parse_args()
    folder = arguments.output.absolute()
    found = {"schedule": schedule, "overhead": overhead, "faults": faults}[arguments.what](folder, arguments)
    text = json.dumps(found, indent=2)
    (folder / f"{arguments.what}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
