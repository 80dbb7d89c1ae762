"""Which steps run, and why: small steps that copy files, in processes as the real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recbole_hetcomp import extras
from recbole_hetcomp.extras import MissingPackageError
from recbole_hetcomp.files import read_json
from recbole_hetcomp.locks import Lock
from recbole_hetcomp.pipeline import run as running
from recbole_hetcomp.pipeline.file import Pipeline, PipelineFile
from recbole_hetcomp.pipeline.run import Plan, StepFailedError, check_inputs, describe, run_pipeline
from recbole_hetcomp.pipeline.steps import Step

COPY = "import sys, pathlib as p; p.Path(sys.argv[2]).write_text(p.Path(sys.argv[1]).read_text() + sys.argv[3])"


def copying(name: str, source: str, target: str, more: str, **about: object) -> Step:
    """Writes a file with something more in it than its source has."""
    return Step(name, (["python", "-c", COPY, source, target, more],), writes=(target,), **about)  # type: ignore[arg-type]


def three() -> list[Step]:
    return [
        copying("first", "raw", "out/1", "+", reads=("raw",)),
        copying("second", "out/1", "out/2", "+", after=("first",)),
        copying("third", "out/2", "out/3", "+", after=("second",)),
    ]


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., list[str]]:
    """``go(steps, **plan)``: names of the steps that ran."""
    (tmp_path / "raw").write_text("a", encoding="utf-8")

    def call(steps: list[Step], dry: bool = False, **more: str) -> list[str]:
        plan = Plan(Pipeline(tmp_path / "pipeline.yaml", PipelineFile(output="out")), steps, **more)
        said: list[str] = []
        if dry:
            describe(plan, said.append)
            return said
        run_pipeline(plan, said.append)
        return [line.partition(":")[0] for line in said if ": done in " in line]

    return call


def test_all_run_once(go, tmp_path):
    assert go(three()) == ["first", "second", "third"]
    assert (tmp_path / "out" / "3").read_text() == "a+++"
    assert go(three()) == []


def test_a_touched_file_runs_nothing(go, tmp_path):
    go(three())
    for file in ("raw", "out/2"):
        os.utime(tmp_path / file, (1, 1))
    assert go(three()) == []


def test_a_changed_input_runs_all_that_it_reaches(go, tmp_path):
    go(three())
    (tmp_path / "raw").write_text("b", encoding="utf-8")
    assert go(three()) == ["first", "second", "third"]
    assert (tmp_path / "out" / "3").read_text() == "b+++"


def test_a_changed_setting_runs_its_step_and_those_after(go, tmp_path):
    go(three())
    steps = three()
    steps[1] = copying("second", "out/1", "out/2", "-", after=("first",))
    assert go(steps) == ["second", "third"]
    assert (tmp_path / "out" / "3").read_text() == "a+-+"


def test_a_step_that_makes_the_same_again_stops_there(go, tmp_path):
    go(three())
    steps = three()
    steps[1] = replace(steps[1], words=([*steps[1].words[0], "a word that changes nothing"],))
    assert go(steps) == ["second"]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("spoilt")])
def test_an_output_that_is_not_as_it_was_is_made_again(go, tmp_path, spoil):
    go(three())
    spoil(tmp_path / "out" / "2")
    assert go(three()) == ["second"]  # which makes what third has read
    assert (tmp_path / "out" / "2").read_text() == "a++"


def test_another_version_of_the_package_runs_all(go, monkeypatch):
    go(three())
    monkeypatch.setattr(running, "__version__", "9.9")
    assert "first: would run, recbole-hetcomp 9.9 made nothing of it yet, 0.1.0 did" in go(three(), dry=True)
    assert go(three()) == ["first", "second", "third"]


def test_from_and_only(go):
    go(three())
    assert go(three(), start="second") == ["second", "third"]
    assert go(three(), only="second") == ["second"]
    for wrong in ({"start": "thrid"}, {"only": "thrid"}):
        with pytest.raises(ValueError, match=r"'thrid' is no step of this pipeline; did you mean 'third'\?"):
            go(three(), **wrong)
    with pytest.raises(ValueError, match="give --from or --only, not both"):
        go(three(), start="first", only="first")


def test_one_step_alone_needs_what_those_before_it_write(go, tmp_path):
    with pytest.raises(ValueError, match="the step second reads out/1, which is not there: run the steps before it"):
        go(three(), only="second")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "1").write_text("given", encoding="utf-8")  # as DVC brings it
    assert go(three(), only="second") == ["second"]


def test_dry_says_why_and_writes_nothing(go, tmp_path):
    assert [line for line in go(three(), dry=True) if line[0] != " "] == [
        f"{name}: would run, it has not run yet" for name in ("first", "second", "third")
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]
    go(three())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert go(three(), dry=True) == ["first: unchanged", "second: unchanged", "third: unchanged"]
    (tmp_path / "raw").write_text("b", encoding="utf-8")
    said = [line for line in go(three(), dry=True) if line[0] != " "]
    assert said[0] == "first: would run, raw has changed"
    assert said[1:] == [
        "second: would run, unless first makes the same as before",
        "third: would run, unless second makes the same as before",
    ]
    assert {path: path.stat().st_mtime_ns for path in before if path.name != "raw"} == {
        path: time for path, time in before.items() if path.name != "raw"
    }


def test_dry_names_the_settings_that_have_changed(go):
    steps = [Step("first", (["python", "-c", "open('out/1', 'w')", "--epochs=2", "--seed=1"],), writes=("out/1",))]
    go(steps)
    steps = [replace(steps[0], words=([*steps[0].words[0][:3], "--epochs=3", "--seed=1"],))]
    assert go(steps, dry=True)[0] == "first: would run, settings have changed: now --epochs=3; before --epochs=2"


def test_a_failed_step_stops_all_and_the_next_run_goes_on(go, tmp_path):
    steps = three()
    steps[1] = copying("second", "missing", "out/2", "+", after=("first",))
    with pytest.raises(StepFailedError, match="the step second ended with exit status 1; what was done before is kept"):
        go(steps)
    assert list(read_json(tmp_path / "out" / "pipeline.json")["steps"]) == ["first"]
    assert "second: would run, it did not end, and what it is made from has changed" in go(three(), dry=True)
    assert go(three()) == ["second", "third"]


def test_a_step_that_leaves_nothing_has_failed(go):
    steps = [Step("first", (["python", "-c", ""],), writes=("out/1",))]
    with pytest.raises(StepFailedError, match="the step first ended, but out/1 is not there"):
        go(steps)


def test_a_damaged_state_counts_as_none(go, tmp_path, log):
    go(three())
    (tmp_path / "out" / "pipeline.json").write_text("{", encoding="utf-8")
    assert go(three()) == ["first", "second", "third"]
    assert any("pipeline.json is damaged" in line for line in log)


def test_a_missing_input_is_refused_before_anything_runs(tmp_path):
    plan = Plan(Pipeline(tmp_path / "pipeline.yaml", PipelineFile(output="out")), three())
    with pytest.raises(FileNotFoundError, match="raw, which the step first reads, does not exist"):
        check_inputs(plan)


def test_a_folder_that_a_step_keeps_is_gone_on_with_or_moved_aside(go, tmp_path):
    make = "import pathlib as p, sys; p.Path('out/tune').mkdir(); p.Path('out/tune/plan').touch(); sys.exit(1)"
    on = ["python", "-c", "import pathlib as p; p.Path('out/tune/best').write_text('on')"]
    step = Step("tune", (["python", "-c", make],), writes=("out/tune/best",), going_on=("out/tune/plan", on))
    with pytest.raises(StepFailedError):
        go([step])
    assert go([step]) == ["tune"]
    assert (tmp_path / "out" / "tune" / "best").read_text() == "on"
    other = replace(step, words=(["python", "-c", make, "--other"],))
    with pytest.raises(StepFailedError):
        go([other])  # has other settings: begins anew
    assert (tmp_path / "out" / "tune-1" / "best").read_text() == "on"
    assert not (tmp_path / "out" / "tune" / "best").exists()


def test_two_runs_do_not_work_on_one_folder(go, tmp_path, subprocess_environment):
    lock = tmp_path / "out" / ".pipeline.lock"
    code = (
        "import sys, time; from pathlib import Path; from recbole_hetcomp.locks import Lock\n"
        "with Lock(Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], env=subprocess_environment, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"process {holder.pid} on .* works on it"):
            go(three())
        holder.terminate()
    with Lock(lock, "it"):
        pass


def test_a_killed_run_goes_on(tmp_path, go, subprocess_environment):
    """Killed while the second of three steps works: the first is not run again."""
    (tmp_path / "slow").write_text("", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from test_pipeline_run import slowly, three\n"
        "from recbole_hetcomp.pipeline.file import Pipeline, PipelineFile\n"
        "from recbole_hetcomp.pipeline.run import Plan, run_pipeline\n"
        "run_pipeline(Plan(Pipeline(Path('pipeline.yaml').absolute(), PipelineFile(output='out')), slowly()), print)"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent)]
    process = subprocess.Popen(words, cwd=tmp_path, env=subprocess_environment, start_new_session=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    made = (tmp_path / "out" / "1").stat().st_mtime_ns
    (tmp_path / "slow").unlink()
    assert "second: would run, it did not end" in go(slowly(), dry=True)
    assert go(slowly()) == ["second", "third"]
    assert (tmp_path / "out" / "1").stat().st_mtime_ns == made
    assert (tmp_path / "out" / "3").read_text() == "a+++"


def slowly() -> list[Step]:
    """Three steps, the second of which waits while there is a file ``slow``."""
    steps = three()
    wait = "import os, time; open('begun', 'w').close()\nwhile os.path.exists('slow'): time.sleep(0.05)\n"
    words = steps[1].words[0]
    steps[1] = replace(steps[1], words=([*words[:2], wait + words[2], *words[3:]],))
    return steps


@pytest.mark.parametrize("name", ["export", "report"])
def test_a_missing_package_is_said_before_anything_runs(tmp_path, monkeypatch, name):
    monkeypatch.setattr(extras, "is_installed", lambda package: False)
    plan = Plan(Pipeline(tmp_path / "pipeline.yaml", PipelineFile(output="out")), [Step(name, (["hetcomp", name],))])
    with pytest.raises(MissingPackageError, match=rf"The step {name}: \w+ is not installed, pip install .*\[{name}\]'"):
        check_inputs(plan)
