"""The step ``evaluate``: the saved student, loaded anew, has the test metrics that its run's table says."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_hetcomp.files import versions, write_json

TOLERANCE = 1e-4
"""What a metric may differ: one user's tie that falls otherwise on another processor."""


class EvaluationDiffersError(RuntimeError):
    """A saved model does not have the metrics that its table says."""


def evaluate(checkpoint: Path, results: Path) -> dict[str, Any]:
    """Test a saved student once more, and compare with its run's table.

    Args:
        checkpoint: the student.
        results: the run's ``results.json``.

    Returns:
        model, dataset, test (metrics of the saved student), largest_difference (from the table).

    Raises:
        EvaluationDiffersError: a metric differs by more than :data:`TOLERANCE`; names it and both values.
    """
    from recbole.utils import get_trainer

    from recbole_hetcomp.recbole_bridge.quick_start import load_data_and_model

    told = json.loads(results.read_text(encoding="utf-8"))["rows"][-1]
    config, model, dataset, train_data, _, test_data = load_data_and_model(str(checkpoint))
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.eval_collector.data_collect(train_data)
    test = {name: float(value) for name, value in trainer.evaluate(test_data, load_best_model=False).items()}
    return {
        "model": config["model"],
        "dataset": dataset.dataset_name,
        "test": test,
        "largest_difference": largest_difference(test, told),
        "versions": versions(),
    }


def largest_difference(test: Mapping[str, float], told: Mapping[str, Any]) -> float:
    """By how much metrics differ from a table's row.

    Raises:
        EvaluationDiffersError: by more than :data:`TOLERANCE`.

    >>> largest_difference({"recall@50": 0.5}, {"recall@50": 0.5})
    0.0
    """
    differences = {name: abs(value - told[name]) for name, value in test.items()}
    name = max(differences, key=lambda name: (math.isnan(differences[name]), differences[name]))
    if not differences[name] <= TOLERANCE:
        raise EvaluationDiffersError(
            f"the saved student has {name} {test[name]:.6f} on the test split, its run's table says {told[name]:.6f}"
        )
    return differences[name]


def main(words: Sequence[str]) -> int:
    """``python -m recbole_hetcomp.pipeline.evaluation CHECKPOINT RESULTS TO``; the exit status."""
    checkpoint, results, to = map(Path, words)
    try:
        found = evaluate(checkpoint, results)
    except (EvaluationDiffersError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_json(to, found)
    print(", ".join(f"{name} {value:.4f}" for name, value in found["test"].items()) + f": as in the table ({to})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
