"""An imported teacher in a benchmark: its content is part of the cells' keys."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from test_benchmark_plan import CONFIG

from recbole_hetcomp.comparison.grid import Grid
from recbole_hetcomp.comparison.plan_file import make_plan
from recbole_hetcomp.trajectories.imported import ImportWriter


def config(**more):
    changed = copy.deepcopy(CONFIG)
    changed["teachers"]["models"] = ["EASE", "import:llm"]
    changed["teachers"]["settings"] = {}
    return {**changed, **more}


def imported(store, items):
    with ImportWriter(store, "llm", 3, [0]) as writer:
        writer.append(0, np.array([1, 1, 2]), np.array(items))
        writer.publish({"data": {"dataset": "ml-100k"}}, replace=True)


def test_another_content_makes_other_cells(tmp_path):
    imported(tmp_path, [3, 1, 2])
    plan = make_plan(config(store_dir=str(tmp_path)))
    keys = {cell.method: cell.key for cell in Grid(plan, "data").teachers()}
    imported(tmp_path, [1, 3, 2])
    again = {cell.method: cell.key for cell in Grid(plan, "data").teachers()}
    assert keys["EASE"] == again["EASE"]
    assert keys["import:llm"] != again["import:llm"]


def test_its_store_must_be_named():
    with pytest.raises(ValueError, match="names 'import:llm': give store_dir, the store that it was imported into"):
        Grid(make_plan(config()), "data").teachers()
