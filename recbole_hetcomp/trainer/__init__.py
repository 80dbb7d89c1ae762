"""RecBole trainers: recording teachers, distilling students."""

from recbole_hetcomp.trainer.distilling import DistillingTrainer
from recbole_hetcomp.trainer.ensemble import TeacherEnsembleTrainer
from recbole_hetcomp.trainer.hetcomp import HetCompTrainer

__all__ = ["DistillingTrainer", "HetCompTrainer", "TeacherEnsembleTrainer"]
