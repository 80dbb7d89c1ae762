"""NoKD: the student that nobody teaches."""

from __future__ import annotations

from recbole_hetcomp.student.model import DistilledStudent


class NoKD(DistilledStudent):
    """The student's own loss alone, without teachers.

    Its training settings are those of HetComp's ``no_kd_config``, so a run of it is what ``compare_no_kd`` trains
    beside another method.
    """
