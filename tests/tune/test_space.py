"""Search spaces: both formats, what they refuse, and the points drawn from them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_hetcomp.files import properties_dir
from recbole_hetcomp.tune.space import (
    Parameter,
    decoded,
    domains,
    grid_points,
    merged,
    parse_hyper,
    parse_yaml,
    random_points,
    read_space,
    shipped_space,
)

SHIPPED = sorted(file.stem for file in (properties_dir() / "tune").glob("*.yaml"))


def test_yaml_has_every_kind():
    space = parse_yaml(
        "a: {choice: [1, x, [2, 3]]}\nb: {uniform: [0, 1]}\nc: {loguniform: [1e-3, 1], mutable: True}\n"
        "d: {quniform: [0, 1, 0.25]}\ne: {randint: [1, 5]}"
    )
    assert [parameter.kind for parameter in space] == ["choice", "uniform", "loguniform", "quniform", "randint"]
    assert space[0].values == (1, "x", [2, 3])
    assert space[2].values == (0.001, 1)
    assert [parameter.mutable for parameter in space] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one name"),
        ("[1]", "at least one name"),
        ("a: 3", "a: 3 is not of the form"),
        ("a: {chioce: [1]}", "kind 'chioce' is not allowed: one of choice"),
        ("a: {choice: []}", "at least one option"),
        ("a: {choice: xyz}", "needs a list"),
        ("a: {uniform: [1]}", "uniform needs 2 numbers"),
        ("a: {uniform: [1, x]}", "uniform needs 2 numbers"),
        ("a: {uniform: [2, 1]}", "lower bound 2 is not below 1"),
        ("a: {loguniform: [0, 1]}", "must be greater than 0"),
        ("a: {choice: [1], uniform: [0, 1]}", "one kind of"),
    ],
)
def test_a_wrong_space_says_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        parse_yaml(text)


def test_recboles_format_means_what_it_means_to_recbole():
    space = parse_hyper(
        "learning_rate loguniform -8,0\nembedding_size choice [64, 96 , 128]\n"
        "mlp_hidden_size choice ['[64,64]','[128]']\ndropout uniform 0,1\nx quniform 0,10,2\n\nignored line\n"
    )
    byname = {parameter.name: parameter for parameter in space}
    assert byname["learning_rate"].values == (math.exp(-8), 1.0)
    assert byname["learning_rate"].mutable
    assert byname["embedding_size"].values == (64, 96, 128)
    assert byname["mlp_hidden_size"].values == ([64, 64], [128])
    assert byname["dropout"].values == (0, 1)
    assert byname["x"].values == (0, 10, 2)
    assert len(space) == 5


@pytest.mark.parametrize("value", ["[__import__('os').getcwd()]", "open('x','w')", "[x for x in (1,2)]"])
def test_nothing_in_recboles_format_is_executed(value, tmp_path):
    with pytest.raises(ValueError, match="is not a list of values"):
        parse_hyper(f"a choice {value}")
    assert not list(tmp_path.iterdir())


def test_files_are_told_apart_by_their_names(tmp_path):
    (tmp_path / "a.hyper").write_text("K choice [1,2]")
    (tmp_path / "a.yaml").write_text("K: {choice: [1, 2]}")
    assert read_space(tmp_path / "a.hyper") == read_space(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("K: 1")
    with pytest.raises(ValueError, match=r"search space .*b\.yaml: K"):
        read_space(tmp_path / "b.yaml")


def test_options_that_are_no_scalars_come_back_as_they_were():
    space = parse_yaml("a: {choice: [[1, 2], [3]]}\nb: {choice: [1, True, 1.0]}")
    assert [decoded(space, point)["a"] for point in grid_points(space)[::3]] == [[1, 2], [3]]
    assert [type(decoded(space, point)["b"]) for point in grid_points(space)[:3]] == [int, bool, float]


def test_a_grid_is_all_combinations_and_choices_only():
    points = grid_points(parse_yaml("a: {choice: [1, 2]}\nb: {choice: [x, y, z]}"))
    assert [tuple(point.values()) for point in points] == [(a, b) for a in (1, 2) for b in "xyz"]
    with pytest.raises(ValueError, match="search=grid needs a space of choices only; b is none"):
        grid_points(parse_yaml("a: {choice: [1]}\nb: {uniform: [0, 1]}"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 4))
def test_random_points_are_within_bounds_and_repeatable(seed, count):
    space = parse_yaml("a: {uniform: [1, 2]}\nb: {loguniform: [1e-3, 1e-1]}\nc: {randint: [1, 4]}\nd: {choice: [x, y]}")
    points = random_points(space, count, seed)
    assert points == random_points(space, count, seed)
    assert len(points) == count
    for point in points:
        assert 1 <= point["a"] <= 2
        assert 1e-3 * (1 - 1e-9) <= point["b"] <= 1e-1 * (1 + 1e-9)
        assert point["c"] in (1, 2, 3)
        assert point["d"] in ("x", "y")


def test_more_points_begin_with_the_same_ones():
    space = parse_yaml("a: {uniform: [1, 2]}\nb: {choice: [1, 2, 3]}")
    assert random_points(space, 5, seed=3)[:2] == random_points(space, 2, seed=3)


def test_merging_changes_nothing_that_was_given():
    given_settings = {"teacher_config": {"BPR": {"epochs": 2}}}
    result = merged(given_settings, {"teacher_config.BPR.epochs": 3, "teacher_config.CML.margin": 1.0})
    assert result == {"teacher_config": {"BPR": {"epochs": 3}, "CML": {"margin": 1.0}}}
    assert given_settings == {"teacher_config": {"BPR": {"epochs": 2}}}
    assert merged({"a": None}, {"a.b": 1}) == {"a": {"b": 1}}


def test_population_based_training_stays_within_bounds():
    assert Parameter("a", "uniform", (0.0, 1.0)).clip(1.2) == 1.0
    assert Parameter("a", "loguniform", (0.1, 1.0)).clip(0.08) == 0.1
    assert Parameter("a", "randint", (1, 5)).clip(5) == 4
    assert Parameter("a", "choice", ("x",)).clip("x") == "x"


@pytest.mark.parametrize("model", SHIPPED)
def test_every_shipped_space_is_of_settings_that_its_model_has(model):
    from recbole.config import Config

    space = read_space(shipped_space(model))
    assert any(parameter.mutable for parameter in space)
    for point in random_points(space, 3, seed=1):
        given_settings = merged({}, decoded(space, point))
        config = Config(model=model, dataset="ml-100k", config_dict=dict(given_settings))
        for name in given_settings:
            assert name in config.internal_config_dict or name in {"weight_decay"}, f"{model} has no {name}"


def test_a_model_without_a_space_names_those_that_have_one():
    with pytest.raises(FileNotFoundError, match=r"there is no search space for 'Pop'.*Give --space=FILE.*HetComp"):
        shipped_space("Pop")


def test_every_plugin_model_that_learns_has_a_space():
    from recbole_hetcomp.recbole_bridge.registry import registered

    ours = {name for name, entry in registered().items() if entry.model.__module__.startswith("recbole_hetcomp.")}
    assert "HetComp" in ours
    assert ours - {"ImportedRanking", "TeacherEnsemble"} <= set(SHIPPED)
    assert {"BPR", "NeuMF", "LightGCN", "MultiVAE"} <= set(SHIPPED)


def test_domains_are_rays():
    from ray.tune.search.sample import Categorical, Float

    found = domains(parse_yaml("a: {choice: [1]}\nb: {uniform: [0, 1]}"))
    assert isinstance(found["a"], Categorical)
    assert isinstance(found["b"], Float)
    assert Path(shipped_space("HetComp")).is_file()
