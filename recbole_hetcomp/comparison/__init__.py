"""The comparison of distillation methods, run by ``hetcomp benchmark``: contents.

==========  =========================================================================================================
plan        a benchmark as dataclasses
plan_file   its config file
checks      its names, settings and metrics against what RecBole and the plugin know, before any run
trials      random search over a method's space, and the choice among its trials
grid        a plan's cells, what each needs, and the key that names it
measure     what one model is worth and costs: per-user metrics, latency, bytes
cells       runs one cell, in a process of its own (``python -m recbole_hetcomp.comparison.cells FOLDER``)
folder      what lies where in the output folder
processes   runs cells in processes of their own
runner      order, progress, going on after a stop; :func:`run_benchmark`
collect     the cells that are done as ``runs``, ``per_user``, ``curves`` and ``tuning`` tables
statistics  paired tests over users and over seeds
report      tables and pictures in one document
archive     the cells that are done in one file (``python -m recbole_hetcomp.comparison.archive pack FOLDER FILE``)
==========  =========================================================================================================
"""

from recbole_hetcomp.extras import require

require("A benchmark", "matplotlib", "jinja2", "statsmodels", "pyarrow")

from recbole_hetcomp.comparison.plan import BenchmarkPlan  # noqa: E402
from recbole_hetcomp.comparison.plan_file import read_plan  # noqa: E402
from recbole_hetcomp.comparison.runner import run_benchmark  # noqa: E402

__all__ = ["BenchmarkPlan", "read_plan", "run_benchmark"]
