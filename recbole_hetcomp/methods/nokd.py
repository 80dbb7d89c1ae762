"""The student alone: the backbone's own loss on RecBole's own batches, in the trainer of the distilled ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_hetcomp.declared import default
from recbole_hetcomp.methods.method import distillation_method
from recbole_hetcomp.settings import Student
from recbole_hetcomp.student.trainer import DistillingTrainer


@distillation_method(training={"compare_no_kd": False, **default(Student, "no_kd_config")})
class NoKDTrainer(DistillingTrainer):
    """The student's own loss alone: what ``compare_no_kd`` trains beside another method, as a run of its own."""

    with_teachers = False

    def _make_batches(self, train_data: Any) -> Any:
        return train_data

    def _batch_loss(self, batch: Any) -> Tensor:
        return self._base_loss(batch)
