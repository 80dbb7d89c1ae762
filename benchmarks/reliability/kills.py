"""Commands that are killed at random moments and started again end as if nothing had been.

    python benchmarks/reliability/kills.py --kills 200 --json FILE

A command is started, killed by SIGKILL after a random time, and started again, until it has been killed three times;
then it may end. What it leaves is compared with what an undisturbed one left: the table's metrics and history to the
last bit, a data set and an import byte for byte. On a tiny data set; SIGKILL cannot be handled, so nothing can be
tidied up.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMES_EACH = 3  # kills of one command before it may end
HETCOMP = [sys.executable, "-m", "recbole_hetcomp.cli"]


def _fuzz() -> Any:
    spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_words(data: Path, place: Path) -> list[str]:
    """A run with two teachers and a student of many short epochs, so that a kill hits each of them."""
    return [
        *HETCOMP, "run", "--dataset=tiny", f"--data_path={data}", "--K=20", "--K_D=10", "--K_prime=20", "--topk=[5]",
        "--valid_metric=Recall@5", "--teachers=[BPR,EASE]", "--teacher_config={BPR: {epochs: 40, eval_step: 5}}",
        "--epochs=300", "--eval_step=5", "--stopping_step=100", "--p=2",
        "--no_kd_config={epochs: 40, eval_step: 5, stopping_step: 100}",
        f"--store_dir={place / 'store'}", f"--result_dir={place / 'result'}", f"--checkpoint_dir={place / 'saved'}",
    ]  # fmt: skip


def run_outcome(place: Path) -> Any:
    """The table and the history, without times."""
    found = json.loads((place / "result" / "results.json").read_text(encoding="utf-8"))
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in found["rows"]]
    return rows, found["history"], found["teacher_epochs"]


def prepare_words(data: Path, place: Path) -> list[str]:
    """A preparation of a few thousand lines, over the data set of the last time."""
    raw = data / "raw.csv"
    if not raw.exists():
        lines = [f"u{user},i{(user * 7 + n * n) % 900}" for user in range(2000) for n in range(40)]
        raw.write_text("user_id,item_id\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return [
        *HETCOMP, "prepare", "--format", "table", "--input", str(raw), "--output", str(place / "data"),
        "--name", "mine", "--overwrite",
    ]  # fmt: skip


def prepare_outcome(place: Path) -> Any:
    """All files; the settings' file names the folder."""
    files = sorted((place / "data" / "mine").iterdir())
    left = [path.name for path in (place / "data").iterdir() if path.name != "mine"]
    return {file.name: file.read_bytes() for file in files if file.suffix != ".yaml"}, left


def import_words(data: Path, place: Path) -> list[str]:
    """An import of some 200,000 rows, in the place of the last one."""
    table = data / "rankings.csv"
    if not table.exists():
        rows = [f"u{user},i{item},{(user * 31 + item * 17) % 997}" for user in range(60) for item in range(120)]
        strangers = [f"x{user},i{item},{item}" for user in range(2000) for item in range(100)]
        table.write_text("user,item,score\n" + "\n".join(rows + strangers) + "\n", encoding="utf-8")
    return [
        *HETCOMP, "import-teacher", "--name=other", "--dataset=tiny", f"--data_path={data}", f"--table={table}",
        "--allow=unknown_user=1,seen=1,tie=1,short=1,absent=1", "--replace", "--any_split",
        f"--store_dir={place / 'store'}",
    ]  # fmt: skip


def import_outcome(place: Path) -> Any:
    """All files of the entry, but for when it was made; and that nothing else lies in the store."""
    files = [file for file in sorted((place / "store").rglob("*")) if file.is_file() and file.suffix != ".lock"]
    contents = {file.relative_to(place).as_posix(): file.read_bytes() for file in files if file.suffix != ".json"}
    return contents, sorted(file.relative_to(place).as_posix() for file in files)


def tune_words(data: Path, place: Path) -> list[str]:
    """A sweep of two trials, one after the other; resumed where it has begun."""
    sweep = place / "sweep"
    if (sweep / "sweep.json").exists():
        return [*HETCOMP, "tune", "--resume", f"--output={sweep}"]
    return [
        *HETCOMP, "tune", "--model=BPR", "--dataset=tiny", f"--data_path={data}", "--topk=[5]", "--seed=3",
        "--valid_metric=Recall@5", "--epochs=30", "--eval_step=2", "--num_samples=2", "--max_concurrent=1",
        f"--output={sweep}",
    ]  # fmt: skip


def tune_outcome(place: Path) -> Any:
    """The trials' settings and metrics, the best settings and its test metrics."""
    sweep = place / "sweep"
    with (sweep / "results.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    timed = ("trial", "seconds", "node", "folder", "error")  # Ray names trials at random
    trials = [{key: value for key, value in row.items() if key not in timed} for row in rows]
    tested = json.loads((sweep / "test.json").read_text(encoding="utf-8"))
    best = (sweep / "best.yaml").read_text(encoding="utf-8").splitlines()
    return (
        sorted(map(str, trials)),
        [line for line in best if not line.startswith("#")],
        tested.get("test") or sorted(tested),
    )


def benchmark_words(data: Path, place: Path) -> list[str]:
    """A method with two teachers and a baseline, one cell after the other."""
    config = data / "compare.yaml"
    text = {
        "dataset": "tiny",
        "data_path": str(data),
        "seeds": [1],
        "split_seed": 1,
        "workers": 1,
        "threads": 1,
        "settings": {"topk": [5], "valid_metric": "Recall@5"},
        "teachers": {"models": ["BPR", "EASE"], "settings": {"BPR": {"epochs": 20, "eval_step": 5}}},
        "students": {
            "settings": {"epochs": 40, "eval_step": 5, "K": 20, "K_D": 10, "K_prime": 20},
            "backbones": {"BPR": {"dimensions": [4]}},
            "methods": {"HetComp": {"settings": {"p": 2}}},
        },
        "baselines": {"Pop": {}},
    }
    config.write_text(json.dumps(text), encoding="utf-8")  # JSON is YAML
    return [*HETCOMP, "benchmark", f"--config={config}", f"--output={place / 'out'}"]


def benchmark_outcome(place: Path) -> Any:
    """The runs' metrics and settings, without what was timed."""
    with (place / "out" / "runs.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    timed = ("seconds", "latency", "rss", "cell", "settings")
    return [{key: value for key, value in row.items() if not any(word in key for word in timed)} for row in rows]


KINDS: dict[str, tuple[Callable[[Path, Path], list[str]], Callable[[Path], Any]]] = {
    "run": (run_words, run_outcome),
    "prepare": (prepare_words, prepare_outcome),
    "import": (import_words, import_outcome),
    "tune": (tune_words, tune_outcome),
    "benchmark": (benchmark_words, benchmark_outcome),
}


def kill_all(kills: int, seed: int, kinds: list[str]) -> dict[str, Counter[str]]:
    """Kill commands of each kind; how they ended."""
    draw, found = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        data = _fuzz().make_data(root / "data")
        for kind in kinds:
            words, outcome = KINDS[kind]
            started = time.monotonic()
            subprocess.run(words(data, root / kind), cwd=scratch, capture_output=True, check=True)
            seconds, wanted = time.monotonic() - started, outcome(root / kind)
            counts: Counter[str] = Counter()
            while counts["kills"] < kills // len(kinds):
                place = root / "again"
                shutil.rmtree(place, ignore_errors=True)
                for _ in range(TIMES_EACH):
                    process = subprocess.Popen(
                        words(data, place), cwd=scratch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                    )
                    time.sleep(draw.uniform(0.3, 1.0) * seconds)
                    counts["kills" if process.poll() is None else "ended before"] += 1
                    process.kill()
                    process.wait()
                ended = subprocess.run(words(data, place), cwd=scratch, capture_output=True, text=True, check=False)
                same = ended.returncode == 0 and outcome(place) == wanted
                counts["the same" if same else "ANOTHER"] += 1
                print(kind, dict(counts), flush=True)
                if not same:
                    print(kind, ended.returncode, ended.stderr[-500:])
            found[kind] = counts
    return found


def main() -> int:
    """Kill, print, and write the counts; status 1 if a command ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = kill_all(options.kills, options.seed, options.kinds)
    for kind, counts in found.items():
        print(kind, dict(counts))
    if options.json:
        options.json.write_text(json.dumps({"kills": options.kills, "seed": options.seed, "kinds": found}, indent=1))
    return 1 if any(counts["ANOTHER"] for counts in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
