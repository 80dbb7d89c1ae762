"""Options: what is refused, what a machine gives, which searchers and schedulers they stand for."""

from __future__ import annotations

import pytest

from recbole_hetcomp.tune.options import Resources, SweepOptions, check_room, teacher_resources, trial_resources
from recbole_hetcomp.tune.schedulers import known_points, scheduler, searcher
from recbole_hetcomp.tune.space import parse_yaml

SPACE = parse_yaml(
    "learning_rate: {loguniform: [1e-3, 1e-1], mutable: True}\nK: {choice: [50, 100]}\nh: {choice: [[1], [2, 3]]}"
)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"search": "bayes"}, "search='bayes' is not allowed: one of random, grid, optuna, hyperopt"),
        ({"scheduler": "bohb"}, "scheduler='bohb' is not allowed"),
        ({"num_samples": 0}, "num_samples=0 is not allowed: at least 1"),
        ({"max_failures": -1}, "max_failures=-1 is not allowed: at least 0"),
        ({"cpus_per_trial": 0.0}, "cpus_per_trial=0.0 is not allowed: it must be greater than 0"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial=1.5 is not allowed: a fraction below 1, or a whole number"),
        ({"gpus_per_trial": -1.0}, "gpus_per_trial=-1.0 is not allowed: at least 0"),
        ({"time_budget": 0.0}, "time_budget=0.0"),
        ({"reduction_factor": 1.0}, "reduction_factor=1.0"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(changed, message):
    with pytest.raises(ValueError, match=message):
        SweepOptions(output="out", **changed)


@pytest.mark.parametrize(
    ("machine", "options", "expected"),
    [
        ({"CPU": 2.0}, {}, Resources(1.0, 0.0)),
        ({"CPU": 16.0, "GPU": 1.0}, {}, Resources(4.0, 0.25)),
        ({"CPU": 8.0, "GPU": 1.0}, {"gpus_per_trial": 1.0}, Resources(4.0, 1.0)),
        ({"CPU": 8.0, "GPU": 1.0}, {"gpus_per_trial": 0.0}, Resources(1.0, 0.0)),
        ({"CPU": 2.0, "GPU": 8.0}, {}, Resources(1.0, 0.25)),
        ({"CPU": 2.0}, {"cpus_per_trial": 2.0}, Resources(2.0, 0.0)),
    ],
)
def test_a_trial_gets_what_suits_the_machine(machine, options, expected):
    assert trial_resources(SweepOptions(output="out", **options), machine) == expected


def test_teachers_get_what_trials_get_unless_told():
    assert teacher_resources(SweepOptions(output="out"), Resources(2.0, 0.5)) == Resources(2.0, 0.5)
    told = SweepOptions(output="out", cpus_per_teacher=4.0, gpus_per_teacher=1.0)
    assert teacher_resources(told, Resources(2.0, 0.5)) == Resources(4.0, 1.0)
    with pytest.raises(ValueError, match="both or neither use a GPU"):
        teacher_resources(SweepOptions(output="out", gpus_per_teacher=0.0), Resources(1.0, 0.5))


def test_what_fits_no_node_is_refused():
    check_room("a trial", Resources(1.0, 0.0), [{"CPU": 1.0}])
    with pytest.raises(ValueError, match="a trial wants 4 CPUs and 1 GPUs; the nodes have: 2 CPUs, 0 GPUs; 8 CPUs"):
        check_room("a trial", Resources(4.0, 1.0), [{"CPU": 2.0}, {"CPU": 8.0}])


def test_storage_is_absolute_or_a_uri(tmp_path):
    assert SweepOptions(output="out").storage_path == str(tmp_path.cwd() / "out" / "trials")
    assert SweepOptions(output="out", storage="s3://bucket/x").storage_path == "s3://bucket/x"
    assert SweepOptions(output="out", storage="there").storage_path == str(tmp_path.cwd() / "there")


def test_random_and_grid_points_are_known_beforehand():
    assert len(known_points(SPACE, SweepOptions(output="out", num_samples=3), seed=1)) == 3
    assert len(known_points(SPACE[1:], SweepOptions(output="out", search="grid"), seed=1)) == 4
    assert known_points(SPACE, SweepOptions(output="out", search="optuna"), seed=1) is None


@pytest.mark.parametrize("search", ["optuna", "hyperopt"])
@pytest.mark.parametrize("limit", [None, 2])
def test_searchers_suggest_points_of_the_space_and_repeat_them(search, limit):
    pytest.importorskip(search)

    def first() -> dict:
        made = searcher(SPACE, SweepOptions(output="out", search=search, max_concurrent=limit), 3, "max", "objective")
        return made.suggest("trial")

    point = first()
    assert 1e-3 <= point["learning_rate"] <= 1e-1
    assert point["K"] in (50, 100)
    assert point["h"] in ("[1]", "[2, 3]")
    assert first() == point


def test_a_missing_searcher_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'recbole-hetcomp\[tune\]'"):
        searcher(SPACE, SweepOptions(output="out", search="optuna"), 3, "max", "objective")


def test_asha_gives_each_trial_some_epochs_and_never_cuts_the_last_report_off():
    made = scheduler(SPACE, SweepOptions(output="out"), epochs=270, eval_step=5)
    rungs = [milestone for milestone, _ in made._brackets[0]._rungs]
    assert min(rungs) == 10
    assert made._max_t == 271
    assert scheduler(SPACE, SweepOptions(output="out", grace_epochs=50), 270, 5)._brackets[0]._rungs[-1][0] == 50
    assert scheduler(SPACE, SweepOptions(output="out", scheduler="none"), 270, 5) is None


def test_population_based_training_needs_something_to_change():
    made = scheduler(SPACE, SweepOptions(output="out", scheduler="pbt"), 100, 5)
    assert set(made._hyperparam_mutations) == {"learning_rate"}
    explored = made._custom_explore_fn({"learning_rate": 5.0, "K": 50, "h": "[1]"})
    assert explored == {"learning_rate": 0.1, "K": 50, "h": "[1]"}
    with pytest.raises(ValueError, match="no parameter of the space may be"):
        scheduler(SPACE[1:], SweepOptions(output="out", scheduler="pbt"), 100, 5)


def test_ashas_memory_survives_a_restart():
    from ray.tune.schedulers import ASHAScheduler

    from recbole_hetcomp.tune.callbacks import SchedulerMemory

    first = ASHAScheduler(time_attr="epoch", max_t=9, grace_period=1, reduction_factor=3)
    first._brackets[0]._rungs[-1][1]["trial"] = 0.5
    second = ASHAScheduler(time_attr="epoch", max_t=9, grace_period=1, reduction_factor=3)
    SchedulerMemory(second).set_state(SchedulerMemory(first).get_state())
    assert second._brackets[0]._rungs[-1][1] == {"trial": 0.5}
