"""Settings as words: their form, their values, and that RecBole would have read the same."""

from __future__ import annotations

import pytest

from recbole_hetcomp.cli.overrides import joined, read_settings, read_value


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seed", "1"], ["--seed=1"]),
        (["--seed=1", "--K", "20"], ["--seed=1", "--K=20"]),
        (["--alpha", "-1"], ["--alpha=-1"]),
        (["--teachers", "[BPR,", "EASE]"], ["--teachers=[BPR,", "EASE]"]),
        ([], []),
    ],
)
def test_settings_may_be_given_in_two_ways(words, expected):
    assert joined(words) == expected


@pytest.mark.parametrize("word", ["seed=3", "-x", "--seed", "--=3", "---seed=3", "EASE]", ""])
def test_what_is_no_setting_is_named(word):
    with pytest.raises(ValueError, match="is not understood; settings are given as --name=value") as error:
        read_settings(["--K=20", word])
    assert repr(word) in str(error.value) or "--K=20" not in str(error.value)


def test_a_value_may_hold_an_equals_sign():
    assert read_settings(["--checkpoint_dir=a=b"]) == {"checkpoint_dir": "a=b"}


def test_a_setting_given_twice_is_refused_unless_it_says_the_same():
    assert read_settings(["--K=20", "--K", "20"]) == {"K": 20}
    with pytest.raises(ValueError, match="--K is given twice: '20' and '30'"):
        read_settings(["--K=20", "--K=30"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[BPR, EASE]", ["BPR", "EASE"]),
        ("[Recall,NDCG]", ["Recall", "NDCG"]),
        ("{BPR: {epochs: 3, learning_rate: 1e-3}}", {"BPR": {"epochs": 3, "learning_rate": 0.001}}),
        ("true", True),
        ("null", None),
        ("2020-01-01", "2020-01-01"),
        ("#1", "#1"),
        ("%d", "%d"),
        ("", ""),
        ("{1, 2}", {1: None, 2: None}),
    ],
)
def test_yaml_is_read_where_python_is_not(text, expected):
    assert read_value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1", "-1", "1e-3", "5E-4", ".5", "1.", "0x10", "1_000", "True", "False", "None", "'text'", "[10, 20]",
        "[10,20]", "(1, 2)", "0,1",
        "{'a': 1}", "{'split':{'RS':[0.8,0.1,0.1]},'group_by':None,'order':'RO','mode':'full'}",
        "BPR", "ml-100k", "cuda:0", "a/b.c", " ", ",", "\t", "true", "False ", "[1, None]", "*", "",
    ],
)  # fmt: skip
def test_recbole_would_have_read_the_same(text):
    from recbole.config import Config

    def converted(value: object) -> object:
        return Config._convert_config_dict(None, {"x": value})["x"]

    ours = converted(read_value(text))
    assert ours == converted(text)
    assert type(ours) is type(converted(text))
