"""What works without the packages of the extras, and what is said where one is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recbole_hetcomp.extras import EXTRAS, MissingPackageError, require

# A Python in which packages cannot be found, as if they were not installed.
WITHOUT = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
import importlib.util
whole = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.partition(".")[0] in {names} else whole(name, *more)
"""
MAIN = "\nfrom recbole_hetcomp.cli import main\nsys.exit(main(sys.argv[1:]))"
TINY = ["--teachers=[EASE]", "--epochs=2", "--show_progress=False", "--no_kd_config={epochs: 1}"]


def python(names: set[str], code: str, words: list[str], environment: dict[str, str], folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names) + code, *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_main_job_needs_no_extra(subprocess_environment, tmp_path):
    status, said = python(set(EXTRAS), MAIN, ["run", *TINY], subprocess_environment, tmp_path)
    assert status == 0, said
    assert re.search(r"\| HetComp +\| student", said)
    assert "no curves.png" in said
    assert "recbole-hetcomp[report]" in said
    assert not list(tmp_path.rglob("curves.png"))
    assert len(list(tmp_path.rglob("results.csv"))) == 1


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["tune", "--model=BPR", "--num_samples=1", "--output=out"], "ray", "tune"),
        (["tune", "--model=BPR", "--num_samples=1", "--search=optuna", "--output=out"], "optuna", "tune"),
        (["teachers", "--parallel", "--teachers=[EASE]"], "ray", "tune"),
        (["benchmark", "--config=smoke", "--output=out"], "matplotlib", "report"),
        (["benchmark", "--config=smoke", "--output=out"], "statsmodels", "report"),
        (["run", "--fusion=learned", "--teachers=[EASE, BPR]"], "lightgbm", "learned"),
        (["serve", "student"], "fastapi", "serve"),
        (["serve", "student"], "orjson", "serve"),
        (["import-teacher", "--name=other", "--table=table.csv"], "pyarrow", "tables"),
        (["prepare", "--format=table", "--input=table.parquet", "--output=out", "--name=mine"], "pyarrow", "tables"),
    ],
)
def test_a_command_says_which_extra_it_needs_before_it_begins(words, package, extra, subprocess_environment, tmp_path):
    for name in ("table.csv", "table.parquet"):
        (tmp_path / name).write_bytes(b"user_id,item_id,score\n1,1,1\n")
    status, said = python({package}, MAIN, words, subprocess_environment, tmp_path)
    assert status in (1, 2), said
    assert f"{package} is not installed, pip install 'recbole-hetcomp[{extra}]' brings it" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_recboles_own_functions_work_without_ray(subprocess_environment, tmp_path):
    code = (
        "import recbole_hetcomp\nfrom recbole.quick_start import objective_function, run_recbole\n"
        "given = {'epochs': 1, 'show_progress': False, 'dataset': 'ml-100k', 'model': 'Pop'}\n"
        "assert run_recbole('Pop', 'ml-100k', config_dict=dict(given))['test_result']\n"
        "objective_function(dict(given))\n"
    )
    status, said = python({"ray"}, code, [], subprocess_environment, tmp_path)
    assert status == 1
    assert said.rstrip().endswith(
        "MissingPackageError: RecBole's objective_function reports to Ray: ray is not installed, "
        "pip install 'recbole-hetcomp[tune]' brings it"
    )


@pytest.mark.parametrize("words", [["run"], ["models"], ["tune", "--model=BPR"]])
def test_a_forgotten_recbole_is_named_with_the_line_that_brings_it(words, subprocess_environment, tmp_path):
    status, said = python({"recbole"}, MAIN, words, subprocess_environment, tmp_path)
    assert status == 1
    assert said.rstrip().endswith("error: RecBole is not installed: pip install --no-deps recbole==1.2.1")
    assert "UserWarning: RecBole is not installed" in said
    assert "Traceback" not in said


def test_what_is_installed_is_not_refused(monkeypatch):
    require("A test", *EXTRAS)
    monkeypatch.setitem(EXTRAS, "nowhere", "tune")
    with pytest.raises(MissingPackageError, match=r"^A test: nowhere is not installed"):
        require("A test", "nowhere")
