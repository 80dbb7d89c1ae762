"""A teacher's weights beside its trajectory, so that a teacher of tomorrow goes on from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recbole_hetcomp.files import sync_file
from recbole_hetcomp.trajectories.trajectory import CorruptTrajectoryError

WEIGHTS = "weights.safetensors"
_COUNTS = "counts"


@dataclass(frozen=True)
class KeptWeights:
    """What a teacher has learnt.

    Attributes:
        state: its weights by name.
        counts: what its training has counted, by attribute.
        settings: what decided the teacher: its store entry's settings.
        checksum: of the file; empty before they are stored.
    """

    state: Mapping[str, Tensor]
    counts: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""


def write_weights(folder: Path, weights: KeptWeights) -> Path:
    """Write them into a folder, and see them onto the disk.

    Raises:
        OSError, SafetensorError: the disk does not take them.
    """
    stored = {name: value.detach().cpu().clone().contiguous() for name, value in weights.state.items()}
    save_file(stored, str(folder / WEIGHTS), {_COUNTS: json.dumps(dict(weights.counts))})
    sync_file(folder / WEIGHTS)
    return folder / WEIGHTS


def read_weights(folder: Path, settings: Mapping[str, Any], checksum: str) -> KeptWeights:
    """What :func:`write_weights` wrote; the file has been verified.

    Raises:
        CorruptTrajectoryError: it holds something else.
    """
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            counts = json.loads((file.metadata() or {})[_COUNTS])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CorruptTrajectoryError(f"{folder / WEIGHTS}: no teacher's weights: {error}") from error
    return KeptWeights(state, counts, settings, checksum)
