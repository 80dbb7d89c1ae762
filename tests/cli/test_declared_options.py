"""Options that are made from declarations."""

from __future__ import annotations

from typing import Optional

import click
import pytest

from recbole_hetcomp.cli import options
from recbole_hetcomp.cli.errors import guarded
from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.tune.options import SweepOptions


@settings_group
class Mine(Settings):
    """Settings of all kinds."""

    size: int = setting(3, "How many.", at_least=1)
    share: Optional[float] = setting(None, "How much; None: all.")
    way: str = setting("up", "Where to.", one_of=("up", "down"))
    name: Optional[str] = setting(None, "Who.")
    loud: bool = setting(False, "Whether it says so.")


@pytest.fixture
def read(capsys):
    """``read(*words)``: exit status, values, what is said."""
    found = {}

    @options.command("mine")
    @options.declared(Mine)
    def mine(**values: object) -> int:
        found.update(values)
        return 0

    def call(*words: str) -> tuple[int, dict, str]:
        found.clear()
        status = guarded(mine, "mine", words)
        printed = capsys.readouterr()
        return status, dict(found), printed.out + printed.err

    return call


def test_defaults_are_the_declared_ones(read):
    assert read() == (0, Mine.defaults(), "")


def test_values_have_the_declared_types(read):
    status, values, _ = read("--size=4", "--share", "0.5", "--way=down", "--name=3", "--loud")
    assert status == 0
    assert values == {"size": 4, "share": 0.5, "way": "down", "name": "3", "loud": True}
    assert Mine(**values).share == 0.5


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--size=many", "'many' is not a valid integer"),
        ("--way=left", "'left' is not one of 'up', 'down'"),
        ("--sise=3", "'--sise=3' is not understood; mine --help lists all arguments"),
        ("three", "'three' is not understood"),
    ],
)
def test_what_does_not_fit_is_a_wrong_call(read, word, message):
    status, values, said = read(word)
    assert (status, values) == (2, {})
    assert message in said
    assert said.splitlines()[-1].startswith("error: ")


def test_a_command_may_take_any_number_of_words(capsys):
    found = []

    @options.command("names")
    @click.argument("names", nargs=-1)
    def names(names: tuple[str, ...]) -> int:
        found.append(names)
        return 0

    assert guarded(names, "names", ["a", "b"]) == guarded(names, "names", []) == 0
    assert found == [("a", "b"), ()]
    assert guarded(names, "names", ["--nothing"]) == 2
    assert "--nothing" in capsys.readouterr().err


def test_the_help_page_says_what_is_declared(read):
    _, _, page = read("--help")
    for line in ("How many.", "[default: 3]", "How much; not given: all.", "[up|down]", "Whether it says so."):
        assert line in page


def test_a_sweeps_options_are_all_of_them():
    from recbole_hetcomp.cli.tune import tune

    made = {parameter.name: parameter for parameter in tune.params}
    assert set(SweepOptions.names()) <= set(made)
    assert {name: made[name].default for name in SweepOptions.names()} == SweepOptions.defaults()
