"""What an interrupted run goes on from, besides weights: the file, and the state of every random number generator."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

RESUME_FILE = "resume.pt"


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
