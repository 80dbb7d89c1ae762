"""Trainers of the methods that HetComp is compared with: one small file each, on :class:`DistillingTrainer`."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)

from recbole_hetcomp.methods.cd import CDTrainer
from recbole_hetcomp.methods.cldrd import CLDRDTrainer
from recbole_hetcomp.methods.dcd import DCDTrainer
from recbole_hetcomp.methods.mtd import MTDTrainer
from recbole_hetcomp.methods.nokd import NoKDTrainer
from recbole_hetcomp.methods.rcekd import RCEKDTrainer
from recbole_hetcomp.methods.rd import RDTrainer
from recbole_hetcomp.methods.rrd import RRDTrainer
from recbole_hetcomp.methods.unkd import UnKDTrainer
from recbole_hetcomp.student.consensus_trainer import ConsensusTrainer, StudentGuidedTrainer

__all__ = [
    "CDTrainer",
    "CLDRDTrainer",
    "ConsensusTrainer",
    "DCDTrainer",
    "MTDTrainer",
    "NoKDTrainer",
    "RCEKDTrainer",
    "RDTrainer",
    "RRDTrainer",
    "StudentGuidedTrainer",
    "UnKDTrainer",
]
