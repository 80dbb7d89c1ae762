"""Help pages, version, unknown commands; none of them waits for RecBole."""

from __future__ import annotations

import pytest

from recbole_hetcomp import cli
from recbole_hetcomp.version import __version__


def test_help_is_a_real_page(capsys):
    assert cli.main(["--help"]) == 0
    page = capsys.readouterr().out
    for word in ("Usage: hetcomp", "run", "teachers", "models", "store", "WWW 2023", "results/"):
        assert word in page


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(capsys, name):
    assert cli.main([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert f"Usage: hetcomp {name}" in page
    takes = ("run", "teachers", "import-teacher", "export-rankings", "tune", "leaderboard", "select")
    assert ("--name=value" in page) == (name in takes)


def test_tune_has_help(capsys):
    assert cli.main(["tune", "--help"]) == 0
    page = capsys.readouterr().out
    for word in (
        "--space", "--search", "--scheduler", "--num_samples", "--max_concurrent", "--cpus_per_trial", "--epochs",
        "--gpus_per_trial", "--time_budget", "--seed", "--output", "--address", "--storage", "--resume", "--dashboard",
    ):  # fmt: skip
        assert word in page


@pytest.mark.parametrize("main", [cli.run_recbole_main, cli.run_hyper_main])
def test_recboles_commands_have_help(capsys, main):
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert "--model" in page
    assert "--name=value" in page


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["fly"]])
def test_no_or_an_unknown_command_is_an_error_with_usage(capsys, words):
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "Usage: hetcomp" in said
    assert said.splitlines()[-1].startswith("error: ")


def test_no_help_page_imports_recbole(python):
    code = (
        "import sys; from recbole_hetcomp import cli\n"
        "pages = [[], *([name] for name in cli.COMMANDS)]\n"
        "assert not any(cli.main([*page, '--help']) for page in pages)\n"
        "assert cli.run_recbole_main(['--help']) == cli.run_hyper_main(['--help']) == 0\n"
        "heavy = {'recbole', 'torch', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    python(code)


def test_the_first_help_page_imports_no_command(python):
    code = (
        "import sys; from recbole_hetcomp import cli\n"
        "assert cli.main(['--help']) == 0\n"
        "heavy = {'recbole', 'torch', 'ray', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    page = python(code)
    assert all(f"  {name} " in page for name in cli.COMMANDS)
