"""What an interrupted run goes on from: the file, where training stood, the best model, and every random generator."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_hetcomp.files import DamagedFileError
from recbole_hetcomp.recbole_bridge.checkpoint import read_checkpoint

RESUME_FILE = "resume.pt"


def best_result(trainer: Any) -> dict[str, float] | None:
    """The best validation's metrics as plain data, None where there was none."""
    result = trainer.best_valid_result
    return None if result is None else {key: float(value) for key, value in result.items()}


def go_on_from(trainer: Any, state: dict[str, Any]) -> None:
    """Put a RecBole trainer where it stood: epoch, best validation, weights, optimizer.

    Args:
        trainer: the trainer.
        state: its ``checkpoint_content``, and what :func:`best_result` gave.
    """
    trainer.start_epoch = state["epoch"] + 1
    trainer.cur_step = state["cur_step"]
    trainer.best_valid_score = state["best_valid_score"]
    trainer.best_valid_result = state["best_valid_result"]
    trainer.model.load_state_dict(state["state_dict"])
    trainer.model.load_other_parameter(state["other_parameter"])
    trainer.optimizer.load_state_dict(state["optimizer"])


def problem_of_best(
    file: str | Path, epoch: int | None, newest: int | None = None, run: str | None = None
) -> str | None:
    """What is wrong with the best model on disk, or None.

    Args:
        file: its checkpoint.
        epoch: when it was saved.
        newest: the last epoch that an interrupted run remembers; it may have saved a newer one and come no further.
        run: whose it is to be, where checkpoints say whose they are.
    """
    try:
        found = read_checkpoint(file)
    except FileNotFoundError:
        return f"{file} is not there"
    except DamagedFileError as error:
        return str(error)
    if run is not None and found.get("run") != run:
        return f"{file} is of run {found.get('run')}, not of {run}"
    if found["epoch"] == epoch or (newest is not None and found["epoch"] > newest):
        return None
    return f"{file} is of epoch {found['epoch']}, not of {epoch}"


def random_state(*generators: torch.Generator) -> dict[str, Any]:
    """State of every random number generator that training uses, as tensors and plain data."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
        "generators": [generator.get_state() for generator in generators],
    }


def restore_random_state(state: dict[str, Any], *generators: torch.Generator) -> None:
    """Put back what :func:`random_state` took."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([entry.cpu() for entry in state["cuda"]])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    for generator, saved in zip(generators, state["generators"]):
        generator.set_state(saved.cpu())
