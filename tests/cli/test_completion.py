"""What a shell is offered."""

from __future__ import annotations

import pytest

from recbole_hetcomp import cli
from recbole_hetcomp.cli.parameters import known_configs, known_models


@pytest.fixture
def offered(monkeypatch, capsys):
    """``offered(line, main=cli.main)``: the words that bash is offered after a line."""

    def complete(line: str, main=cli.main) -> list[str]:
        words = line.replace("=", " = ").split()  # as bash splits it
        last = len(words) - (line[-1] not in " =")
        name = "RUN_RECBOLE" if main is cli.run_recbole_main else "HETCOMP"
        monkeypatch.setenv(f"_{name}_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(words))
        monkeypatch.setenv("COMP_CWORD", str(last))
        with pytest.raises(SystemExit) as ended:
            main([])
        assert ended.value.code == 0
        return [word.split(",", 1)[1] for word in capsys.readouterr().out.splitlines() if word]

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hetcomp te", ["teachers"]),
        ("hetcomp run --model HetC", ["HetComp"]),
        ("hetcomp run --model=HetC", ["HetComp"]),
        ("hetcomp run -m Light", ["LightGCN"]),
        ("hetcomp run --seed=1 --model=RC", ["RCEKD"]),
        ("hetcomp run --snapshot", ["--snapshots", "--snapshot_spacing"]),
        ("hetcomp run --snapshot_spacing ", ["even", "quality"]),
        ("hetcomp run --snapshot_spacing=q", ["quality"]),
        ("hetcomp run --compare_no_kd ", ["True", "False"]),
        ("hetcomp run --K ", []),
        ("hetcomp teachers --teachers=[BPR,Multi", ["[BPR,MultiDAE", "[BPR,MultiVAE"]),
        ("hetcomp teachers ver", ["verify"]),
        ("hetcomp teachers train --teachers=[BPR,Multi", ["[BPR,MultiDAE", "[BPR,MultiVAE"]),
        ("hetcomp tune --search ", ["random", "grid", "optuna", "hyperopt"]),
        ("hetcomp tune --num", ["--num_samples"]),
        ("hetcomp benchmark --config sm", ["smoke"]),
        ("hetcomp prepare --format c", ["checkins", "citeulike"]),
        ("hetcomp completion f", ["fish"]),
    ],
)
def test_what_bash_is_offered(offered, line, expected):
    assert offered(line) == expected


def test_run_recbole_completes_too(offered):
    assert offered("run_recbole --model=HetC", cli.run_recbole_main) == ["HetComp"]


def test_config_files_are_completed_where_no_name_fits(offered):
    assert offered("hetcomp benchmark --config ./x") == ["./x"]


def test_the_names_offered_are_those_that_there_are():
    from recbole.utils import get_model

    assert {"BPR", "LightGCN", "HetComp", "CML", "UnKD"} <= set(known_models())
    assert [get_model(name).__name__ for name in known_models()] == known_models()
    assert "smoke" in known_configs()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_both_commands(capsys, shell):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for program in ("hetcomp", "run_recbole"):
        assert f"_{program.upper()}_COMPLETE={shell}_complete" in script


def test_completion_waits_for_nothing(python):
    code = (
        "import os, sys\n"
        "os.environ.update(_HETCOMP_COMPLETE='bash_complete', COMP_WORDS='hetcomp run --model Het', COMP_CWORD='3')\n"
        "from recbole_hetcomp import cli\n"
        "try: cli.main([])\n"
        "except SystemExit: pass\n"
        "assert not {'recbole', 'torch', 'ray', 'pandas'} & set(sys.modules)"
    )
    assert python(code) == "plain,HetComp\n"
