"""The model card of an export: what the model is, from what data, how good, how large, and what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_hetcomp.serving.exported import ENSEMBLE, MANIFEST, ONNX, SEEN_ITEMS, USERS, VECTORS

_MEANINGS = {
    VECTORS: "user and item vectors, float32; a score is their dot product",
    SEEN_ITEMS: "items that each user has seen: `offsets` and `items`, rows of the item table",
    USERS: "external ids and vectors of the users, in the rows' order",
    "items.parquet": "external ids, vectors, training interactions and titles of the items",
    ENSEMBLE: "the ensemble's lists, rows of the item table, -1 behind the last",
    ONNX: "`user`, `seen` (rows, -1 behind the last) and `k` → `recommended`, `scores`",
    "items.faiss": "exact index of the item vectors by inner product",
    MANIFEST: "checksums, versions, schema",
}


def model_card(manifest: Mapping[str, Any]) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        manifest: of the export.
    """
    model, data, licence = manifest["model"], manifest["data"], manifest["licence"]
    size = model["dimension"]
    sections = [
        f"---\nlicense: {licence['model'] or 'unknown'}\nlibrary_name: recbole-hetcomp\n"
        "tags:\n- recommender-system\n- knowledge-distillation\n---",
        f"# {model['name']} on {data['name']}",
        f"A {model['backbone']} recommender of {size} dimensions: {model['parameters']:,} numbers for "
        f"{data['users']:,} users and {data['items']:,} items, {model['bytes']:,} bytes of vectors.",
        "## Data",
        _table(
            ["data set", "users", "items", "training interactions", "items left out of a list"],
            [[data["name"], data["users"], data["items"], data["interactions"], _SEEN[data["seen"]]]],
        ),
        *([f"How it was prepared: `{data['command']}`."] if data.get("command") else []),
        "## Teachers",
        ", ".join(model["teachers"]) if model["teachers"] else "None: it was trained alone.",
        "## Accuracy",
        _metrics(manifest["metrics"]),
        *_compressed(manifest["compressed"]),
        "## Parity",
        f"Lists of {manifest['parity']['k']} items for every user, from each file's own runtime, against the trained "
        "model's. A tie: scores that differ by less than "
        f"{manifest['parity']['tolerance']:g} of the user's largest.",
        _table(
            ["artefact", "users", "same list", "differ in ties", "differ", "of the model's items"],
            [
                [name, one["users"], one["same"], one["ties"], one["different"], f"{one['recall']:.2%}"]
                for name, one in manifest["parity"]["artefacts"].items()
            ],
        ),
        "Approximate indexes and compressed vectors are not exact by design: read the last column.",
        "## Files",
        _table(
            ["file", "bytes", "what"],
            [[f"`{name}`", told["bytes"], _meaning(name)] for name, told in manifest["files"].items()],
        ),
        "## Licence",
        _table(
            ["of", "licence"], [["model", licence["model"] or "not given"], ["data", licence["data"] or "not given"]]
        ),
        "## Made by",
        f"recbole-hetcomp {manifest['versions']['recbole-hetcomp']}, run `{model['run']}`, {manifest['created']}.",
    ]
    return "\n\n".join(sections) + "\n"


_SEEN = {"all": "all that a user has in the data set", "training": "a user's items of the training split"}


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> str:
    splits = [split for split, found in metrics.items() if found]
    if not splits:
        return "Not measured: the run's metrics need more than lists."
    names = list(metrics[splits[0]])
    rows = [[name, *(f"{metrics[split][name]:.4f}" for split in splits)] for name in names]
    return "Of the exported vectors, by RecBole's evaluator.\n\n" + _table(["metric", *splits], rows)


def _compressed(compressed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not compressed:
        return []
    names = list(next(iter(compressed.values()))["valid"])
    rows = [
        [precision, found["bytes"], *(f"{found['valid'][name]:.4f}" for name in names)]
        for precision, found in compressed.items()
    ]
    return ["Compressed vectors, on the validation split:", _table(["precision", "bytes", *names], rows)]


def _meaning(name: str) -> str:
    if name in _MEANINGS:
        return _MEANINGS[name]
    if name.startswith("vectors-"):
        return "compressed vectors; int8 ones times their scales"
    return "approximate index of the item vectors" if name.endswith(".faiss") else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    shown = [[f"{cell:,}" if isinstance(cell, int) else str(cell).replace("|", "\\|") for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in shown)
