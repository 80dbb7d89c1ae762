"""What is printed, and which exit status is given, when something goes wrong."""

from __future__ import annotations

import click
import pytest
import yaml

from recbole_hetcomp.cli.errors import checking, guarded
from recbole_hetcomp.trajectories import CorruptTrajectoryError


def ending(raised: BaseException | int | None, checked: bool = False, words: tuple[str, ...] = ()) -> int:
    """The exit status of a command that raises, or returns."""

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1)
    def command(words: tuple[str, ...]) -> int | None:
        if not isinstance(raised, BaseException):
            return raised
        if not checked:
            raise raised
        with checking():
            raise raised

    return guarded(command, "program", words)


@pytest.mark.parametrize("returned", [None, 0, 1, 130])
def test_a_command_gives_its_own_status(capsys, returned):
    assert ending(returned) == (returned or 0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error", [ValueError("no"), TypeError("no"), FileNotFoundError("no"), ImportError("no"), NotImplementedError("no")]
)
@pytest.mark.parametrize(("checked", "status"), [(True, 2), (False, 1)])
def test_what_is_refused_is_a_wrong_call_and_what_fails_later_a_failure(capsys, error, checked, status):
    assert ending(error, checked) == status
    assert capsys.readouterr() == ("", "error: no\n")


def test_what_only_reading_raises(capsys):
    assert ending(KeyError("model need to be specified"), checked=True) == 2
    assert capsys.readouterr().err == "error: model need to be specified\n"
    with pytest.raises(yaml.YAMLError) as broken:
        yaml.safe_load("a: [")
    assert ending(broken.value, checked=True) == 2
    assert capsys.readouterr().err.startswith("error: while parsing")


def test_a_damaged_store_is_a_failure(capsys):
    assert ending(CorruptTrajectoryError("damaged")) == 1
    assert capsys.readouterr().err == "error: damaged\n"


@pytest.mark.parametrize("checked", [True, False])
def test_ctrl_c(capsys, checked):
    assert ending(KeyboardInterrupt(), checked) == 130
    assert capsys.readouterr().err.strip() == "interrupted: what is finished is kept, the same command goes on"


@pytest.mark.parametrize("error", [RuntimeError("mistake"), KeyError("mistake"), AssertionError("mistake")])
def test_a_mistake_of_the_program_keeps_its_traceback(error):
    with pytest.raises(type(error), match="mistake"):
        ending(error)


@pytest.mark.parametrize("words", [("--state=DEBUG",), ("--state", "DEBUG")])
@pytest.mark.parametrize(("checked", "status"), [(True, 2), (False, 1)])
def test_debugging_shows_the_traceback(capsys, words, checked, status):
    assert ending(ValueError("no"), checked, words) == status
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert 'ValueError("no")' in said or "ValueError: no" in said
    assert said.splitlines()[-1] == "error: no"
