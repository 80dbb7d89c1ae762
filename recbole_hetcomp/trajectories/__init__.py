"""Teachers' training as ranked lists: what is kept of it, and where (method section 1)."""

from recbole_hetcomp.trajectories.mapped import MappedTensors
from recbole_hetcomp.trajectories.snapshots import SPACINGS, select_snapshots
from recbole_hetcomp.trajectories.spool import SnapshotSpool
from recbole_hetcomp.trajectories.store import TrajectoryStore
from recbole_hetcomp.trajectories.trajectory import CorruptTrajectoryError, Trajectory, item_dtype, rank_dtype
from recbole_hetcomp.trajectories.weights import KeptWeights

__all__ = [
    "SPACINGS",
    "CorruptTrajectoryError",
    "KeptWeights",
    "MappedTensors",
    "SnapshotSpool",
    "Trajectory",
    "TrajectoryStore",
    "item_dtype",
    "rank_dtype",
    "select_snapshots",
]
