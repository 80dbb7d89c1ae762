"""A benchmark's config: what is understood, what is refused before anything runs, and the trials' draws."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import yaml

from recbole_hetcomp.comparison.checks import check_plan
from recbole_hetcomp.comparison.plan_file import make_plan, read_plan
from recbole_hetcomp.comparison.trials import best_trials, nearest, trial_settings
from recbole_hetcomp.files import properties_dir

CONFIG = {
    "dataset": "ml-100k",
    "seeds": [1, 2],
    "teachers": {"models": ["BPR", "EASE"], "settings": {"BPR": {"epochs": 2, "eval_step": 1}}},
    "students": {
        "settings": {"epochs": 4},
        "backbones": {"BPR": {"dimensions": [4, 8]}, "LightGCN": {"dimensions": [8], "methods": ["HetComp"]}},
        "methods": {
            "HetComp": {"space": {"learning_rate": {"loguniform": [1e-3, 1e-1]}}},
            "HetComp (K=50)": {"like": "HetComp", "settings": {"K": 50}},
        },
    },
    "baselines": {"Pop": {}, "EASE": {"space": {"reg_weight": {"choice": [50.0, 100.0, 500.0]}}}},
    "tuning": {"trials": 3},
}


def changed(path: str, value: object) -> dict:
    config = copy.deepcopy(CONFIG)
    *folders, last = path.split(".")
    inner = config
    for name in folders:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return config


def test_a_plan_has_the_config_and_the_papers_split():
    plan = make_plan(CONFIG)
    assert plan.seeds == (1, 2)
    assert plan.methods_of("BPR") == ("HetComp", "HetComp (K=50)")
    assert plan.methods_of("LightGCN") == ("HetComp",)
    assert plan.settings["eval_args"]["split"] == {"RS": [0.6, 0.2, 0.2]}
    assert plan.plain()["students"]["backbones"]["BPR"]["dimensions"] == [4, 8]
    assert make_plan({**plan.plain()}) == plan


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sedes", [1], "unknown key 'sedes'; did you mean 'seeds'"),
        ("students.method", {}, "unknown key 'method' in students; did you mean 'methods'"),
        ("students.methods.HetComp.spaces", {}, "did you mean 'space'"),
        ("students.backbones.BPR.dimension", [4], "did you mean 'dimensions'"),
        ("students.backbones.LightGCN.methods", {"HetCom": {}}, "did you mean 'HetComp'"),
        ("students.backbones.LightGCN.methods", {"HetComp": 3}, "methods.HetComp is 3: a mapping"),
        ("tuning.trial", 3, "did you mean 'trials'"),
        ("seeds", [], "seeds is empty"),
        ("seeds", [1, 1], "names a number twice"),
        ("workers", 0, "workers=0 is not allowed: at least 1"),
        ("tuning.search", "grid", "one of random"),
        ("tuning.finalists", 0, "tuning.finalists=0 is not allowed: at least 1"),
        ("tuning.finalists", "two", "tuning.finalists='two' is not allowed: a whole number"),
        ("tuning.trials", 1.5, "tuning.trials=1.5 is not allowed: a whole number"),
        ("tuning.seed", True, "tuning.seed=True is not allowed: a whole number"),
        ("teachers.seed", -1, "teachers.seed=-1 is not allowed: at least 0"),
        ("split_seed", "one", "split_seed='one' is not allowed: a whole number"),
        ("threads", "all", "threads='all' is not allowed: a whole number"),
        ("metric", 5, "metric=5 is not allowed: text"),
        ("dataset", 100, "dataset=100 is not allowed: text"),
        ("students.backbones.LightGCN.methods", ["HetCom"], "did you mean 'HetComp'"),
        ("students.methods.Other", {"like": "HetCom"}, "did you mean 'HetComp'"),
        ("students.methods.HetComp.space", {"K": {"choices": [50]}}, "kind 'choices' is not allowed"),
        ("students.methods.EASE", {"model": "HetComp"}, "name of another row"),
        ("students.methods.HetComp.dimensions", [], "dimensions is empty"),
        ("baselines.Pop.seeds", [3], "Pop.seeds names 3, which is none of"),
        ("baselines.Pop", {"like": "EASE"}, "only methods do"),
        ("baselines.Pop.tuned", "no", "Pop.tuned='no' is not allowed: True or False"),
        ("students.methods.HetComp.tuned", 0, "HetComp.tuned=0 is not allowed: True or False"),
    ],
)
def test_a_wrong_config_is_refused(path, value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_plan(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("students.methods.HetCmp", {"space": {"K": {"choice": [50, 60, 70]}}}, "did you mean 'HetComp'"),
        ("baselines.LightGCM", {}, "did you mean 'LightGCN'"),
        ("students.backbones.BRP", {"dimensions": [4]}, "did you mean 'BPR'"),
        ("teachers.models", ["BPR", "CMLL"], "did you mean 'CML'"),
        ("teachers.settings.EASY", {}, "did you mean 'EASE'"),
        ("teachers.settings.BPR.learnin_rate", 1, "did you mean 'learning_rate'"),
        ("settings.metrics", ["Recal"], "did you mean 'recall'"),
        ("settings.metrics", ["Recall", "GiniIndex"], "a value for each user"),
        ("settings.valid_metric", "Recall@20", "is not computed: .* recall@10"),
        ("metric", "recall@20", "metric names 'recall@20'"),
        ("students.settings.discrepency_gain", "teacher", "did you mean 'discrepancy_gain'"),
        ("students.settings.alpha", -1.0, "alpha=-1.0 is not allowed"),
        ("students.settings.epoch", 5, "unknown setting 'epoch'; did you mean 'epochs'"),
        ("students.methods.HetComp.settings", {"snapshots": 2}, "what all models share"),
        ("students.backbones.LightGCN.methods", {"HetComp": {"snapshots": 2}}, "what all models share"),
        ("students.backbones.LightGCN.methods", {"HetComp": {"alfa": 1.1}}, "did you mean 'alpha'"),
        ("students.methods.HetComp.space", {"seed": {"choice": [1, 2, 3]}}, "seeds and teachers.seed decides it"),
        ("students.methods.HetComp.space", {"alfa": {"choice": [1, 2, 3]}}, "did you mean 'alpha'"),
        ("students.methods.HetComp.space", {}, "has no space"),
        ("baselines.EASE.space", {"reg_weight": {"choice": [1.0]}}, "no 2 different settings"),
        ("baselines.EASE.settings", {"reg_wait": 1.0}, "did you mean 'reg_weight'"),
        ("settings.seed", 3, "settings.seed is not allowed"),
    ],
)
def test_names_and_settings_are_checked_before_anything_runs(path, value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check_plan(make_plan(changed(path, value)))


def test_a_missing_data_set_is_told_before_anything_runs():
    with pytest.raises(FileNotFoundError, match="--data_path"):
        check_plan(make_plan({**CONFIG, "dataset": "nowhere", "data_path": "there"}))


def test_the_fingerprint_is_of_the_data():
    one = check_plan(make_plan(CONFIG))
    assert one == check_plan(make_plan(changed("seeds", [3])))
    assert len(one) == 16


def test_the_fingerprint_is_the_same_wherever_the_data_lies(tmp_path):
    def fingerprint(folder, interactions):
        data = tmp_path / folder / "small"
        data.mkdir(parents=True)
        (data / "small.inter").write_text("user_id:token\titem_id:token\n" + interactions)
        (data / "small.yaml").write_text(f"data_path: {data.parent}\n")
        (data / "small.card.md").write_text(f"made in {folder}\n")
        return check_plan(make_plan({**CONFIG, "dataset": "small", "data_path": str(data.parent)}))

    assert fingerprint("here", "1\t2\n") == fingerprint("there", "1\t2\n") != fingerprint("other", "1\t3\n")


def test_a_file_is_read_with_changes(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(
        "dataset: ml-100k\nseeds: 1\nteachers: {models: BPR}\nstudents:\n"
        "  backbones: {BPR: {dimensions: 4}}\n  methods: {HetComp: {settings: {learning_rate: 1e-3}}}\n"
    )
    plan = read_plan(file, ["data_path=some/where", "settings.topk=[5]", "seeds=[7, 8]"])
    assert (plan.data_path, plan.settings["topk"], plan.seeds) == ("some/where", [5], (7, 8))
    assert plan.students.methods["HetComp"].settings["learning_rate"] == 1e-3
    with pytest.raises(ValueError, match="key=value"):
        read_plan(file, ["seeds"])
    with pytest.raises(ValueError, match="holds no keys"):
        read_plan(file, ["dataset.name=1"])
    with pytest.raises(FileNotFoundError, match="did you mean 'smoke'"):
        read_plan("smok")


def test_a_file_extends_another(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(CONFIG))
    more = tmp_path / "more.yaml"
    more.write_text(
        "extends: base.yaml\nseeds: [3]\nstudents:\n  backbones: {BPR: {dimensions: [16]}}\n"
        "  methods: {HetComp (K=9): {like: HetComp, settings: {K: 9}}, HetComp: {dimensions: [8]}}\n"
    )
    plan, base = read_plan(more, ["workers=3"]), make_plan(CONFIG)
    assert (plan.seeds, plan.workers, plan.dataset) == ((3,), 3, "ml-100k")
    assert plan.students.backbones["BPR"].dimensions == (16,)
    assert plan.students.backbones["LightGCN"] == base.students.backbones["LightGCN"]
    assert list(plan.students.methods) == ["HetComp", "HetComp (K=50)", "HetComp (K=9)"]
    assert plan.students.methods["HetComp"].space == base.students.methods["HetComp"].space
    assert plan.students.methods["HetComp"].dimensions == (8,)
    assert (plan.teachers, plan.tuning) == (base.teachers, base.tuning)


def test_what_another_file_has_is_left_out_with_a_null(tmp_path):
    base = {**CONFIG, "settings": {"load_col": {"inter": ["user_id"]}}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    more = tmp_path / "more.yaml"
    more.write_text(
        "extends: base.yaml\nstudents: {methods: {HetComp (K=50): ~}, settings: {min_feat: ~}}\nbaselines: {EASE: ~}\n"
        "settings: {load_col: ~}\n"
    )
    plan = read_plan(more)
    assert list(plan.students.methods) == ["HetComp"]
    assert plan.students.settings["min_feat"] is plan.settings["load_col"] is None  # values, no parts of the plan
    assert read_plan(tmp_path / "base.yaml", ["settings.load_col=~"]).settings["load_col"] is None
    assert list(plan.baselines) == list(read_plan(tmp_path / "base.yaml", ["baselines.EASE=~"]).baselines) == ["Pop"]
    assert read_plan(more, ["baselines=~"]).baselines == {}


def test_a_file_may_extend_a_shipped_one(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: smoke\nworkers: 3\n")
    shipped = read_plan("smoke")
    assert read_plan(file) == dataclasses.replace(shipped, workers=3)


def test_what_a_file_extends_is_checked(tmp_path):
    file, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    file.write_text("extends: smok\n")
    with pytest.raises(FileNotFoundError, match="did you mean 'smoke'"):
        read_plan(file)
    file.write_text("extends: other.yaml\n")
    other.write_text("extends: mine.yaml\n")
    with pytest.raises(ValueError, match="extends itself"):
        read_plan(file)
    other.write_text("[dataset, seeds]\n")
    with pytest.raises(ValueError, match=r"other.yaml holds .*a mapping"):
        read_plan(file)


@pytest.mark.parametrize("file", sorted((properties_dir() / "benchmark").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_shipped_configs_are_right(file, tmp_path):
    plan = read_plan(file)
    assert read_plan(file.stem) == plan
    if plan.dataset != "ml-100k":
        folder = tmp_path / plan.dataset
        folder.mkdir()
        for part in ("train", "valid", "test"):
            (folder / f"{plan.dataset}.{part}.inter").write_text("user_id:token\titem_id:token\n1\t1\n")
        (folder / f"{plan.dataset}.item").write_text("item_id:token\n1\n")
        plan = read_plan(file, [f"data_path={tmp_path}"])
    check_plan(plan)


def test_splits_and_the_teachers_seed():
    by_seed = make_plan(CONFIG)
    assert by_seed.splits == (1, 2)
    assert [by_seed.teacher_seed(split) for split in by_seed.splits] == [1, 2]
    fixed = make_plan(changed("settings.benchmark_filename", ["train", "valid", "test"]))
    assert fixed.splits == (1,)
    shared = make_plan({**CONFIG, "split_seed": 9, "teachers": {**CONFIG["teachers"], "seed": 5}})
    assert (shared.splits, shared.teacher_seed(9)) == ((9,), 5)


def test_trials_begin_with_the_settings_as_they_stand_and_grow_at_the_end():
    space = {"K": {"choice": [50, 100, 200]}, "learning_rate": {"loguniform": [1e-4, 1e-1]}}
    drawn = trial_settings("HetComp", space, 6, seed=0)
    assert drawn[0] == {}
    assert all(set(one) == set(space) and 1e-4 <= one["learning_rate"] <= 1e-1 for one in drawn[1:])
    assert all(drawn.count(one) == 1 for one in drawn)
    assert trial_settings("HetComp", space, 3, seed=0) == drawn[:3]
    assert trial_settings("HetComp", space, 40, seed=0)[:6] == drawn
    assert trial_settings("HetComp", space, 6, seed=1) != drawn
    assert trial_settings("RRD", space, 6, seed=0) != drawn
    with pytest.raises(ValueError, match="no 4 different settings"):
        trial_settings("HetComp", {"K": {"choice": [50, 100]}}, 5, seed=0)


def test_the_best_trials_are_the_first_of_the_best_that_ran():
    assert best_trials([None, 0.2, 0.5, 0.5], 1) == [2]
    assert best_trials([None, 0.2, 0.5, 0.5], 9) == [2, 3, 1]
    assert best_trials([None], 1) == best_trials([], 1) == []


def test_a_dimension_takes_the_nearest_tuned_one():
    assert [nearest(size, [6, 16]) for size in (4, 6, 9, 10, 32)] == [6, 6, 6, 16, 16]
