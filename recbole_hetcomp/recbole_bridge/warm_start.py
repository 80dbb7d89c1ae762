"""What a student's checkpoint holds for tomorrow, and a model that goes on from it on other data.

Rows of users and items are matched by external id (``recbole_hetcomp.data.matching``). What training has counted
(MultiVAE's updates) goes on; the optimizer's state does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_hetcomp.data.matching import SIDES, Matching
from recbole_hetcomp.files import sha256_of
from recbole_hetcomp.recbole_bridge.checkpoint import read_checkpoint
from recbole_hetcomp.recbole_bridge.scoring import clear_cache
from recbole_hetcomp.settings import HetCompSettings

_BACKBONE = "backbone."


@dataclass(frozen=True)
class Yesterday:
    """A student's checkpoint, as far as a warm start needs it.

    Attributes:
        file: the checkpoint.
        ids: external ids by row, by side, padding first.
        teachers: the store's entry of each teacher, ``fingerprint/name-key``, by the teacher's name.
        state: the backbone's weights.
    """

    file: Path
    ids: Mapping[str, Sequence[str]]
    teachers: Mapping[str, str]
    state: Mapping[str, Tensor]

    @cached_property
    def checksum(self) -> str:
        """Of the file."""
        return sha256_of(self.file)[:16]

    @classmethod
    def read(cls, file: str | Path, settings: HetCompSettings) -> Yesterday:
        """Read a checkpoint and check that a student of these settings can go on from it.

        Raises:
            FileNotFoundError: it is not there.
            DamagedFileError: it cannot be read.
            ValueError: it is no student's, or of another backbone or size.
        """
        if not Path(file).is_file():
            raise FileNotFoundError(f"warm_start={str(file)!r} does not exist: name a student's checkpoint (.pth)")
        content = read_checkpoint(file)
        if not isinstance(content.get("ids"), dict) or "config" not in content:
            raise ValueError(
                f"warm_start={str(file)!r} does not say whose its rows are: it is no student's checkpoint, or one of "
                "an earlier version; train it once more"
            )
        for name in ("student_backbone", "embedding_size"):
            was, now = content["config"].get(name), getattr(settings, name)
            if was != now:
                raise ValueError(f"{name}={now!r} is not allowed: warm_start={str(file)!r} has {name}={was!r}")
        state = content["state_dict"].items()
        return cls(
            Path(file),
            content["ids"],
            content.get("teachers", {}),
            {name[len(_BACKBONE) :]: value for name, value in state if name.startswith(_BACKBONE)},
        )


def external_ids(dataset: Any) -> dict[str, list[str]]:
    """External ids of a RecBole Dataset's users and items by row, padding first."""
    fields = zip(SIDES, (dataset.uid_field, dataset.iid_field))
    return {side: [str(name) for name in dataset.field2id_token[field]] for side, field in fields}


@torch.no_grad()
def go_on_from(
    model: Any, state: Mapping[str, Tensor], matching: Matching, counts: Mapping[str, float] | None = None
) -> None:
    """Give a model of today yesterday's weights, rows at the places of their users and items.

    Args:
        model: a RecBole model, as it was initialised.
        state: its weights yesterday, by name.
        matching: today's rows and yesterday's.
        counts: what its training had counted, by attribute.

    Raises:
        ValueError: the weights are those of another model; it is then left as it was.
    """
    fresh = model.state_dict()
    if set(state) != set(fresh):
        differing = sorted(set(state) ^ set(fresh))
        raise ValueError(f"{type(model).__name__} has other weights than before: {differing[0]}")
    moved = {}
    for name, value in fresh.items():
        before = state[name].cpu()
        axes = matching.axes(name, before.shape, value.shape)
        moved[name] = matching.moved(before, value, axes)
    model.load_state_dict(moved)
    for name, count in (counts or {}).items():
        setattr(model, name, count)
    clear_cache(model)
