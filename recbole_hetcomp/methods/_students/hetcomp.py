"""HetComp's student. What makes it HetComp is its trainer, :class:`recbole_hetcomp.trainer.HetCompTrainer`."""

from __future__ import annotations

from recbole_hetcomp.student.model import DistilledStudent


class HetComp(DistilledStudent):
    """The compact student of *Distillation from Heterogeneous Models for Top-K Recommendation* (WWW 2023)."""
