"""Random settings for every command: each is to be a clear error before any training, or a sensible run.

    python benchmarks/reliability/fuzz.py --cases 1000 --json FILE

A case is one command with one setting of a random kind: valid, at the edge, of a wrong type, absurd, or misspelt. It
runs in a process that is forked from one that has imported everything, on a tiny data set. It is good if it ends within
ten seconds and either is refused, in one line that names the setting, before a model is trained, or ends well with
finite metrics. All else is printed. A sweep is not run but planned: Ray alone takes longer.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 10
TRAINED = ("trained in", "training [", "epoch 0, ")
FIXED = [
    "--K=20", "--K_D=10", "--K_prime=20", "--topk=[5]", "--valid_metric=Recall@5", "--teachers=[EASE,BPR]",
    "--teacher_config={BPR: {epochs: 2, eval_step: 1}}", "--epochs=2", "--eval_step=1", "--p=1",
    "--no_kd_config={epochs: 2, eval_step: 1}",
]  # fmt: skip
COMMANDS = ("run", "run_recbole", "teachers", "tune", "benchmark", "baseline", "method")
METHODS = ("RD", "CD", "RRD", "MTD", "CLDRD", "DCD", "UnKD", "RCEKD", "NoKD")
BASELINES = ("BPR", "LightGCN", "NeuMF", "MultiVAE", "EASE", "ItemKNN", "CML", "ItemVAE")
NESTED = ("no_kd_config", "student_config", "teacher_config.BPR", "eval_args", "train_neg_sample_args")
VALUES: dict[str, list[str]] = {
    "numbers": [
        "0",
        "1",
        "2",
        "-1",
        "0.5",
        "1.5",
        "1e-3",
        "1e30",
        "-1e30",
        "nan",
        "inf",
        "-inf",
        "99999999999",
        "1e-300",
    ],
    "words": ["text", "None", "null", "~", "True", "false", "yes", "Recall", "recall@5", "full", "uni5", "''", " "],
    "lists": ["[]", "[1]", "[1,2]", "[a,b]", "[[1]]", "[0]", "[-1]", "[nan]", "(1,2)", "[None]"],
    "mappings": ["{}", "{a: 1}", "{1: 2}", "{split: 1}", "{split: {RS: [1]}}", "{mode: uni5}", "{BPR: {epochs: 0}}"],
    "odd": ["[", "{", ":", "=", "a=b", "__import__('os')", "%s", "\u00e4\u00f6", "../x", "/", "-", "--", "1;2", "1,2"],
}


def names() -> list[str]:
    """Every setting of the package and of RecBole."""
    from recbole.utils.argument_list import evaluation_arguments, training_arguments

    from recbole_hetcomp.settings import HetCompSettings

    more = ["seed", "reproducibility", "worker", "shuffle", "show_progress", "use_gpu", "embedding_size", "nproc"]
    return sorted({*HetCompSettings.names(), *training_arguments, *evaluation_arguments, *more})


def misspelt(name: str, draw: random.Random) -> str:
    """A name with one letter dropped, doubled or swapped."""
    place = draw.randrange(1, len(name)) if len(name) > 1 else 0
    how = draw.choice(("drop", "double", "swap"))
    if how == "drop":
        return name[:place] + name[place + 1 :]
    if how == "double":
        return name[:place] + name[place - 1] + name[place:]
    return name[: place - 1] + name[place] + name[place - 1] + name[place + 1 :]


def draw_case(number: int, seed: int) -> tuple[str, str, str]:
    """Command, setting and value of a case."""
    draw = random.Random(f"{seed}/{number}")
    name = draw.choice(names())
    if draw.random() < 0.15:
        name = misspelt(name, draw)
    if draw.random() < 0.2:
        name = f"{draw.choice(NESTED)}.{name}"
    return draw.choice(COMMANDS), name, draw.choice(VALUES[draw.choice(list(VALUES))])


def words_of(case: tuple[str, str, str], number: int, data: Path, folder: Path) -> tuple[Callable[..., int], list[str]]:
    """The function and the words of a case's command line."""
    from recbole_hetcomp.cli import main, run_recbole_main

    command, name, value = case
    places = [
        f"--data_path={data}", "--dataset=tiny", f"--store_dir={folder / 'store'}",
        f"--result_dir={folder / 'result'}", f"--checkpoint_dir={folder / 'saved'}",
    ]  # fmt: skip
    top, *rest = name.split(".", 1)
    if rest:
        *parents, last = rest[0].split(".")
        text = f"{{{last}: {value}}}"
        for parent in reversed(parents):
            text = f"{{{parent}: {text}}}"
        given = f"--{top}={text}"
    else:
        given = f"--{name}={value}"
    fixed = [word for word in FIXED if not word.startswith(f"--{top}=")]
    places = [word for word in places if not word.startswith(f"--{top}=")]
    if command == "run_recbole":
        return run_recbole_main, ["--model=HetComp", *places, *fixed, given]
    if command == "run":
        return main, ["run", "--model=HetComp", *places, *fixed, given]
    if command == "method":
        return main, ["run", f"--model={METHODS[number % len(METHODS)]}", *places, *fixed, given]
    if command == "baseline":
        kept = [word for word in fixed if word.startswith(("--topk", "--valid_metric", "--epochs", "--eval_step"))]
        model = BASELINES[number % len(BASELINES)]
        return run_recbole_main, [f"--model={model}", "--metrics=[Recall]", *places, *kept, given]
    if command == "teachers":
        return main, ["teachers", *places, *fixed, given]
    if command == "tune":
        return main, ["tune", "--model=HetComp", f"--output={folder / 'sweep'}", *places, *fixed, given]
    config = folder / "compare.yaml"
    config.write_text(f"extends: smoke\ndataset: tiny\ndata_path: {json.dumps(str(data))}\n", encoding="utf-8")
    return main, ["benchmark", f"--config={config}", f"--output={folder / 'out'}", "--dry_run", "--set",
                  f"settings.{name}={value}"]  # fmt: skip


def make_data(folder: Path) -> Path:
    """A data set of 60 users and 120 items."""
    draw = random.Random(1)
    (folder / "tiny").mkdir(parents=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(60):
        for time_, item in enumerate(draw.sample(range(120), 20)):
            lines.append(f"u{user}\ti{min(item, draw.randrange(120))}\t{time_}")
    (folder / "tiny" / "tiny.inter").write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")
    return folder


def run_case(case: tuple[str, str, str], number: int, data: Path, folder: Path) -> dict[str, Any]:
    """Run a case in a child of this process; what came of it."""
    folder.mkdir(parents=True)
    function, words = words_of(case, number, data, folder)
    output, started = folder / "output.txt", time.monotonic()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            handle = os.open(output, os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))  # not a test's
            os.chdir(folder)
            os.setsid()
            if case[0] == "tune":
                _plan_only()
            status = function(words)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    while time.monotonic() - started < SECONDS:
        ended, wait_status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return _judged(case, words, None, output, folder)
    return _judged(case, words, os.waitstatus_to_exitcode(wait_status), output, folder)


def _plan_only() -> None:
    import recbole_hetcomp.tune.sweep as sweep

    def planned(plan: Any, **_: Any) -> Any:
        return sweep.SweepResult((), object(), True, Path("."))  # type: ignore[arg-type]

    sweep.run_sweep = planned


def _judged(case: tuple, words: list[str], status: int | None, output: Path, folder: Path) -> dict[str, Any]:
    text = output.read_text(encoding="utf-8", errors="replace")
    name = case[1].split(".")[-1]
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    verdict = "BAD"
    if status == 0:
        found = folder / "result" / "results.json"
        rows = json.loads(found.read_text())["rows"] if found.exists() else []
        numbers = [value for row in rows for key, value in row.items() if "@" in key]
        sensible = all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in numbers)
        verdict = "ran" if sensible and "Traceback" not in text else "BAD"
    elif status in (1, 2) and len(errors) == 1 and "Traceback" not in text:
        named = name.rstrip("s") in errors[0] or case[1].split(".")[0] in errors[0] or "not understood" in errors[0]
        untrained = not any(word in text for word in TRAINED)
        verdict = "refused" if named and untrained else "BAD"
    return {
        "case": list(case), "status": status, "verdict": verdict, "error": errors[:1],
        "tail": text[-600:] if verdict == "BAD" else "", "words": words if verdict == "BAD" else [],
    }  # fmt: skip


def fuzz(cases: range, seed: int, say: Callable[[str], Any] = print) -> list[dict[str, Any]]:
    """Run cases; their verdicts."""
    import recbole.quick_start
    import torch

    import recbole_hetcomp
    import recbole_hetcomp.comparison.runner
    import recbole_hetcomp.tune.sweep  # noqa: F401

    assert recbole.quick_start
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(Path(scratch) / "data")
        for number in cases:
            result = run_case(draw_case(number, seed), number, data, Path(scratch) / str(number))
            found.append({"number": number, **result})
            if result["verdict"] == "BAD":
                say(f"{number} {result['case']} status {result['status']} {result['error']}\n{result['tail'][-300:]}\n")
    return found


def main() -> int:
    """Run the fuzz and write its summary; status 1 if a case was bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.monotonic()
    found = fuzz(range(options.first, options.first + options.cases), options.seed)
    counts = Counter(result["verdict"] for result in found)
    print(dict(counts), f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"cases": options.cases, "seed": options.seed, **counts}, indent=1) + "\n")
    return 1 if counts["BAD"] else 0


if __name__ == "__main__":
    sys.exit(main())
