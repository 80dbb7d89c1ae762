"""What each step runs: the words that a person would type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_hetcomp.cli.command_words import check_words, option_words
from recbole_hetcomp.cli.errors import WrongCall
from recbole_hetcomp.pipeline.file import Pipeline, read_keys
from recbole_hetcomp.pipeline.steps import Step, as_text, steps_of
from recbole_hetcomp.values import read_value

NOT_HERE = ["export", "profile"]


def steps(skip: list[str] = NOT_HERE, **keys: Any) -> dict[str, Step]:
    content = {"output": "out", "skip": skip, **keys}
    made = steps_of(Pipeline(Path("pipeline.yaml").absolute(), read_keys(content), tuple(content)), option_words)
    return {step.name: step for step in made}


def test_the_shortest_way():
    made = steps()
    assert list(made) == ["teachers", "distil", "evaluate", "report"]
    assert made["distil"].words[0] == [
        "hetcomp", "run", "--model", "HetComp", "--dataset", "ml-100k", "--store_dir=out/store",
        "--result_dir=out/student", "--checkpoint_dir=out/student",
    ]  # fmt: skip
    assert made["distil"].after == ("teachers",)
    assert made["report"].after == ("distil", "evaluate")


def test_the_longest_way():
    made = steps(
        dataset="mine",
        prepare={"format": "table", "input": "a.csv", "k_core": True, "keep_columns": ["genre", "price:float"]},
        imported={"theirs": {"table": "b.csv", "columns": {"user": "who", "item": "what"}}},
        teachers=["EASE", "import:theirs"],
        settings={"seed": 1},
        student={"epochs": 50, "embedding_size": 8},
        tune={"num_samples": 3, "epochs": 9},
    )
    assert list(made) == ["prepare", "import", "teachers", "tune", "distil", "evaluate", "report"]
    place = Path("out/data").absolute()
    assert made["prepare"].words[0] == [
        "hetcomp", "prepare", "--format=table", "--input=a.csv", "--k_core", "--keep_columns=genre,price:float",
        f"--output={place}", "--name=mine", "--overwrite",
    ]  # fmt: skip
    data = ["--dataset", "mine", "--config_files", "out/data/mine/mine.yaml"]
    common = ["--store_dir=out/store", "--seed=1", '--teachers=["EASE", "import:theirs"]']
    assert made["import"].words[0] == [
        "hetcomp", "import-teacher", "--name=theirs", "--replace", "--table=b.csv", "--columns=user=who,item=what",
        *data, *common,
    ]  # fmt: skip
    assert made["teachers"].words[0] == [
        "hetcomp",
        "teachers",
        "train",
        *data,
        *common,
        "--checkpoint_dir=out/teachers",
    ]
    assert made["tune"].words[0] == [
        "hetcomp", "tune", "--num_samples=3", "--epochs=9", "--model=HetComp", "--output=out/tune",
        *data, *common, "--embedding_size=8",
    ]  # fmt: skip
    assert made["distil"].words[0][:8] == [
        "hetcomp", "run", "--model", "HetComp", "--dataset", "mine", "--config_files", "out/tune/best.yaml",
    ]  # fmt: skip
    assert made["distil"].check[-1] == "--dry_run"
    assert "--epochs=50" in made["distil"].check
    assert made["import"].reads == ("b.csv",)
    assert made["distil"].after == ("prepare", "import", "teachers", "tune")
    for step in made.values():
        for words in step.words:
            if words[0] == "hetcomp":
                check_words(step.name, words)


def test_the_data_set_is_read_wherever_it_is_said_to_lie():
    for root in ("dataset", "one", "two"):
        (Path(root) / "toy").mkdir(parents=True)
    Path("one.yaml").write_text("data_path: one", encoding="utf-8")
    assert steps(dataset="toy")["teachers"].reads == ("dataset/toy",)
    assert steps(dataset="toy", config_files=["one.yaml"])["teachers"].reads == ("one.yaml", "one/toy")
    both = steps(dataset="toy", config_files=["one.yaml"], settings={"data_path": "two"})
    assert both["teachers"].reads == ("one.yaml", "two/toy")
    assert steps(dataset="elsewhere")["teachers"].reads == ()


def test_files_of_the_users_are_read():
    Path("mine.py").write_text("", encoding="utf-8")
    Path("data/toy").mkdir(parents=True)
    made = steps(extensions=["mine.py", "os"], config_files=["a.yaml"], settings={"data_path": "data"}, dataset="toy")
    assert made["teachers"].reads == ("a.yaml", "mine.py", "data/toy")
    assert made["teachers"].words[0][3:7] == ["--extension", "mine.py", "--extension", "os"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hetcomp", "run", "--K"], "not understood|is not set|K"),
        (["hetcomp", "tune", "--search=blind"], "x: Invalid value for '--search': 'blind' is not one of"),
        (["hetcomp", "teachers", "train", "EASE"], "'EASE' is not understood"),
    ],
)
def test_words_that_a_command_refuses(words, message):
    with pytest.raises(WrongCall, match=message):
        check_words("x", words)


def test_config_files_need_not_be_there_yet():
    check_words("x", ["hetcomp", "run", "--config_files", "nowhere.yaml", "--seed=1"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_a_value_is_read_as_it_was_given(value):
    read = read_value(as_text(value))
    assert (read, type(read)) == (value, type(value))
