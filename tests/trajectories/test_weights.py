"""Weights beside a trajectory: as they were, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recbole_hetcomp.trajectories import CorruptTrajectoryError, KeptWeights, Trajectory, TrajectoryStore
from recbole_hetcomp.trajectories.housekeeping import check_store
from recbole_hetcomp.trajectories.weights import WEIGHTS

LISTS = Trajectory(
    torch.ones(1, 3, 2, dtype=torch.int16), torch.zeros(1, 4, dtype=torch.int16), epochs=(1,), scores=(0.5,)
)
SHARED = torch.arange(6.0).view(2, 3)
KEPT = KeptWeights({"table.weight": SHARED, "turned": SHARED.t(), "updates": torch.tensor(7)}, {"update": 12})


def stored(folder: Path, weights: KeptWeights | None = KEPT) -> tuple[TrajectoryStore, Path]:
    store = TrajectoryStore(folder)
    return store, store.write("data", "MultiVAE", {"epochs": 3}, LISTS, weights)


def test_they_come_back_as_they_were_with_what_decided_them(tmp_path):
    store, entry = stored(tmp_path)
    found = store.weights(entry)
    assert found is not None
    assert {name: value.tolist() for name, value in found.state.items()} == {
        name: value.tolist() for name, value in KEPT.state.items()
    }
    assert (found.counts, found.settings) == ({"update": 12}, {"epochs": 3})
    assert len(found.checksum) == 64
    assert check_store(tmp_path)[0].about.endswith(", weights")
    assert store.read("data", "MultiVAE", {"epochs": 3}) is not None


def test_an_entry_without_them_and_no_entry_have_none(tmp_path):
    store, entry = stored(tmp_path, None)
    assert store.weights(entry) is None
    assert store.weights(tmp_path / "data" / "nothing") is None


@pytest.mark.parametrize("harm", ["altered", "truncated", "gone"])
def test_damage_is_named(tmp_path, harm):
    store, entry = stored(tmp_path)
    file = entry / WEIGHTS
    content = bytearray(file.read_bytes())
    if harm == "gone":
        file.unlink()
    else:
        content[-1] ^= 1
        file.write_bytes(content if harm == "altered" else content[:-3])
    with pytest.raises(CorruptTrajectoryError, match=WEIGHTS):
        store.weights(entry)
    assert [state.verdict for state in check_store(tmp_path)] == ["DAMAGED"]
