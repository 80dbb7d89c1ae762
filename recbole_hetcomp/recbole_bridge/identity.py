"""What a stored teacher, or a run, is found by: everything that decides its numbers, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from recbole.config import Config
from recbole.utils.argument_list import dataset_arguments

from recbole_hetcomp.recbole_bridge.checkpoint import is_plain
from recbole_hetcomp.recbole_bridge.own_data import own_files
from recbole_hetcomp.recbole_bridge.source import contents_of_files, outside_code
from recbole_hetcomp.settings import HetCompSettings

# RecBole's keys that say where and how loudly a run works, not what it computes; of ours the declaration says so.
RECBOLE_PLACES = {
    "gpu_id",
    "use_gpu",
    "state",
    "data_path",
    "checkpoint_dir",
    "show_progress",
    "config_file",
    "config_files",
    "save_dataset",
    "dataset_save_path",
    "save_dataloaders",
    "dataloaders_save_path",
    "log_wandb",
    "wandb_project",
    "worker",
    "device",
    "eval_batch_size",
    "nproc",
    "world_size",
    "ip",
    "port",
    "offset",
}
# Evaluation keys that do not change how a model trains (valid_metric does: it picks the best epoch).
_REPORTING = {"metrics", "topk", "loss_decimal_place", "metric_decimal_place"}


def place_keys() -> set[str]:
    """All keys on which no stored number depends."""
    return RECBOLE_PLACES | HetCompSettings.places()


def training_identity(config: Config) -> dict[str, Any]:
    """All that decides what a model learns on given data, as plain data: its settings less places and reports.

    The code of a model that is neither RecBole's nor ours is part of it.
    """
    data = set(dataset_arguments) | {key for key in config.parameters["Dataset"]}
    skipped = place_keys() | _REPORTING | data | {"eval_args", "dataset"}
    found = {
        key: value
        for key, value in sorted(config.final_config_dict.items())
        if (key not in skipped and is_plain(value) and not key.endswith("neg_sample_args"))
        or key == "train_neg_sample_args"
    }
    return {**found, **_unusual(config), **_from_outside(config, found), **_own_data(config)}


def _own_data(config: Config) -> dict[str, Any]:
    """What a model that is no general recommender reads besides the run's data: columns, and files as they are."""
    files = own_files(config)
    return {"load_col": config["load_col"], "data_files": files} if files else {}


def _unusual(config: Config) -> dict[str, Any]:
    """What decides numbers and stood in no key at first: named only where it is not as it nearly always is.

    So what was stored before is still found. The validation's mode and its rounding decide which epoch is the best one;
    with workers, batches are drawn in another order.
    """
    usual = {"worker": 0, "metric_decimal_place": 6, "valid_mode": "full"}
    modes = config["eval_args"]["mode"]
    found = {
        "worker": config["worker"],
        "metric_decimal_place": config["metric_decimal_place"],
        "valid_mode": modes if isinstance(modes, str) else modes["valid"],
    }
    return {key: value for key, value in found.items() if value != usual[key]}


def _from_outside(config: Config, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Code from outside, and the content of files that the settings name."""
    code, files = outside_code(config["model"]), contents_of_files(settings)
    return {**({"code": code} if code else {}), **({"files": files} if files else {})}


def run_key(config: Config, fingerprint: str, companions: Sequence[Mapping[str, Any]]) -> str:
    """Short name of a run, the same whenever the same settings meet the same data and the same other models."""
    identity = {
        "data": fingerprint,
        "settings": training_identity(config),
        "companions": companions,
        "device": torch.device(config["device"]).type,
    }
    code = outside_code(str(config["student_backbone"]))
    if code:
        identity["code"] = code
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
