"""Teachers: the protocol, the pool that trains or finds them, their recorder and ensemble, and models of our own."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)

from recbole_hetcomp.recbole_bridge.loaders import ItemDataLoader
from recbole_hetcomp.recbole_bridge.registry import LISTS, register_model
from recbole_hetcomp.teachers.cml import CML
from recbole_hetcomp.teachers.ensemble import TeacherEnsemble, TeacherEnsembleTrainer
from recbole_hetcomp.teachers.ials import IALS, IALSTrainer
from recbole_hetcomp.teachers.imported_ranking import ImportedRanking
from recbole_hetcomp.teachers.itemvae import ItemVAE

__all__ = ["CML", "IALS", "ImportedRanking", "ItemVAE", "TeacherEnsemble"]

register_model(CML)
register_model(IALS, trainer=IALSTrainer)
register_model(ItemVAE, loader=ItemDataLoader)
register_model(ImportedRanking, role=LISTS)
register_model(TeacherEnsemble, trainer=TeacherEnsembleTrainer, role=LISTS)
