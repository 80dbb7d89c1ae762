"""The distillation methods: one file each, with its settings, its pure loss and its trainer.

The teacher is a ranking, the consensus of the final snapshots, except for HetComp, which follows the trajectories, and
MTD, which takes every teacher's own list. Where a paper reads the teacher's score of an item, the item of rank r has
the importance exp(-r / T) of method section 2, and an item that is not listed has 0.
"""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)

from recbole_hetcomp.methods.cd import CDTrainer
from recbole_hetcomp.methods.cldrd import CLDRDTrainer
from recbole_hetcomp.methods.dcd import DCDTrainer
from recbole_hetcomp.methods.hetcomp import HetCompTrainer
from recbole_hetcomp.methods.method import TRAINING, distillation_method
from recbole_hetcomp.methods.mtd import MTDTrainer
from recbole_hetcomp.methods.nokd import NoKDTrainer
from recbole_hetcomp.methods.rcekd import RCEKDTrainer
from recbole_hetcomp.methods.rd import RDTrainer
from recbole_hetcomp.methods.rrd import RRDTrainer
from recbole_hetcomp.methods.unkd import UnKDTrainer
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer, StudentGuidedTrainer

__all__ = [
    "TRAINING",
    "CDTrainer",
    "CLDRDTrainer",
    "ConsensusTrainer",
    "DCDTrainer",
    "HetCompTrainer",
    "MTDTrainer",
    "NoKDTrainer",
    "RCEKDTrainer",
    "RDTrainer",
    "RRDTrainer",
    "StudentGuidedTrainer",
    "UnKDTrainer",
    "distillation_method",
]
