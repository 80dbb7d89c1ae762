"""Every RecBole model that is no general recommender teaches: which ones do, in what time, and what the others say.

    python benchmarks/teacher_types.py --json out/teachers.json [--models SASRec DIN]

The data are ml-100k's first 120 users with all features and the knowledge graph; two epochs, seed 2020, small
sequences. A model is a teacher of a run of TeacherEnsemble; its validation Recall@10 is compared with a random
ranking's.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS = 600  # of a model at most
WITH_FEATURES = ("GRU4RecF", "SASRecF", "FDSA")


def compatibility() -> Any:
    """The script that makes the data."""
    spec = importlib.util.spec_from_file_location("compatibility", Path(__file__).with_name("compatibility.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def teach(model: str, data: Path, place: Path) -> dict[str, Any]:
    """A run with one teacher: its validation metric, or the error."""
    import recbole_hetcomp

    own: dict[str, Any] = {"epochs": 2, "MAX_ITEM_LIST_LENGTH": 10}
    if model in WITH_FEATURES:
        own["selected_features"] = ["class"]
    started = time.monotonic()
    try:
        found = recbole_hetcomp.run(
            "TeacherEnsemble",
            "small",
            config_dict={
                "data_path": str(data),
                "teachers": [model],
                "teacher_config": {model: own},
                "store_dir": str(place / "store"),
                "checkpoint_dir": str(place / "saved"),
                "topk": [10],
                "valid_metric": "Recall@10",
                "show_progress": False,
                "state": "ERROR",
            },
        )
    except Exception as error:  # the outcome
        return {"error": f"{type(error).__name__}: {str(error)[:200]}"}
    return {"recall": found["best_valid_result"]["recall@10"], "seconds": round(time.monotonic() - started, 1)}


def main() -> int:
    """Try them, each in a process of its own, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", nargs="+")
    options = parser.parse_args()
    makes = compatibility()
    families = {name: family for name, family in makes.models().items() if family != "general"}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        makes.make_data(Path(scratch) / "data")
        for model in options.models or families:
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                waiting = pool.apply_async(teach, (model, Path(scratch) / "data", Path(scratch) / model))
                try:
                    found[model] = waiting.get(SECONDS)
                except multiprocessing.TimeoutError:
                    found[model] = {"error": f"took more than {SECONDS} s"}
            found[model]["type"] = families.get(model, "")
            print(model, found[model], flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
