"""Hyperparameter sweeps with Ray Tune: chosen on validation, with one set of teachers for all trials.

Read in this order: ``space`` (what is searched), ``trainable`` (what runs in a worker), ``teachers``, ``sweep``.
"""

from recbole_hetcomp.tune.options import SCHEDULERS, SEARCHES, SweepOptions
from recbole_hetcomp.tune.space import Parameter, parse_hyper, parse_yaml, read_space
from recbole_hetcomp.tune.sweep import SweepResult, run_sweep
from recbole_hetcomp.tune.sweep_plan import SweepPlan, load_plan, make_plan

__all__ = [
    "SCHEDULERS",
    "SEARCHES",
    "Parameter",
    "SweepOptions",
    "SweepPlan",
    "SweepResult",
    "load_plan",
    "make_plan",
    "parse_hyper",
    "parse_yaml",
    "read_space",
    "run_sweep",
]
