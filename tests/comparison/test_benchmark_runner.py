"""Order, going on after a stop and failures, with cells that only write a number down; and one real benchmark."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from test_benchmark_plan import CONFIG, changed

from recbole_hetcomp.comparison import folder as folder_module
from recbole_hetcomp.comparison import processes
from recbole_hetcomp.comparison.archive import pack_cells, restore_cells
from recbole_hetcomp.comparison.collect import chosen, final_cells, finalists, trials_table
from recbole_hetcomp.comparison.folder import CELL, ERROR, LOG, PER_USER, RESULT, CellFolder, CellSetup, only_one
from recbole_hetcomp.comparison.grid import Contender, Grid
from recbole_hetcomp.comparison.plan_file import make_plan
from recbole_hetcomp.comparison.runner import Benchmark, describe, run_benchmark, stages
from recbole_hetcomp.files import read_json, sha256_of

# A cell that counts how often it ran; a learning rate is as good as it is near to 0.01.
STUB = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
cell = json.loads((folder / "cell.json").read_text())["cell"]
with open(folder / "count", "a") as file:
    file.write("run\\n")
print("a line of the log")
if cell["method"] in %r:
    sys.exit(3)
score = -abs(cell["settings"].get("learning_rate", 9.0) - (%s))
(folder / "per_user.parquet").write_text("")
content = {"key": folder.name, "row": {"valid_recall@50": score}, "seconds": 1.0}
(folder / "result.json").write_text(json.dumps(content))
"""


@pytest.fixture
def stub(monkeypatch):
    """``stub(*methods)``: cells do nothing, those of the methods fail; ``otherwise`` is the best learning rate."""

    def install(*failing: str, otherwise: str = "0.01") -> None:
        command = [sys.executable, "-S", "-c", STUB % (failing, otherwise)]
        monkeypatch.setattr(processes, "cell_command", lambda folder: [*command, str(folder)])

    return install


def grid_of(**changes: object) -> Grid:
    return Grid(make_plan({**CONFIG, "workers": 2, **changes}), "data")


def counts(root: Path) -> dict[str, int]:
    return {file.parent.name: len(file.read_text().splitlines()) for file in root.glob("cells/*/count")}


def test_everything_runs_once_and_nothing_when_started_again(tmp_path, stub):
    stub()
    grid = grid_of()
    for _ in range(2):
        benchmark = Benchmark(grid, tmp_path)
        benchmark.run()
        assert benchmark.write_failures() == []
    first, second, third = stages(grid, tmp_path)
    assert set(counts(tmp_path).values()) == {1}
    assert len(counts(tmp_path)) == len(first) + len(second) + third
    assert "0 to run" in describe(grid, tmp_path)


def test_a_file_where_the_benchmark_is_started_hides_no_module_of_a_cell(tmp_path, stub, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('hidden')\n")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "mine")
    stub()
    benchmark = Benchmark(grid_of(), tmp_path)
    benchmark.run()
    assert benchmark.write_failures() == []
    assert benchmark.processes._environment()["PYTHONPATH"].endswith(f"{os.pathsep}{tmp_path / 'mine'}")


def test_the_plan_says_what_is_to_be_run(tmp_path):
    grid = grid_of()
    first, second, third = stages(grid, tmp_path)
    # teachers 2 x 2 splits, Pop 2 seeds, EASE 3 trials; ensembles 2, trials of HetComp 3 x 2 backbones; EASE 2,
    # HetComp and its ablation 2 x 2 dimensions x 2 seeds, HetComp on LightGCN 2
    assert (len(first), len(second), third) == (9, 8, 12)
    assert "29 cells, 12 of them after tuning; 0 done, 29 to run" in describe(grid, tmp_path)
    assert not (tmp_path / "cells").exists()


def test_the_final_runs_have_the_settings_that_were_best_on_validation(tmp_path, stub):
    stub()
    grid = grid_of(tuning={"trials": 6}, baselines={"Pop": {}})
    Benchmark(grid, tmp_path).run()
    what = Contender("student", "HetComp", "BPR", 4)
    rates = [trial.settings.get("learning_rate", 9.0) for trial in grid.trials(what)]
    best = min(rates, key=lambda rate: abs(rate - 0.01))
    assert chosen(grid, tmp_path, what) == {"learning_rate": best}
    finals = [cell for cell in final_cells(grid, tmp_path) if cell.role == "student" and cell.backbone == "BPR"]
    assert len(finals) == 8
    assert {cell.settings["learning_rate"] for cell in finals} == {best}


SHORT = {"trials": 6, "finalists": 2, "settings": {"epochs": 1}}


def test_validation_decides_among_the_best_trials_that_run_as_the_final_runs_do(tmp_path, stub):
    stub(otherwise="0.025 - 0.0015 * cell['settings'].get('epochs', 4)")  # what is best in one epoch is not in four
    space = {"learning_rate": {"choice": [0.01, 0.015, 0.02, 0.025, 0.03]}}
    config = changed("students.methods.HetComp.space", space)
    grid = grid_of(students=config["students"], tuning=SHORT, baselines={"Pop": {}})
    what = Contender("student", "HetComp", "BPR", 4)
    assert finalists(grid, tmp_path, what) == {}
    assert "after tuning; 0 done" in describe(grid, tmp_path)
    Benchmark(grid, tmp_path).run()
    rates = [trial.settings.get("learning_rate", 9.0) for trial in grid.trials(what)]
    again = finalists(grid, tmp_path, what)
    assert {rates[number] for number in again} == {0.02, 0.025}  # 0.025 is nearer to 0.0235, 0.02 to 0.019
    assert all(cell.tuning and cell.settings["epochs"] == 4 and cell.seed == 1 for cell in again.values())
    assert chosen(grid, tmp_path, what) == {"learning_rate": 0.02}
    table = trials_table(grid, tmp_path).query("backbone == 'BPR'")
    assert table["valid_finalist"].notna().tolist() == [number in again for number in range(6)]
    first, second, later = stages(grid, tmp_path)
    assert later == 2 * 2 + 10  # of both backbones, and the final runs
    assert len(counts(tmp_path)) == len(first) + len(second) + later
    assert set(counts(tmp_path).values()) == {1}
    assert "0 to run" in describe(grid, tmp_path)
    assert f"{len(counts(tmp_path))} of them done" in describe(grid, tmp_path)


def test_a_finalist_that_fails_is_not_chosen(tmp_path, stub):
    stub()
    grid = grid_of(tuning=SHORT, baselines={"Pop": {}})
    Benchmark(grid, tmp_path).run()
    what = Contender("student", "HetComp", "BPR", 4)
    again = finalists(grid, tmp_path, what)
    (best,) = (number for number in again if grid.drawn(what, number) == chosen(grid, tmp_path, what))
    folder = CellFolder(tmp_path, again.pop(best))
    (folder.path / RESULT).unlink()
    assert chosen(grid, tmp_path, what) is None
    folder.fail("it broke")
    assert chosen(grid, tmp_path, what) == grid.drawn(what, *again)


@pytest.mark.parametrize("tuning", [{"finalists": 1}, {"settings": {}}])
def test_no_trial_runs_again_where_that_would_change_nothing(tuning):
    grid = grid_of(tuning={**SHORT, **tuning})
    assert grid.finalists == 0
    assert grid_of(tuning={**SHORT, "trials": 1}).finalists == 1


def test_a_stopped_benchmark_goes_on(tmp_path, stub, monkeypatch):
    stub()
    grid = grid_of()
    original, ended = Benchmark._ended, []

    def stop_after_three(self: Benchmark, cell, done: bool) -> None:
        original(self, cell, done)
        ended.append(cell.key)
        if len(ended) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Benchmark, "_ended", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        Benchmark(grid, tmp_path).run()
    monkeypatch.setattr(Benchmark, "_ended", original)
    done = {file.parent.name for file in tmp_path.glob(f"cells/*/{RESULT}")}
    assert 3 <= len(done) <= 5
    Benchmark(grid, tmp_path).run()
    assert all(counts(tmp_path)[key] == 1 for key in done)
    assert "0 to run" in describe(grid, tmp_path)


def test_a_failing_cell_is_recorded_and_tried_again(tmp_path, stub):
    stub("Pop")
    benchmark = Benchmark(grid_of(), tmp_path)
    benchmark.run()
    said = benchmark.write_failures()
    assert "2 cells failed" in said[0]
    assert "Pop, seed 1: the process ended with exit status 3 and left no result" in said[1]
    table = pd.read_csv(tmp_path / "failures.csv")
    assert list(table["cell"]) == ["Pop, seed 1", "Pop, seed 2"]
    error = json.loads((tmp_path / "cells" / table["key"][0] / ERROR).read_text())
    assert error["details"] == "a line of the log"
    stub()
    benchmark = Benchmark(grid_of(), tmp_path)
    benchmark.run()
    assert benchmark.write_failures() == []
    assert not (tmp_path / "failures.csv").exists()
    assert sorted(counts(tmp_path).values())[-3:] == [1, 2, 2]


def test_what_needs_a_failed_teacher_or_tuning_is_not_run(tmp_path, stub):
    stub("EASE")
    config = changed("students.methods.NoKD", {"space": {"learning_rate": {"loguniform": [1e-3, 1e-1]}}})
    benchmark = Benchmark(Grid(make_plan(config), "data"), tmp_path)
    benchmark.run()
    said = "\n".join(benchmark.write_failures())
    assert "TeacherEnsemble, seed 1: not run: teacher EASE failed" in said
    assert "EASE, seed 1: not run: no trial of its tuning succeeded" in said
    assert "HetComp, BPR d=4, trial 0: not run: teacher EASE failed" in said
    assert "NoKD" not in said  # it needs none
    assert (
        len(counts(tmp_path)) == 9 + 3 + 4
    )  # the first stage; NoKD's trials, and its runs at two sizes with two seeds


def test_a_trial_that_fails_is_not_chosen(tmp_path, stub):
    stub()
    grid = grid_of()
    Benchmark(grid, tmp_path).run()
    what = Contender("baseline", "EASE")
    assert chosen(grid, tmp_path, what) == {}
    folder = CellFolder(tmp_path, grid.trials(what)[0])
    (folder.path / RESULT).unlink()
    assert chosen(grid, tmp_path, what) is None
    folder.fail("it broke")
    assert chosen(grid, tmp_path, what) == grid.drawn(what, 1)


@pytest.mark.parametrize("content", ["", "{", '{"key": "of another"}', None])
def test_a_result_that_is_not_whole_is_none(tmp_path, content):
    folder = CellFolder(tmp_path, grid_of().teachers()[0])
    folder.prepare(CellSetup("store", None, 1))
    (folder.path / PER_USER).write_text("")
    if content is not None:
        (folder.path / RESULT).write_text(content)
    assert folder.result() is None
    (folder.path / RESULT).write_text(json.dumps({"key": folder.cell.key}))
    assert folder.result() == {"key": folder.cell.key}
    (folder.path / PER_USER).unlink()
    assert folder.result() is None


def test_a_file_beside_a_result_is_read_once_and_again_when_it_changes(tmp_path, monkeypatch):
    folder = CellFolder(tmp_path, grid_of().teachers()[0])
    folder.prepare(CellSetup("store", None, 1))
    (folder.path / PER_USER).write_text("whole")
    written = {"key": folder.cell.key, "files": {PER_USER: sha256_of(folder.path / PER_USER)}}
    (folder.path / RESULT).write_text(json.dumps(written))
    read = []
    monkeypatch.setattr(folder_module, "sha256_of", lambda file: read.append(file.name) or sha256_of(file))
    assert [CellFolder(tmp_path, folder.cell).result() for _ in range(3)] == [written] * 3
    assert read == [PER_USER]
    (folder.path / PER_USER).write_text("altered")
    assert folder.result() is None
    assert read == [PER_USER] * 2


def test_a_cell_waits_for_a_process_that_works_on_it(tmp_path):
    script = (
        "import sys, pathlib; from recbole_hetcomp.comparison.folder import only_one\n"
        "print('ready', flush=True)\n"
        "with only_one(pathlib.Path(sys.argv[1])): print('free')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[2])}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with only_one(tmp_path):
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1)
    assert other.communicate(timeout=60)[0] == "free\n"


TINY = {
    "dataset": "ml-100k",
    "seeds": [1, 2],
    "split_seed": 1,
    "teachers": {"models": ["BPR"], "settings": {"BPR": {"epochs": 4, "eval_step": 2}}},
    "students": {
        "settings": {"epochs": 4, "eval_step": 2},
        "backbones": {"BPR": {"dimensions": [4]}},
        "methods": {"NoKD": {}, "HetComp": {"settings": {"curriculum": "dynamic", "p": 1}}},
    },
    "baselines": {"Pop": {"seeds": [1]}, "NeuMF": {"settings": {"mf_train": False, "mlp_train": False}}},
    "workers": 2,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, subprocess_environment):
    """A real benchmark, killed after its first result and started again: folder, what it said, results before."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    command = [sys.executable, "-m", "recbole_hetcomp.cli", "benchmark", "--config=tiny.yaml", "--output=out"]

    def results() -> dict[str, int]:
        return {file.parent.name: file.stat().st_mtime_ns for file in folder.glob(f"out/cells/*/{RESULT}")}

    first = subprocess.Popen(command, cwd=folder, env=subprocess_environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not results() and time.monotonic() < deadline:
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = results()
    ended = subprocess.run(command, cwd=folder, env=subprocess_environment, capture_output=True, text=True)
    return folder / "out", ended, before, results()


def test_a_killed_benchmark_goes_on_and_names_what_failed(tiny):
    folder, ended, before, after = tiny
    assert before
    assert {key: after[key] for key in before} == before
    assert ended.returncode == 1, ended.stderr
    assert "2 cells failed" in ended.stdout
    assert sorted(pd.read_csv(folder / "failures.csv")["cell"]) == ["NeuMF, seed 1", "NeuMF, seed 2"]
    assert len(after) == 7
    logs = [file.read_text() for file in folder.glob(f"cells/*/{LOG}")]
    assert sum("teacher 1/1 BPR: trained in" in text for text in logs) == 1
    assert sum("taken from the store, not trained" in text for text in logs) >= 2


def test_the_tables_hold_a_row_a_run_and_their_users(tiny):
    folder, *_ = tiny
    runs, users = pd.read_parquet(folder / "runs.parquet"), pd.read_parquet(folder / "per_user.parquet")
    assert list(runs["role"]) == ["teacher", "ensemble", "baseline", *4 * ["student"]]
    assert list(runs["method"]) == ["BPR", "TeacherEnsemble", "Pop", "HetComp", "HetComp", "NoKD", "NoKD"]
    assert list(runs["seed"]) == [1, 1, 1, 1, 2, 1, 2]
    assert list(runs["dimension"].isna()) == [*3 * [True], *4 * [False]]
    assert list(pd.read_csv(folder / "runs.csv").columns) == list(runs.columns)
    for _, run in runs.iterrows():
        name = ["method", "role", "seed"]
        own = users[users[name].eq(run[name]).all(axis="columns")]
        for metric in ("recall@10", "recall@50", "ndcg@10", "ndcg@50"):
            assert round(own[metric].to_numpy().mean(), 6) == run[metric]
            assert 0 < run[f"valid_{metric}"] < 1
    by_role = runs[runs["method"].ne("NoKD") & runs["seed"].eq(1)].set_index("role")
    assert (runs[["parameters", "bytes", "train_seconds", "latency_ms"]] >= 0).all(axis=None)
    assert by_role.loc["student", "bytes"] == 4 * by_role.loc["student", "parameters"] == 4 * 4 * (944 + 1683)
    assert by_role.loc["ensemble", "parameters"] == by_role.loc["teacher", "parameters"]
    assert by_role.loc["ensemble", ["overlap@50", "discrepancy@50"]].tolist() == [1.0, 0.0]
    assert 0 < by_role.loc["student", "overlap@50"] < 1
    assert 0 < by_role.loc["student", "itemcoverage@50"] < 1
    assert json.loads(by_role.loc["student", "settings"])["p"] == 1


def test_the_curves_and_the_plan_are_written(tiny):
    folder, *_ = tiny
    curves = pd.read_parquet(folder / "curves.parquet")
    student = curves[(curves["method"] == "HetComp") & (curves["seed"] == 1)]
    assert list(student["epoch"]) == [0, 1, 2, 3]
    assert list(student["valid"].notna()) == [False, True, False, True]
    assert list(student["share_last"].notna()) == [False, True, True, True]
    assert list(curves[curves["method"] == "BPR"]["epoch"]) == [1, 3]
    plan = yaml.safe_load((folder / "plan.yaml").read_text())
    assert plan["plan"]["seeds"] == [1, 2]
    assert plan["versions"]["recbole"] == "1.2.1"
    assert plan["command"] == "hetcomp benchmark --config tiny.yaml --output out"
    assert (folder / "report.html").is_file()
    report = (folder / "report.md").read_text()
    assert "**Tests over users**" in report
    assert "**Tests over seeds**" in report


def test_cells_leave_results_only(tiny):
    folder, *_ = tiny
    for cell in folder.glob("cells/*"):
        if (cell / RESULT).is_file():
            assert {file.name for file in cell.iterdir()} - {".lock"} == {
                CELL, LOG, PER_USER, RESULT, "lists.safetensors"
            }  # fmt: skip


@pytest.mark.parametrize("stopped", [False, True])
def test_a_cell_that_goes_on_has_no_processor_time(tiny, tmp_path, subprocess_environment, stopped):
    (done,) = [file.parent for file in tiny[0].glob(f"cells/*/{CELL}") if read_json(file)["cell"]["method"] == "Pop"]
    cell = tmp_path / "cells" / done.name
    (cell / "run" if stopped else cell).mkdir(parents=True)
    shutil.copy(done / CELL, cell)
    command = [sys.executable, "-m", "recbole_hetcomp.comparison.cells", str(cell)]
    subprocess.run(command, env=subprocess_environment, capture_output=True, check=True)
    used = read_json(cell / RESULT)["cpu_seconds"]
    assert used is None if stopped else used > 0


def test_only_the_report_can_be_written_anew(tiny, monkeypatch, capsys):
    folder, *_ = tiny
    monkeypatch.setattr(processes, "cell_command", lambda path: pytest.fail("a cell is run"))
    config = folder.parent / "tiny.yaml"
    (folder / "runs.csv").unlink()
    (folder / "report.md").unlink()
    assert run_benchmark(config, folder, report_only=True) == 0
    assert (folder / "runs.csv").is_file()
    assert (folder / "report.md").is_file()
    assert run_benchmark(config, folder / "new", report_only=True) == 1
    assert "nothing to report" in capsys.readouterr().out
    assert run_benchmark(config, folder, dry_run=True) == 0
    assert "9 cells; 7 done, 2 to run" in capsys.readouterr().out


@pytest.fixture
def listless(tiny, tmp_path):
    """A copy of the real benchmark's folder whose lists have been deleted."""
    copied = tmp_path / "out"
    shutil.copytree(tiny[0], copied)
    for file in copied.glob("cells/*/lists.safetensors"):
        file.unlink()
    return copied


def test_lists_may_be_deleted_once_the_tables_are_written(tiny, listless):
    folder, *_ = tiny
    assert run_benchmark(folder.parent / "tiny.yaml", listless, report_only=True) == 0
    columns = ["method", "overlap@50", "discrepancy@50"]
    before, after = (pd.read_parquet(place / "runs.parquet")[columns] for place in (folder, listless))
    pd.testing.assert_frame_equal(before, after)


def test_likeness_to_another_ensemble_is_not_taken_over(tiny, listless):
    folder, *_ = tiny
    runs = pd.read_parquet(listless / "runs.parquet")
    runs.loc[runs["role"] == "ensemble", "cell"] = "another"
    runs.to_parquet(listless / "runs.parquet")
    assert run_benchmark(folder.parent / "tiny.yaml", listless, report_only=True) == 0
    assert "overlap@50" not in pd.read_parquet(listless / "runs.parquet").dropna(axis="columns", how="all")


def test_packed_cells_and_csv_tables_make_the_same_report_elsewhere(tiny, listless, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "cell_command", lambda path: pytest.fail("a cell is run"))
    other, config = tmp_path / "other", tiny[0].parent / "tiny.yaml"
    pack_cells(listless, tmp_path / "cells.parquet")
    restore_cells(tmp_path / "cells.parquet", other)
    for name in ("runs.csv", "failures.csv"):
        shutil.copy(listless / name, other)
    for folder in (listless, other):
        assert run_benchmark(config, folder, report_only=True) == 0
    for name in ("runs.csv", "report.md"):
        first, second = ((folder / name).read_text().replace(str(folder), "OUT") for folder in (listless, other))
        assert first == second


def test_paths_in_the_config_are_those_of_the_caller(tmp_path, stub):
    config = copy.deepcopy(TINY)
    config["store_dir"] = "kept"
    Path("tiny.yaml").write_text(yaml.safe_dump(config))
    stub("BPR", "Pop", "NeuMF", "NoKD")
    assert run_benchmark("tiny.yaml", tmp_path) == 1
    orders = [json.loads(file.read_text())["setup"] for file in tmp_path.glob(f"cells/*/{CELL}")]
    assert {order["store_dir"] for order in orders} == {str(Path("kept").absolute())}
    assert np.all([order["threads"] == 1 for order in orders])


def test_the_command_refuses_what_is_wrong_before_anything_runs(tmp_path, capsys):
    from recbole_hetcomp.cli import main

    for words, message in [
        (["--config=smok"], "did you mean 'smoke'"),
        (["--config=smoke", "--set", "sedes=[1]"], "did you mean 'seeds'"),
        (["--config=smoke", "--seed=1"], "'--seed=1' is not understood"),
    ]:
        assert main(["benchmark", f"--output={tmp_path / 'out'}", *words]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
