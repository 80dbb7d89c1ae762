"""A plan's cells: which there are, what they need and what their keys depend on."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from test_benchmark_plan import CONFIG, changed

from recbole_hetcomp.comparison import grid as grids
from recbole_hetcomp.comparison.grid import Cell, Contender, Grid
from recbole_hetcomp.comparison.plan_file import make_plan
from recbole_hetcomp.recbole_bridge.property_files import read_preset, read_properties


def grid_of(config: dict, data: str = "data") -> Grid:
    return Grid(make_plan(config), data)


def test_there_is_a_cell_for_each_teacher_and_ensemble_of_each_split():
    grid = grid_of(CONFIG)
    assert [(cell.method, cell.split_seed, cell.seed) for cell in grid.teachers()] == [
        ("BPR", 1, 1), ("EASE", 1, 1), ("BPR", 2, 2), ("EASE", 2, 2)
    ]  # fmt: skip
    assert [cell.split_seed for cell in grid.ensembles()] == [1, 2]
    shared = grid_of({**CONFIG, "split_seed": 7})
    assert len(shared.teachers()) == 2
    assert len(shared.ensembles()) == 1


def test_each_method_is_tuned_once_a_backbone_with_one_budget():
    grid = grid_of({**CONFIG, "tuning": {"trials": 3, "dimensions": [8]}})
    assert grid.tuned() == [
        Contender("baseline", "EASE"),
        Contender("student", "HetComp", "BPR", 8),
        Contender("student", "HetComp", "LightGCN", 8),
    ]
    for what in grid.tuned():
        trials = grid.trials(what)
        assert [(trial.tuning, trial.seed, trial.split_seed) for trial in trials] == [(True, 1, 1)] * 3
        assert len({trial.key for trial in trials}) == 3


def test_every_final_run_waits_for_its_own_tuning():
    grid = grid_of({**CONFIG, "tuning": {"trials": 3, "dimensions": [8]}})
    waits = {(row.method, row.backbone, row.dimension): before for row, before in grid.finals()}
    assert waits["Pop", None, None] == []
    assert waits["EASE", None, None] == [Contender("baseline", "EASE")]
    for dimension in (4, 8):
        for method in ("HetComp", "HetComp (K=50)"):
            assert waits[method, "BPR", dimension] == [Contender("student", "HetComp", "BPR", 8)]
    untuned = grid_of({**CONFIG, "tuning": {"trials": 0}})
    assert all(before == [] for _, before in untuned.finals())
    assert untuned.tuned() == []


@pytest.mark.parametrize(("tuned", "at"), [([4, 8], [4]), ([8], [8])])
def test_a_method_is_tuned_at_sizes_that_its_rows_take_their_settings_from(tuned, at):
    config = {**changed("students.methods.RRD", {"dimensions": [4], "space": {"K": {"choice": [50, 100, 200]}}})}
    grid = grid_of({**config, "tuning": {"trials": 3, "dimensions": tuned}})
    sizes = {
        name: [what.dimension for what in grid.tuned() if (what.method, what.backbone) == (name, "BPR")]
        for name in ("RRD", "HetComp")
    }
    assert sizes == {"RRD": at, "HetComp": tuned}


def test_what_is_not_to_be_tuned_runs_as_it_stands_beside_the_rest():
    config = {**changed("students.methods.As it is", {"like": "HetComp", "tuned": False}), "tuning": {"trials": 3}}
    grid = grid_of(config)
    waits = {(row.method, row.dimension): before for row, before in grid.finals() if row.backbone == "BPR"}
    assert waits["As it is", 4] == waits["As it is", 8] == []
    assert waits["HetComp", 8] == [Contender("student", "HetComp", "BPR", 4)]
    tuned, as_it_is = (
        grid.runs(Contender("student", method, "BPR", 8), {})[0].settings for method in ("HetComp", "As it is")
    )
    assert tuned == as_it_is
    config["baselines"] = {"EASE": {**config["baselines"]["EASE"], "tuned": False}}
    config["students"]["methods"]["HetComp"]["tuned"] = False
    assert grid_of(config).tuned() == []


def test_settings_win_from_the_common_to_the_chosen():
    config = copy.deepcopy(CONFIG)
    config["students"]["backbones"]["BPR"]["settings"] = {"epochs": 5, "p": 3}
    config["students"]["methods"]["HetComp"]["settings"] = {"p": 4, "K": 100}
    grid = grid_of(config)
    plain, ablation = (
        grid.runs(Contender("student", method, "BPR", 8), {"K": 150, "learning_rate": 0.5})[1]
        for method in ("HetComp", "HetComp (K=50)")
    )
    assert {name: plain.settings[name] for name in ("epochs", "p", "K", "learning_rate", "seed")} == {
        "epochs": 5, "p": 4, "K": 150, "learning_rate": 0.5, "seed": 2
    }  # fmt: skip
    assert plain.settings["teacher_config"]["BPR"] == {"seed": 2, "epochs": 2, "eval_step": 1}
    assert not plain.settings["compare_no_kd"]
    assert ablation.settings == {**plain.settings, "K": 50}
    assert (ablation.model, ablation.method) == ("HetComp", "HetComp (K=50)")


def test_a_method_may_have_settings_of_its_own_with_a_backbone():
    config = copy.deepcopy(CONFIG)
    config["students"]["methods"]["HetComp"]["settings"] = {"p": 4, "K": 100}
    config["students"]["backbones"]["LightGCN"]["methods"] = {"HetComp": {"K": 120}, "HetComp (K=50)": {"p": 9}}
    grid = grid_of(config)
    found = {
        (backbone, method): {
            name: grid.runs(Contender("student", method, backbone, 8), {"learning_rate": 0.5})[0].settings[name]
            for name in ("p", "K", "learning_rate")
        }
        for backbone in ("BPR", "LightGCN")
        for method in ("HetComp", "HetComp (K=50)")
    }
    assert found == {
        ("BPR", "HetComp"): {"p": 4, "K": 100, "learning_rate": 0.5},
        ("BPR", "HetComp (K=50)"): {"p": 4, "K": 50, "learning_rate": 0.5},
        ("LightGCN", "HetComp"): {"p": 4, "K": 120, "learning_rate": 0.5},
        ("LightGCN", "HetComp (K=50)"): {"p": 9, "K": 50, "learning_rate": 0.5},
    }
    assert [row.method for row, _ in grid.finals() if row.backbone == "LightGCN"] == ["HetComp", "HetComp (K=50)"]


def test_a_method_runs_at_its_own_dimensions_only():
    rows = grid_of(changed("students.methods.HetComp (K=50).dimensions", [4])).finals()
    assert [(row.method, row.dimension) for row, _ in rows if row.backbone == "BPR"] == [
        ("HetComp", 4), ("HetComp (K=50)", 4), ("HetComp", 8)
    ]  # fmt: skip


def test_a_baseline_runs_with_its_own_seeds_only():
    grid = grid_of(changed("baselines.Pop.seeds", [2]))
    assert [cell.seed for cell in grid.runs(Contender("baseline", "Pop"), {})] == [2]


def test_a_method_with_fewer_teachers_gives_settings_of_those_only():
    config = changed("students.methods.Half", {"like": "HetComp", "settings": {"teachers": ["EASE"]}})
    (cell, _) = grid_of(config).runs(Contender("student", "Half", "BPR", 8), {})
    assert cell.settings["teacher_config"] == {"EASE": {"seed": 1}}


def test_a_key_changes_with_what_decides_the_cell_and_with_nothing_else():
    row = Contender("student", "HetComp", "BPR", 8)
    cell = grid_of(CONFIG).runs(row, {})[0]
    others = {
        **CONFIG, "workers": 2, "threads": 3, "seeds": [1], "tuning": {"trials": 9}, "baselines": {}, "store_dir": "x",
    }  # fmt: skip
    assert grid_of(others).runs(row, {})[0].key == cell.key
    assert Cell(**json.loads(json.dumps(cell.plain()))).key == cell.key
    different = [
        grid_of(CONFIG).runs(row, {})[1],
        grid_of(CONFIG).runs(row, {"K": 50})[0],
        grid_of(CONFIG, data="other").runs(row, {})[0],
        grid_of(changed("teachers.settings.BPR.epochs", 3)).runs(row, {})[0],
        grid_of(CONFIG).runs(replace(row, dimension=4), {})[0],
        grid_of(CONFIG).trials(row)[0],
    ]
    assert len({cell.key, *(other.key for other in different)}) == 7


@pytest.mark.parametrize(
    ("model", "name", "counts"),
    [("HetComp", "T_r", True), ("BPR", "learning_rate", True), ("HetComp", "memory_budget_mb", False),
     ("HetComp", "store_dir", False), ("CML", "learning_rate", False)],
)  # fmt: skip
def test_a_key_changes_with_the_defaults_of_the_method_and_its_teachers(monkeypatch, model, name, counts):
    row = Contender("student", "HetComp", "BPR", 8)
    before = grid_of(CONFIG).runs(row, {})[0].key

    def changed_defaults(*parts):
        return {**read_properties(*parts), **({name: "other"} if parts == ("model", model) else {})}

    monkeypatch.setattr(grids, "read_properties", changed_defaults)
    assert (grid_of(CONFIG).runs(row, {})[0].key != before) is counts


def test_a_key_changes_with_the_preset_that_it_names(monkeypatch):
    row, config = Contender("student", "HetComp", "BPR", 8), changed("students.settings", {"preset": "paper"})
    before = grid_of(config).runs(row, {})[0].key
    monkeypatch.setattr(grids, "read_preset", lambda name: {**read_preset(name), "p": 99})
    assert grid_of(config).runs(row, {})[0].key != before


def test_more_trials_keep_the_keys_of_those_that_ran():
    row = Contender("student", "HetComp", "BPR", 4)
    few, many = (grid_of(changed("tuning.trials", count)).trials(row) for count in (3, 5))
    assert [trial.key for trial in many[:3]] == [trial.key for trial in few]


def test_keys_are_the_same_on_every_machine_and_day():
    cell = Cell("baseline", "Pop", "Pop", "ml-100k", "0" * 16, "Pop", None, 1, 1, {"b": 1, "a": [1.5, None]})
    assert cell.key == replace(cell, trial=3).key == "c3ce9102cf9b9d21"
    drawn, elsewhere, other = (
        replace(cell, settings={"space": [{"learning_rate": rate}]})
        for rate in (0.021796544919777103, 0.021796544919777127, 0.0217965451)
    )
    assert drawn.key == elsewhere.key != other.key
