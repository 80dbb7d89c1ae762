"""The comparison of distillation methods: contents.

=========  ==========================================================================================
plan       a benchmark as dataclasses
reading    its config file
checks     its names, settings and metrics against what RecBole and the plugin know, before any run
tuning     random search over a method's space, and the choice among its trials
grid       a plan's cells, what each needs, and the key that names it
measure    what one model is worth and costs: per-user metrics, latency, bytes
cells      runs one cell; a process of its own (``python -m recbole_hetcomp.comparison.cells FOLDER``)
folder     what lies where in the output folder
processes  runs cells in processes of their own
collect    the done cells as ``runs``, ``per_user``, ``curves`` and ``tuning`` tables
runner     order, progress, going on after a stop; :func:`run_benchmark`
=========  ==========================================================================================
"""

from recbole_hetcomp.comparison.plan import BenchmarkPlan
from recbole_hetcomp.comparison.plan_file import read_plan
from recbole_hetcomp.comparison.runner import run_benchmark

__all__ = ["BenchmarkPlan", "read_plan", "run_benchmark"]
