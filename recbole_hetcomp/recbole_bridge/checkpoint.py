"""Checkpoints of the plugin's models: tensors and plain data, readable with ``weights_only=True``.

RecBole pickles its ``Config`` object into every checkpoint. Ours hold the same settings as plain data, and are
given back to RecBole as a ``Config`` when RecBole itself reads them.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config

from recbole_hetcomp.files import DamagedFileError, sync_file, verify_archive, write_whole
from recbole_hetcomp.kept import entry_kept

FORMAT = "recbole_hetcomp.recbole_bridge.checkpoint"
FORMAT_VERSION = 1

# Computed by Config from the rest, or bound to one machine.
_DERIVED = {
    "MODEL_TYPE",
    "MODEL_INPUT_TYPE",
    "eval_type",
    "device",
    "single_spec",
    "local_rank",
    "valid_metric_bigger",
    "valid_neg_sample_args",
    "test_neg_sample_args",
    "data_path",
}


# Where RecBole looks for pickled data sets and loaders, and where it does by default.
_PICKLED = {"dataset_save_path", "dataloaders_save_path", "checkpoint_dir"}
_RECBOLES_FOLDER = "saved"


_reviving: ContextVar[bool] = ContextVar("reviving", default=False)


def is_reviving() -> bool:
    """Whether the Config that is being built is that of a checkpoint."""
    return _reviving.get()


@contextmanager
def command_line_hidden() -> Iterator[None]:
    """Keep ``sys.argv`` out of any ``Config`` that is built inside.

    RecBole's Config reads the process's command line and lets it win over everything else, so the settings
    typed for a student would reach its teachers.
    """
    argv = sys.argv
    sys.argv = argv[:1] or [""]
    try:
        yield
    finally:
        sys.argv = argv


@contextmanager
def devices_kept() -> Iterator[None]:
    """Put back which GPUs this process sees: building a RecBole Config hides all but one of them."""
    with entry_kept(os.environ, "CUDA_VISIBLE_DEVICES"):
        yield


def plain_numbers(model: Any) -> dict[str, Any]:
    """A model's attributes that are numbers: some of RecBole's count their updates in one (MultiVAE's annealing)."""
    return {name: value for name, value in vars(model).items() if type(value) in (int, float)}


def is_plain(value: Any) -> bool:
    """True for None, booleans, numbers, strings and lists, tuples and string-keyed dicts of them."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return True
    if isinstance(value, (list, tuple)):
        return all(is_plain(entry) for entry in value)
    return isinstance(value, Mapping) and all(isinstance(k, str) and is_plain(v) for k, v in value.items())


def data_root(config: Config) -> str | None:
    """The ``data_path`` that the user gave; RecBole appends the data set's name to it (None for ml-100k)."""
    if config["dataset"] == "ml-100k":
        return None
    return os.path.dirname(config["data_path"])


def plain_config(config: Config) -> dict[str, Any]:
    """A RecBole Config as plain data from which :func:`revive_config` rebuilds it."""
    plain = {key: value for key, value in config.final_config_dict.items() if key not in _DERIVED and is_plain(value)}
    root = data_root(config)
    if root is not None:
        plain["data_path"] = root
    return plain


def revive_config(plain: Mapping[str, Any]) -> Config:
    """The Config that :func:`plain_config` took apart, on this machine's device and without its command line."""
    given = dict(plain)
    sampling = given.get("train_neg_sample_args") or {}
    if sampling.get("distribution") == "none":
        given["train_neg_sample_args"] = None
    token = _reviving.set(True)
    try:
        with command_line_hidden():
            return Config(model=given["model"], dataset=given["dataset"], config_dict=given)
    finally:
        _reviving.reset(token)


def checkpoint_content(trainer: Any, epoch: int) -> dict[str, Any]:
    """What RecBole's trainers save, with the Config as plain data.

    Args:
        trainer: a RecBole trainer.
        epoch: the epoch that was finished last.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": plain_config(trainer.config),
        "epoch": epoch,
        "cur_step": trainer.cur_step,
        "best_valid_score": float(trainer.best_valid_score),
        "state_dict": trainer.model.state_dict(),
        "other_parameter": trainer.model.other_parameter(),
        "optimizer": trainer.optimizer.state_dict(),
    }


def save_atomically(content: Any, path: str | os.PathLike) -> None:
    """``torch.save`` that leaves either the old file or the whole new one, never a part."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, partial(_save, content))


def _save(content: Any, path: Path) -> None:
    with path.open("wb") as file:  # torch would write the name of a path into the file
        torch.save(content, file)
    sync_file(path)


def read_checkpoint(path: Path | str, device: Any = "cpu") -> dict[str, Any]:
    """The content of a file that :func:`save_atomically` wrote, every checksum verified: tensors and plain data.

    Args:
        path: the file.
        device: where its tensors go.

    Raises:
        FileNotFoundError, PermissionError: it cannot be opened.
        DamagedFileError: it is truncated or altered, or holds something else.
    """
    verify_archive(path)
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DamagedFileError(f"{path} is no checkpoint of ours: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} is no checkpoint of ours: it holds a {type(content).__name__}")
    return content


def revive(content: Any) -> Any:
    """What RecBole is given for a checkpoint: a ``Config`` where ours holds plain data, and no path to a pickled file.

    RecBole would load the data set, or the loaders, that such a path names, and run what they hold.
    """
    if not isinstance(content, dict) or "config" not in content:
        return content
    if content.get("format") == FORMAT:
        kept = {key: value for key, value in content["config"].items() if key not in _PICKLED}
        return {**content, "config": revive_config({**kept, "checkpoint_dir": _RECBOLES_FOLDER})}
    config = content["config"]
    if isinstance(config, Config):
        for key in _PICKLED - {"checkpoint_dir"}:
            config[key] = None
        config["checkpoint_dir"] = _RECBOLES_FOLDER
    return content
