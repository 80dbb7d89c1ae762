"""The ensemble of all teachers (method.md §2), the accuracy that a student is to keep."""

from __future__ import annotations

from typing import Any

from recbole_hetcomp.config import checked_settings
from recbole_hetcomp.model.teacher.importedranking import ImportedRanking


class TeacherEnsemble(ImportedRanking):
    """The consensus of the teachers' final snapshots as a RecBole model.

    Its trainer trains the teachers, or takes them from the store, and gives it the consensus over every item that any
    teacher lists. Source: *Consensus Learning from Heterogeneous Objectives for One-Class Collaborative Filtering*
    (Kang et al., WWW 2022), as *Distillation from Heterogeneous Models* (WWW 2023) uses it.
    """

    property_files = ("HetComp",)

    @classmethod
    def configure(cls, config: Any) -> None:
        """Check the settings when a Config is built."""
        checked_settings(config)
