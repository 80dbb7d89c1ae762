"""The size of the store on disk, against dense rank matrices."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from draws import random_ranks
from harness import SNAPSHOTS, TEACHERS
from inputs import Inputs

from recbole_hetcomp.trajectories import Trajectory, TrajectoryStore


def store_bytes(inputs: Inputs, generator: torch.Generator) -> tuple[int, int]:
    """Bytes of the published dense rank matrices (32 bits a rank), and of the package's store as written."""
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(folder)
        for m, unobserved in enumerate(inputs.trajectories):
            steps = tuple(range(SNAPSHOTS))
            trajectory = Trajectory(
                unobserved,
                random_ranks(inputs.train, generator),
                steps,
                tuple(map(float, steps)),
                served=unobserved[-1].clone(),  # a file cannot share memory
            )
            store.write("benchmark", f"teacher-{m}", {}, trajectory)
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return TEACHERS * SNAPSHOTS * inputs.size.users * inputs.size.items * 4, written
