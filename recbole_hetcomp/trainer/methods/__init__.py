"""Trainers of the methods that HetComp is compared with: one small file each, on :class:`DistillingTrainer`."""

from recbole_hetcomp.trainer.methods.cd import CDTrainer
from recbole_hetcomp.trainer.methods.cldrd import CLDRDTrainer
from recbole_hetcomp.trainer.methods.dcd import DCDTrainer
from recbole_hetcomp.trainer.methods.mtd import MTDTrainer
from recbole_hetcomp.trainer.methods.nokd import NoKDTrainer
from recbole_hetcomp.trainer.methods.rcekd import RCEKDTrainer
from recbole_hetcomp.trainer.methods.rd import RDTrainer
from recbole_hetcomp.trainer.methods.rrd import RRDTrainer
from recbole_hetcomp.trainer.methods.taught import RefreshedTrainer, TaughtTrainer
from recbole_hetcomp.trainer.methods.unkd import UnKDTrainer

__all__ = [
    "CDTrainer",
    "CLDRDTrainer",
    "DCDTrainer",
    "MTDTrainer",
    "NoKDTrainer",
    "RCEKDTrainer",
    "RDTrainer",
    "RRDTrainer",
    "RefreshedTrainer",
    "TaughtTrainer",
    "UnKDTrainer",
]
