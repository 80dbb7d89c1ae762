"""Every RecBole model trains, is evaluated and read back, on this installation: the table of docs/compatibility.md.

    python benchmarks/compatibility.py run out/current.json       # in each stack's environment
    python benchmarks/compatibility.py write out/current.json out/pinned.json

The data are ml-100k's first 120 users with all features and the knowledge graph; one epoch, seed 2020, the models' own
defaults but smaller batches of evaluation. What is compared between stacks is the test Recall@10.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import recbole
import yaml

import recbole_hetcomp  # noqa: F401  (the shims)

USERS = 120
SECONDS = 900  # of a model at most
FAMILIES = ("general", "sequential", "context_aware", "knowledge_aware")
VERSIONS = ("torch", "numpy", "scipy", "pandas", "ray")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "compatibility.md"
MARK = "<!-- the table below is written by benchmarks/compatibility.py -->"
WITH_FEATURES = ("GRU4RecF", "SASRecF", "FDSA", "S3Rec", "DIN", "DIEN")
WITH_VECTORS = ("GRU4RecKG", "KSR")
EMBEDDING = 16  # of the entities that two models take from a file


def make_data(folder: Path) -> None:
    """ml-100k's first users in a folder, and vectors of its items for the models that take such."""
    source = Path(recbole.__file__).parent / "dataset_example" / "ml-100k"
    folder = folder / "small"
    folder.mkdir(parents=True)
    for part in ("inter", "user", "item", "kg", "link"):
        head, *lines = (source / f"ml-100k.{part}").read_text(encoding="utf-8").splitlines()
        if part in ("inter", "user"):
            lines = [line for line in lines if int(line.split("\t")[0]) <= USERS]
        (folder / f"small.{part}").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    triples = [line.split("\t") for line in (folder / "small.kg").read_text(encoding="utf-8").splitlines()[1:]]
    entities = sorted({name for head, _, tail in triples for name in (head, tail)})
    draws = np.random.default_rng(0)
    for kind, names in (("ent", entities), ("rel", sorted({relation for _, relation, _ in triples}))):
        rows = [f"{name}\t{' '.join(f'{value:.4f}' for value in draws.normal(size=EMBEDDING))}" for name in names]
        text = "\n".join([f"{kind}_id:token\t{kind}_vec:float_seq", *rows]) + "\n"
        (folder / f"small.{kind}_emb").write_text(text, encoding="utf-8")


def models() -> dict[str, str]:
    """Name → family of all of RecBole's models but those of outside libraries."""
    from importlib import import_module
    from pkgutil import iter_modules

    from recbole.model.abstract_recommender import AbstractRecommender

    found = {}
    for family in FAMILIES:
        package = import_module(f"recbole.model.{family}_recommender")
        for module in iter_modules(package.__path__):
            for name, value in vars(import_module(f"{package.__name__}.{module.name}")).items():
                own = isinstance(value, type) and value.__module__.endswith(f".{module.name}")
                if own and name.lower() == module.name and issubclass(value, AbstractRecommender):
                    found[name] = family
    return found


def settings(model: str, family: str, folder: Path) -> dict[str, Any]:
    """A model's settings: RecBole's defaults, and what it cannot do without."""
    made: dict[str, Any] = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "epochs": 1,
        "show_progress": False,
        "state": "ERROR",
        "topk": [10],
        "metrics": ["Recall"],
        "valid_metric": "Recall@10",
        "train_batch_size": 512,
        "eval_batch_size": 4096,
        "MAX_ITEM_LIST_LENGTH": 20,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    }
    if family in ("context_aware", "knowledge_aware") or model in WITH_FEATURES:
        made["load_col"] = {
            "inter": ["user_id", "item_id", "rating", "timestamp"],
            "user": ["user_id", "age", "gender", "occupation"],
            "item": ["item_id", "release_year", "class"],
        }
    if family == "knowledge_aware" or model in WITH_VECTORS:
        made["load_col"] |= {"kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]}
    if family == "context_aware":
        made |= {"threshold": {"rating": 4}, "eval_args": {"mode": "labeled"}}
        made |= {"metrics": ["AUC"], "valid_metric": "AUC"}
    if model in WITH_VECTORS:
        made["load_col"] |= {"ent_emb": ["ent_id", "ent_vec"], "rel_emb": ["rel_id", "rel_vec"]}
        made |= {"alias_of_entity_id": ["ent_id"], "alias_of_relation_id": ["rel_id"]}
        made |= {"preload_weight": {"ent_id": "ent_vec", "rel_id": "rel_vec"}}
        made |= {"additional_feat_suffix": ["ent_emb", "rel_emb"]}
        made |= {"eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}}
        made |= {"embedding_size": EMBEDDING, "kg_embedding_size": EMBEDDING}
    if model == "S3Rec":
        made |= {"pretrain_epochs": 1, "save_step": 1}
    own = Path(recbole.__file__).parent / "properties" / "model" / f"{model}.yaml"
    properties = yaml.safe_load(own.read_text(encoding="utf-8")) if own.is_file() else {}
    if (properties or {}).get("loss_type") == "CE":
        made["train_neg_sample_args"] = None
    return made


def one(model: str, family: str, folder: str, answer: Any) -> None:
    """Train, evaluate and read back a model; says how it ended."""
    from recbole.quick_start import load_data_and_model, run_recbole

    sys.argv = ["compatibility"]
    started = time.perf_counter()
    try:
        result = run_recbole(model, "small", config_dict=settings(model, family, Path(folder)))
        saved = sorted(Path(folder, "saved").glob(f"{model}-*.pth"))
        if saved:
            load_data_and_model(str(saved[-1]))
        metric, value = next(iter(result["test_result"].items()))
        ended = {"ran": True, "metric": metric, "value": float(value)}
    except Exception as error:
        ended = {"ran": False, "error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    answer.put({**ended, "seconds": round(time.perf_counter() - started, 1)})


def run(output: Path, only: list[str]) -> None:
    """Run all models, each in a process of its own."""
    fork = multiprocessing.get_context("fork")
    found = {name: family for name, family in models().items() if not only or name in only}
    cells: dict[str, Any] = json.loads(output.read_text())["models"] if only and output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder))
        for name, family in sorted(found.items()):
            answer = fork.Queue()
            process = fork.Process(target=one, args=(name, family, folder, answer))
            process.start()
            try:
                ended = answer.get(timeout=SECONDS)
            except Exception:
                ended = {"ran": False, "error": f"not done after {SECONDS} s, or its process died"}
                process.kill()
            process.join()
            cells[name] = {"family": family, **ended}
            print(name, cells[name], flush=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    stack = {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}}
    output.write_text(json.dumps({"stack": stack, "models": cells}, indent=1) + "\n", encoding="utf-8")


def write(files: list[Path]) -> None:
    """Write the table of models below its mark in the page."""
    stacks = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    names = sorted(stacks[0]["models"], key=lambda name: (FAMILIES.index(stacks[0]["models"][name]["family"]), name))
    lines = ["| | current | pinned |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | " + " | ".join(stack["stack"][name] for stack in stacks) + " |" for name in ("python", *VERSIONS)
    ]
    ran = [sum(cell["ran"] for cell in stack["models"].values()) for stack in stacks]
    same = [name for name in names if len({said(stack["models"][name]) for stack in stacks}) == 1]
    lines += ["", f"Of {len(names)} models {' and '.join(map(str, ran))} ran; {len(same)} ended alike on both.", ""]
    lines += ["| model | kind | current | pinned |", "| --- | --- | --- | --- |"]
    for name in names:
        cells = [said(stack["models"][name]) for stack in stacks]
        lines.append(f"| {name} | {stacks[0]['models'][name]['family'].replace('_', '-')} | {' | '.join(cells)} |")
    before = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    PAGE.write_text(f"{before}{MARK}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def said(cell: dict[str, Any]) -> str:
    """How a model ended, as the table says it."""
    return f"{cell['metric']} {cell['value']:.4f}" if cell["ran"] else cell["error"].replace("|", "/")[:90]


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("run", "write"))
    parser.add_argument("files", type=Path, nargs="+", help="the stack's file; or all of them, the current stack first")
    parser.add_argument("--only", nargs="*", default=[], help="these models anew, all if not given")
    given = parser.parse_args()
    if given.command == "run":
        run(given.files[0], given.only)
    else:
        write(given.files)


if __name__ == "__main__":
    main()
